"""A checkpoint as the authors' released training saves it, with CLIP's biases under their names.

Origin: golden/README.md. Dropped biases or another tying position are wrong by 0.2 here.
"""

import pytest
import torch
from safetensors.torch import load_file

from mvadapter import Backbone, load_authors_checkpoint
from mvadapter.errors import AdapterFolderError, UnknownNameError


@pytest.fixture(scope="module")
def folder(golden_folder):
    return golden_folder / "mv_released_biases"


@pytest.fixture(scope="module")
def backbone(folder):
    return Backbone.load(folder / "backbone")


@pytest.fixture
def tensors(folder):
    return load_file(folder / "authors_checkpoint.safetensors")


def assert_features_equal(encoder, folder):
    expected = load_file(folder / "expected.safetensors")
    videos = encoder.embed_videos(expected["video"], expected["frame_mask"].bool())
    captions = encoder.embed_tokens(expected["input_ids"], expected["input_ids"] != 0)
    torch.testing.assert_close(videos, expected["video_embedding"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(captions, expected["text_embedding"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("position", [None, "down-in", "down in", "Down_In"])
def test_features_equal_the_authors_however_the_tying_position_is_written(
    tensors, backbone, folder, position
):
    encoder = load_authors_checkpoint(tensors, backbone, tying_position=position)

    assert len(encoder.adapter.backbone_weights) == 35
    assert_features_equal(encoder, folder)


def test_names_without_the_prefix_are_read_too(tensors, backbone, folder):
    bare = {name.removeprefix("clip."): tensor for name, tensor in tensors.items()}

    assert_features_equal(load_authors_checkpoint(bare, backbone), folder)


def test_a_position_that_the_shapes_contradict_is_refused(tensors, backbone):
    with pytest.raises(
        AdapterFolderError, match=r"at down-out has 16; it can be down-in or up-out"
    ):
        load_authors_checkpoint(tensors, backbone, tying_position="down-out")
    with pytest.raises(UnknownNameError, match="tying_position 'down' is not known"):
        load_authors_checkpoint(tensors, backbone, tying_position="down")


def test_a_position_is_demanded_where_the_shapes_show_none(tensors, backbone):
    gates = {name: tensor for name, tensor in tensors.items() if "md_proj" in name}
    odd = {name: torch.rand(3, *tensor.shape[1:]) for name, tensor in gates.items()}

    with pytest.raises(AdapterFolderError, match="3 channels, which does not show what it scales"):
        load_authors_checkpoint(tensors | odd, backbone)


def test_factors_that_no_layer_uses_are_left_out(tensors, backbone):
    untied = {name: tensor for name, tensor in tensors.items() if "md_proj" not in name}

    encoder = load_authors_checkpoint(untied, backbone)

    assert encoder.adapter.config.tying == "none"


def test_a_bias_that_is_missing_or_there_twice_is_refused(tensors, backbone):
    key = "clip.transformer.resblocks.0.mlp.ln.bias"
    with pytest.raises(AdapterFolderError, match="is there under two names"):
        load_authors_checkpoint(
            tensors | {"clip.transformer.resblocks.0.ln_2.bias": tensors[key]}, backbone
        )

    del tensors[key]

    with pytest.raises(AdapterFolderError, match=r"missing, 'backbone\.text\.blocks\.0\.norm2"):
        load_authors_checkpoint(tensors, backbone)


def test_weights_that_are_no_finite_floats_are_refused(tensors, backbone):
    key = "clip.ln_final.bias"

    with pytest.raises(AdapterFolderError, match="holds int64, expected finite numbers"):
        load_authors_checkpoint(tensors | {key: tensors[key].long()}, backbone)
    with pytest.raises(AdapterFolderError, match="NaN or infinite"):
        load_authors_checkpoint(tensors | {key: tensors[key] / 0}, backbone)
