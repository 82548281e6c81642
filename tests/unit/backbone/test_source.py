"""A hub id in, its files out: from the cache at once, and never a long wait for the hub."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from mvadapter import Backbone
from mvadapter.backbone import source
from mvadapter.errors import BackboneError

_COMMIT = "0123456789012345678901234567890123456789"
_TINY = Path(source.source_of("tiny"))


@pytest.fixture
def snapshot(tmp_path, monkeypatch):
    """The files of the shipped CLIP, as the hub's cache holds those of ``acme/clip``."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--acme--clip"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(_COMMIT)
    return Path(shutil.copytree(_TINY, model / "snapshots" / _COMMIT))


@pytest.fixture
def no_hub(monkeypatch):
    def ask(*_arguments, **_settings):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(HfApi, "model_info", ask)


def test_a_clip_that_is_complete_in_the_cache_is_read_there(snapshot, no_hub):
    clip, tiny = Backbone.load("acme/clip"), Backbone.load("tiny")
    # The tokenizer is read later, and must not ask the hub either.
    shipped = tiny.tokenizer.encode(["a red circle"], 8)[0]

    assert source.source_of("acme/clip") == str(snapshot)
    assert clip.name == "acme/clip"
    assert clip.fingerprint == tiny.fingerprint
    assert clip.tokenizer.encode(["a red circle"], 8)[0].equal(shipped)


@pytest.mark.parametrize(
    "names", [["config.json"], ["model.safetensors"], ["tokenizer.json", "vocab.json"]]
)
def test_a_clip_that_lacks_a_file_in_the_cache_is_asked_for(snapshot, names):
    for name in names:
        (snapshot / name).unlink(missing_ok=True)

    assert source.source_of("acme/clip") == "acme/clip"


def test_what_the_hub_is_known_not_to_have_is_not_asked_for(snapshot):
    for name in source.PROCESSOR_FILES:
        (snapshot / name).unlink(missing_ok=True)
    missing = snapshot.parent.parent / ".no_exist" / _COMMIT
    missing.mkdir(parents=True)
    (missing / source.PROCESSOR_FILES[0]).touch()

    assert source.source_of("acme/clip") == str(snapshot)


@pytest.mark.parametrize(("has_second", "is_complete"), [(True, True), (False, False)])
def test_weights_in_several_files_must_all_be_there(snapshot, has_second, is_complete):
    (snapshot / "model.safetensors").rename(snapshot / "model-00001-of-00002.safetensors")
    if has_second:
        (snapshot / "model-00002-of-00002.safetensors").touch()
    index = {"weight_map": {str(n): f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))

    assert (source.source_of("acme/clip") == str(snapshot)) is is_complete


@pytest.mark.parametrize(
    "error", [TimeoutError("timed out"), OSError("no route"), RuntimeError("refused")]
)
def test_a_hub_that_does_not_answer_is_one_line(monkeypatch, tmp_path, error):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def ask(*_arguments, **settings):
        assert 0 < settings["timeout"] <= 5
        raise error

    monkeypatch.setattr(HfApi, "model_info", ask)

    with pytest.raises(BackboneError, match=f"acme/clip: no such folder, and the hub .*{error}"):
        Backbone.load("acme/clip")


@pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor_config.json"])
def test_what_stands_in_place_of_a_file_is_refused(tmp_path, name):
    folder = Path(shutil.copytree(_TINY, tmp_path / "clip"))
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("nowhere")

    with pytest.raises(BackboneError, match=f"{name}: is not an ordinary file"):
        Backbone.load(folder)


@pytest.mark.parametrize("name", ["a b", "-x", "x" * 97, "acme/clip@main", "", "no\x1b[31m"])
def test_a_name_that_can_be_no_hub_id_is_one_line(name):
    with pytest.raises(BackboneError, match="no such folder, and no hub id"):
        Backbone.load(name)
