import json
import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from made_clips import write_random_clip
from made_training import made_training
from mvadapter import (
    Backbone,
    Encoder,
    Inputs,
    MvAdapterConfig,
    build_adapter,
    load_adapter,
    save_adapter,
)
from mvadapter.encoder import checkpoint
from mvadapter.encoder.adapter_folder import read_record, read_tensors
from mvadapter.encoder.authors import load_authors_checkpoint
from mvadapter.errors import AdapterFolderError
from mvadapter.files import hash_file


@pytest.fixture
def encoder(random_clip):
    config = MvAdapterConfig(bottleneck_width=8, num_frames=4, max_tokens=10)
    inputs = Inputs(num_frames=4, max_tokens=10, sampling="left-edge")
    return Encoder(random_clip, build_adapter(config, random_clip), inputs=inputs)


@pytest.fixture
def folder(encoder, tmp_path):
    save_adapter(encoder, tmp_path / "adapter", made_training())
    return tmp_path / "adapter"


def test_a_folder_keeps_settings_inputs_and_training(folder, encoder, random_clip):
    again = load_adapter(folder, random_clip)

    assert again.adapter.config == encoder.adapter.config
    assert again.inputs == encoder.inputs
    assert read_record(folder).training == made_training()


def test_the_model_card_says_what_it_is(folder):
    card = (folder / "README.md").read_text()

    assert card.startswith("---\nlibrary_name: mvadapter\n")
    assert "| frames | 4, sampled left-edge |" in card
    assert "| recall at 1 | 42.0 |" in card


def test_other_files_in_the_folder_stay(folder, encoder):
    (folder / "notes.txt").write_text("mine")

    save_adapter(encoder, folder)

    assert (folder / "notes.txt").read_text() == "mine"


def test_nothing_is_left_aside(folder):
    names = {path.name for path in folder.iterdir()}

    assert names == {"adapter_config.json", "adapter_model.safetensors", "README.md"}


def test_loading_onto_another_clip_is_refused(folder, tmp_path):
    other = Backbone.load(write_random_clip(tmp_path / "other", seed=1))

    with pytest.raises(
        AdapterFolderError, match="this adapter was made for .* but the backbone is"
    ):
        load_adapter(folder, other)


@pytest.mark.parametrize("moment", ["before the weights", "after the weights"])
def test_a_crash_leaves_the_old_adapter_or_the_new_one(
    folder, encoder, random_clip, monkeypatch, moment
):
    old = load_adapter(folder, random_clip).trainable_parameters()["video.0.up.weight"].clone()
    new = old + 1
    with torch.no_grad():
        encoder.trainable_parameters()["video.0.up.weight"].copy_(new)

    class CrashError(Exception):
        pass

    def crash(*_args, **_kwargs):
        raise CrashError

    if moment == "before the weights":
        monkeypatch.setattr(checkpoint, "write_text", crash)
    else:
        monkeypatch.setattr(checkpoint.Path, "replace", _crash_at_record(CrashError))
    with pytest.raises(CrashError):
        save_adapter(encoder, folder)
    monkeypatch.undo()

    found = load_adapter(folder, random_clip).trainable_parameters()["video.0.up.weight"]
    assert torch.equal(found, old if moment == "before the weights" else new)


def _crash_at_record(crash):
    """`Path.replace`, but the process dies when the record's turn comes."""
    replace = checkpoint.Path.replace

    def dying(self, target):
        if target.name == "adapter_config.json":
            raise crash
        return replace(self, target)

    return dying


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(AdapterFolderError, match=r"no adapter here \(adapter_model\.safetensors"):
        load_adapter(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_instead_of_the_weights_is_refused_and_not_waited_for(folder, random_clip):
    weights = folder / "adapter_model.safetensors"
    weights.unlink()
    os.mkfifo(weights)

    for read in (
        lambda: load_adapter(folder, random_clip),
        lambda: read_tensors(weights),
        lambda: load_authors_checkpoint(weights, random_clip),
    ):
        with pytest.raises(AdapterFolderError, match="is a pipe, not an ordinary file; expected"):
            read()


def test_weights_from_elsewhere_are_refused(folder):
    save_file({"video.0.up.weight": torch.zeros(1)}, folder / "adapter_model.safetensors")

    with pytest.raises(
        AdapterFolderError, match="is not the file that adapter_config.json describes"
    ):
        load_adapter(folder)


def test_a_record_that_is_no_json_is_refused(folder):
    (folder / "adapter_config.json").write_text("{")

    with pytest.raises(AdapterFolderError, match="not valid JSON"):
        load_adapter(folder)


def test_a_record_from_a_newer_version_is_refused(folder):
    record = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(record | {"format": 99}))

    with pytest.raises(AdapterFolderError, match="written in format 99.*update mvadapter"):
        load_adapter(folder)


