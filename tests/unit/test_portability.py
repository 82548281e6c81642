"""What the package needs of the system, and what it does without packages of optional extras."""

import subprocess
import sys

import pytest

BLOCK = """
import builtins, importlib.abc, sys

def block_for_mvadapter(*blocked):
    # Others, such as torch, have their own ways on systems without these modules.
    original = builtins.__import__
    def guarded(name, globals=None, locals=None, fromlist=(), level=0):
        user = (globals or {}).get("__name__", "")
        # Which module counts memory depends on the system; tests/unit/comparison has its test.
        if user.startswith("mvadapter") and user != "mvadapter.comparison.memory":
            if name in blocked:
                raise ImportError(name)
        return original(name, globals, locals, fromlist, level)
    builtins.__import__ = guarded

def block(*blocked):
    class Blocked(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name.split(".")[0] in blocked:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    sys.meta_path.insert(0, Blocked())
"""


def python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_module_can_be_imported_without_the_modules_of_unix():
    ended = python(
        """
import pkgutil
block_for_mvadapter("fcntl", "resource", "pwd", "grp", "termios")
import mvadapter
for module in pkgutil.walk_packages(mvadapter.__path__, "mvadapter."):
    if module.name != "mvadapter.__main__":
        __import__(module.name)
print("done")
"""
    )

    assert ended.stdout == "done\n", ended.stderr


def test_a_comparison_without_matplotlib_is_refused_in_one_line_before_any_work(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[data]\npath = "synthetic"\n')

    ended = python(
        """
block("matplotlib")
from mvadapter.cli.main import main
sys.argv = ["mvadapter", "compare", sys.argv[1], "--output", sys.argv[2]]
main()
""",
        recipe,
        tmp_path / "out",
    )

    assert ended.returncode == 2
    assert ended.stderr == (
        "mvadapter: error: matplotlib is not installed; for the plots of a comparison, run: "
        "pip install 'mvadapter[report]'\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_run_without_tensorboard_has_its_log(tmp_path):
    ended = python(
        """
import logging
from pathlib import Path
block("tensorboard")
logging.basicConfig(level=logging.INFO, format="%(message)s")
from mvadapter.training.log import RunLog
with RunLog(Path(sys.argv[1]), 0) as log:
    log.step(0, epoch=1, loss=0.5, learning_rate=0.1)
    log.epoch(0, epoch=1, metrics={"recall": 50.0})
""",
        tmp_path,
    )

    assert ended.returncode == 0, ended.stderr
    assert "pip install 'mvadapter[train]'" in ended.stderr
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


@pytest.mark.parametrize("blocked", ["matplotlib", "tensorboard"])
def test_training_and_searching_need_no_extra(blocked):
    ended = python(
        f"""
block({blocked!r})
import mvadapter.training.loop, mvadapter.index.writer, mvadapter.evaluation.report
print("done")
"""
    )

    assert ended.stdout == "done\n", ended.stderr
