import subprocess
import sys

import pytest

import mvadapter
from made_methods import example_installed, write_package
from mvadapter.adapters.build import adapter_config
from mvadapter.adapters.catalog import method_class, method_names, method_of
from mvadapter.adapters.methods import METHODS
from mvadapter.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize("name", METHODS)
def test_the_list_has_every_method_under_its_own_name(name):
    config = method_class(name)

    assert config.name == name
    assert getattr(mvadapter, config.__name__) is config
    assert config.__name__ in mvadapter.__all__
    assert config.__name__ in dir(mvadapter)


def test_the_public_names_and_the_list_load_no_torch():
    command = (
        "import sys, mvadapter, mvadapter.adapters.methods; dir(mvadapter); "
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_a_method_of_another_package_is_found_by_name(tmp_path):
    with example_installed(tmp_path):
        assert method_names() == (*METHODS, "ssf")
        assert method_of("ssf") == "ssf"
        assert adapter_config("ssf", {"layers": [-1]}, "test").layers == (-1,)

    with pytest.raises(UnknownNameError, match="method 'ssf' is not known"):
        method_class("ssf")


def test_a_slip_in_a_name_is_answered_with_the_nearest_of_all_packages(tmp_path):
    with (
        example_installed(tmp_path),
        pytest.raises(UnknownNameError, match="Did you mean 'ssf'"),
    ):
        method_of("sff")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a package that adds methods, with a module that holds this code."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(methods, code="", name="their-package"):
        (tmp_path / "their_module.py").write_text(code)
        write_package(tmp_path, name, methods)

    yield install
    sys.modules.pop("their_module", None)


@pytest.mark.parametrize("name", ["lora", "mv-adapter-untied"])
def test_a_package_cannot_take_a_name_that_mvadapter_has(name, installed):
    installed({name: "their_module:Config"})

    with pytest.raises(ConfigError, match=f"package 'their-package' adds a method '{name}', but"):
        adapter_config(name, {}, "test")
    with pytest.raises(ConfigError, match="rename it in the package, or uninstall"):
        method_names()


def test_two_packages_cannot_add_the_same_name(installed):
    installed({"theirs": "their_module:Config"})
    installed({"theirs": "their_module:Config"}, name="another-package")

    with pytest.raises(ConfigError, match="packages '.*-package' and '.*-package' both add"):
        method_names()


CONFIG = """
from dataclasses import dataclass
from mvadapter.adapters.base import Adapter, MethodConfig

@dataclass(frozen=True, slots=True, kw_only=True)
class Config(MethodConfig):
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_package", "cannot be imported: ModuleNotFoundError: No module named"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("", "cannot be imported: AttributeError: .* 'Config'"),
        ("Config = 3", "is no subclass of MethodConfig"),
        ("class Config: pass", "is no subclass of MethodConfig"),
        (f"{CONFIG}    name = 'theirs'", "has no method build"),
        (
            f"{CONFIG}    name = 'other'\n    what = ''\n    def build(self, backbone): ...",
            "needs the class variables name = 'theirs' and what",
        ),
        (
            f"{CONFIG}    name = 'theirs'\n    def build(self, backbone): ...",
            "needs the class variables name = 'theirs' and what",
        ),
    ],
)
def test_a_method_that_cannot_be_used_is_one_line_with_its_package(code, reason, installed):
    installed({"theirs": "their_module:Config"}, code)

    with pytest.raises(
        ConfigError, match=rf"^method 'theirs' of package 'their-package': their_module.*{reason}"
    ) as raised:
        adapter_config("theirs", {}, "test")

    assert "\n" not in str(raised.value)
    assert adapter_config("lora", {}, "test")