def test_a_record_from_before_the_names_changed_is_refused_with_what_to_do(folder):
    record = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(record | {"format": 1}))

    with pytest.raises(AdapterFolderError, match="by an earlier version .*train the adapter again"):
        load_adapter(folder)


def test_a_setting_nobody_knows_is_refused(folder, random_clip):
    record = json.loads((folder / "adapter_config.json").read_text())
    record["settings"]["bottleneck_widht"] = 8
    rewrite_record(folder, settings=record["settings"])

    with pytest.raises(AdapterFolderError, match="did you mean|Did you mean 'bottleneck_width'"):
        load_adapter(folder, random_clip)


def test_a_pickle_is_refused_with_the_reason(tmp_path, random_clip):
    path = tmp_path / "adapter.pt"
    path.write_bytes(b"\x80\x04.")

    with pytest.raises(AdapterFolderError, match="pickles can run code and are refused"):
        read_tensors(path)


def test_the_backbone_is_found_by_its_name(folder, encoder):
    again = load_adapter(folder)

    assert again.backbone.fingerprint == encoder.backbone.fingerprint


def test_a_copied_folder_still_loads(folder, random_clip, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")

    assert load_adapter(copy, random_clip).inputs.num_frames == 4


@pytest.mark.parametrize("wrong", ["int64", "nan", "inf"])
def test_weights_that_are_no_finite_floats_are_refused(folder, random_clip, wrong):
    tensors = read_tensors(folder / "adapter_model.safetensors")
    name = sorted(tensors)[0]
    tensors[name] = (
        tensors[name].long() if wrong == "int64" else torch.full_like(tensors[name], float(wrong))
    )
    save_file(tensors, folder / "adapter_model.safetensors")
    rewrite_record(folder, weights_sha256=hash_file(folder / "adapter_model.safetensors"))

    with pytest.raises(AdapterFolderError, match="expected finite numbers of a float type"):
        load_adapter(folder, random_clip)


def rewrite_record(folder, **changes):
    """Change a record as an earlier version wrote it, without a digest."""
    record = json.loads((folder / "adapter_config.json").read_text())
    del record["sha256"]
    (folder / "adapter_config.json").write_text(json.dumps(record | {"format": 2} | changes))


def test_a_changed_setting_is_noticed(folder, random_clip):
    record = json.loads((folder / "adapter_config.json").read_text())
    record["settings"]["scale"] = 0.5
    (folder / "adapter_config.json").write_text(json.dumps(record))

    with pytest.raises(AdapterFolderError, match="is damaged, or was changed by hand"):
        load_adapter(folder, random_clip)


def test_a_record_that_lost_its_digest_is_refused(folder, random_clip):
    record = json.loads((folder / "adapter_config.json").read_text())
    del record["sha256"]
    record["inputs"]["num_frames"] = 2
    (folder / "adapter_config.json").write_text(json.dumps(record))

    with pytest.raises(AdapterFolderError, match=r"its sha256 is missing\); copy the folder again"):
        load_adapter(folder, random_clip)


@pytest.mark.parametrize("table", ["settings", "inputs"])
def test_sizes_that_no_memory_holds_are_refused_before_they_are_allocated(
    folder, random_clip, table
):
    record = json.loads((folder / "adapter_config.json").read_text())
    rewrite_record(folder, **{table: record[table] | {"num_frames": 1_000_000_000}})

    with pytest.raises(AdapterFolderError):
        load_adapter(folder, random_clip)


def test_a_relative_clip_is_found_from_everywhere(random_clip_folder, tmp_path, monkeypatch):
    shutil.copytree(random_clip_folder, tmp_path / "clip")
    monkeypatch.chdir(tmp_path)
    encoder = Encoder.load("clip")
    save_adapter(encoder, tmp_path / "adapter")
    monkeypatch.chdir("/")

    assert load_adapter(tmp_path / "adapter").backbone.name == str(tmp_path / "clip")


def test_a_clip_beside_its_adapter_is_found_where_both_were_moved(
    folder, random_clip_folder, tmp_path, monkeypatch
):
    shutil.copytree(random_clip_folder, folder / "clip")
    record = json.loads((folder / "adapter_config.json").read_text())
    record["base_model_name_or_path"] = "clip"
    (folder / "adapter_config.json").write_text(json.dumps(record))
    folder.rename(tmp_path / "moved")
    monkeypatch.chdir("/")

    assert load_adapter(tmp_path / "moved").backbone.name == str(tmp_path / "moved/clip")


def test_notes_in_a_readme_are_kept_in_whatever_encoding_they_are(encoder, tmp_path):
    notes = "Größe: nur für das Archiv\n".encode("cp1252")
    (tmp_path / "README.md").write_bytes(notes)

    save_adapter(encoder, tmp_path)
    save_adapter(encoder, tmp_path)

    card = (tmp_path / "README.md").read_bytes()
    assert card.endswith(notes)
    assert card.count(b"library_name") == 1
    assert card.count(notes) == 1
