import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import PreTrainedConfig

from made_clips import write_random_clip
from mvadapter.backbone.clip import Backbone
from mvadapter.errors import BackboneError, ConfigError


@pytest.fixture
def folder(random_clip_folder, tmp_path):
    return shutil.copytree(random_clip_folder, tmp_path / "clip")


def test_a_folder_gives_its_weights_in_the_wanted_precision(folder):
    backbone = Backbone.load(folder, dtype=torch.bfloat16)

    dtypes = {name: tensor.dtype for name, tensor in backbone.weights.items()}
    assert backbone.dtype == torch.bfloat16
    assert dtypes.pop("logit_scale") == torch.float32
    assert set(dtypes.values()) == {torch.bfloat16}


def test_the_temperature_is_exact_in_both_precisions():
    exact, narrow = (
        Backbone.load("tiny", dtype=dtype) for dtype in (torch.float32, torch.bfloat16)
    )

    assert narrow.temperature == exact.temperature


def test_the_fingerprint_is_the_same_in_both_precisions(folder):
    assert (
        Backbone.load(folder).fingerprint == Backbone.load(folder, dtype=torch.bfloat16).fingerprint
    )


def test_the_fingerprint_tells_two_clips_apart(folder, tmp_path):
    other = write_random_clip(tmp_path / "other", seed=1)

    assert Backbone.load(folder).fingerprint != Backbone.load(other).fingerprint


def test_a_name_that_nobody_has_says_what_to_do(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with pytest.raises(
        BackboneError, match="no such folder, and the hub did not provide it.*'tiny'"
    ):
        Backbone.load("somebody/nowhere")


@pytest.mark.parametrize("name", ["{}/nowhere", "./nowhere", "~/nowhere", "clips/vit/nowhere"])
def test_the_hub_is_not_asked_for_what_can_only_be_a_folder(name, tmp_path, monkeypatch):
    def ask(*_args, **_settings):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(PreTrainedConfig, "get_config_dict", ask)

    with pytest.raises(BackboneError, match=r"nowhere: no such folder; expected a folder with"):
        Backbone.load(name.format(tmp_path))


def test_a_file_is_no_clip_folder(tmp_path):
    (tmp_path / "ViT-B-32.pt").touch()

    with pytest.raises(BackboneError, match=r"is a file; expected a folder.*pickles.* not opened"):
        Backbone.load(tmp_path / "ViT-B-32.pt")


def test_weights_that_are_a_pickle_are_not_opened(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")

    with pytest.raises(BackboneError, match=r"contains no safetensors weights.*save_pretrained"):
        Backbone.load(folder)


def test_a_folder_without_a_config_is_no_clip(tmp_path):
    with pytest.raises(BackboneError, match=r"not a CLIP folder, it has no config\.json"):
        Backbone.load(tmp_path)


def test_another_model_is_refused_by_its_type(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "siglip"}))

    with pytest.raises(BackboneError, match=r"not a CLIP; config\.json has model_type 'siglip'"):
        Backbone.load(folder)


def test_a_config_that_is_no_json_is_refused(folder):
    (folder / "config.json").write_text("{")

    with pytest.raises(BackboneError, match=r"config\.json: not valid JSON"):
        Backbone.load(folder)


def test_truncated_weights_are_refused(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(BackboneError, match="the CLIP cannot be read"):
        Backbone.load(folder)


def test_missing_weights_are_counted(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(BackboneError, match=r"1 weights are missing, visual_projection\.weight"):
        Backbone.load(folder)


def test_a_pickle_is_not_opened(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")

    with pytest.raises(BackboneError):
        Backbone.load(folder)


def test_other_precisions_are_refused(folder):
    with pytest.raises(ConfigError, match=r"must be torch\.float32 or torch\.bfloat16"):
        Backbone.load(folder, dtype=torch.float16)


def test_a_folder_without_a_tokenizer_still_embeds_frames(folder):
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (folder / name).unlink(missing_ok=True)
    backbone = Backbone.load(folder)

    with pytest.raises(BackboneError, match="no tokenizer here"):
        _ = backbone.tokenizer


def test_captions_become_start_words_end_and_padding(random_clip):
    token_ids, mask = random_clip.tokenizer.encode(["a b", "a b c d e f g h"], max_tokens=6)

    assert token_ids.shape == (2, 6)
    assert mask.tolist() == [[True] * 4 + [False] * 2, [True] * 6]
    start, end = token_ids[0, 0], token_ids[0, 3]
    assert token_ids[1, 0] == start
    assert token_ids[1, 5] == end
    assert token_ids[0, 4:].tolist() == [end, end]


def test_no_captions_are_no_rows(random_clip):
    token_ids, mask = random_clip.tokenizer.encode([], max_tokens=6)

    assert token_ids.shape == mask.shape == (0, 6)


def test_threads_cut_captions_at_different_lengths(random_clip):
    caption = "a b c d e f g h i j k l m n o p"

    def encode(max_tokens):
        return [
            random_clip.tokenizer.encode([caption], max_tokens)[1].sum().item() for _ in range(300)
        ]

    lengths = [4, 7, 10, 13]
    with ThreadPoolExecutor(len(lengths)) as pool:
        found = list(pool.map(encode, lengths))

    assert found == [[length] * 300 for length in lengths]


def test_an_unknown_device_is_one_line(folder):
    for device in ("nonsense", "cuda:99"):
        with pytest.raises(ConfigError, match=f"device '{device}' cannot be used here"):
            Backbone.load(folder, device=device)


@pytest.mark.parametrize(
    "change",
    [
        {"vision_config": "x"},
        {"vision_config": {"hidden_size": "x"}},
        {"vision_config": {"num_attention_heads": 0}},
    ],
)
def test_a_config_full_of_nonsense_is_one_line(folder, change):
    config = json.loads((folder / "config.json").read_text())
    for key, value in change.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))

    with pytest.raises(BackboneError, match="cannot be read"):
        Backbone.load(folder)


def test_the_fingerprint_tells_two_shapes_with_the_same_weights_apart(folder):
    before = Backbone.load(folder).fingerprint
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_attention_heads"] *= 2
    (folder / "config.json").write_text(json.dumps(config))

    assert Backbone.load(folder).fingerprint != before


def test_words_need_room(random_clip):
    with pytest.raises(ConfigError, match="max_tokens must be at least 3"):
        random_clip.tokenizer.encode(["a"], max_tokens=2)


def change_vision(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"] |= changes
    (folder / "config.json").write_text(json.dumps(config))


def test_sizes_may_be_two_equal_sides(folder):
    before = Backbone.load(folder)
    change_vision(folder, image_size=[32, 32], patch_size=[16, 16])

    assert Backbone.load(folder).fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": [32, 48]}, r"image_size \[32, 48\]; only squares are supported"),
        ({"patch_size": [16]}, r"patch_size \[16\]; only squares are supported"),
        ({"image_size": None}, "image_size None; only squares are supported, one number"),
        ({"patch_size": 0}, "patch_size 0; only squares are supported, one number of at least 1"),
        ({"patch_size": 12}, "image_size 32 is no multiple of patch_size 12"),
        ({"hidden_act": "relu"}, "activation 'relu' is not known; CLIP uses quick_gelu or gelu"),
    ],
)
def test_a_shape_that_is_not_supported_is_one_line(folder, changes, message):
    change_vision(folder, **changes)

    with pytest.raises(BackboneError, match=message):
        Backbone.load(folder)
