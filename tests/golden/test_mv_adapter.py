"""Our MV-Adapter against tensors that the authors' own modules computed.

Origin: the authors' repository at commit 08a61f3, float32 on a CPU, random weights and inputs, as
golden/README.md says. ``backbone`` is the CLIP, ``authors_checkpoint`` what their code saves.

Features must come out to 1e-4. Both sides are in float32, and no order of their sums makes more
than a tenth of that.
"""

import json

import pytest
import torch
from safetensors.torch import load_file

from mvadapter import Backbone, load_adapter, load_authors_checkpoint, save_adapter
from mvadapter.encoder.authors import _translate
from mvadapter.errors import AdapterFolderError
from mvadapter.training.loss import symmetric_info_nce
from tolerances import in_float64

pytestmark = pytest.mark.parametrize("case", ["mv_down_in", "mv_untied"])


@pytest.fixture
def backbone(case, golden_folder):
    return Backbone.load(golden_folder / case / "backbone")


@pytest.fixture
def encoder(case, golden_folder, backbone):
    return load_authors_checkpoint(
        golden_folder / case / "authors_checkpoint.safetensors", backbone
    )


@pytest.fixture
def expected(case, golden_folder):
    tensors = load_file(golden_folder / case / "expected.safetensors")
    tensors["frame_mask"] = tensors["frame_mask"].bool()
    tensors["token_mask"] = tensors["input_ids"] != 0
    return tensors


def embed(encoder, expected):
    videos = encoder.embed_videos(expected["video"], expected["frame_mask"])
    captions = encoder.embed_tokens(expected["input_ids"], expected["token_mask"])
    return captions, videos


def test_frame_features_equal_the_authors(encoder, expected):
    frames = encoder.embed_frames(expected["video"], expected["frame_mask"])

    real = expected["frame_mask"]
    torch.testing.assert_close(frames[real], expected["frame_features"][real], atol=1e-4, rtol=1e-4)


def test_embeddings_logits_and_loss_equal_the_authors(encoder, expected):
    captions, videos = embed(encoder, expected)

    logits = encoder.temperature * captions @ videos.T
    loss = symmetric_info_nce(captions, videos, encoder.temperature)

    torch.testing.assert_close(videos, expected["video_embedding"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(captions, expected["text_embedding"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits, expected["logits"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(loss, expected["loss"][0], atol=1e-4, rtol=1e-4)


def test_every_gradient_equals_the_authors(encoder, expected, case, golden_folder):
    captions, videos = embed(encoder, expected)
    symmetric_info_nce(captions, videos, encoder.temperature).backward()
    theirs = load_file(golden_folder / case / "expected_gradients.safetensors")

    ours = encoder.trainable_parameters()
    translated = {
        name: part
        for their_name, gradient in theirs.items()
        for name, part in _translate(their_name, gradient, "down-in", "golden")
    }

    assert translated.keys() == ours.keys()
    for name, gradient in translated.items():
        error = (ours[name].grad - gradient).norm() / gradient.norm()
        assert error < 1e-3, name


def test_the_frozen_clip_equals_the_authors(backbone, expected, encoder):
    encoder.adapter.video_blocks.clear()
    encoder.adapter.text_blocks.clear()

    # In float64, so that all that is left is the rounding of the authors' float32.
    exact = in_float64(encoder).embed_frames(expected["video"].double(), expected["frame_mask"])

    real = expected["frame_mask"]
    torch.testing.assert_close(
        exact[real], expected["frozen_frame_features"][real].double(), atol=1e-5, rtol=0
    )


def test_sizes_are_read_off_the_tensors(encoder, case, golden_folder):
    sizes = json.loads((golden_folder / case / "case.json").read_text())

    config = encoder.adapter.config

    assert config.num_frames == sizes["frames"]
    assert config.max_tokens == sizes["words"]
    assert config.bottleneck_width == sizes["mid"]
    assert config.tied_layers == tuple(
        layer - sizes["vision_layers"] for layer in sizes["tying_layers"]
    )
    assert config.tying == ("factor" if sizes["tying_layers"] else "none")


def test_an_authors_checkpoint_survives_our_own_format(encoder, expected, backbone, tmp_path):
    save_adapter(encoder, tmp_path / "adapter")

    again = load_adapter(tmp_path / "adapter", backbone)

    for ours, theirs in zip(embed(again, expected), embed(encoder, expected), strict=True):
        assert torch.equal(ours, theirs)


def test_a_checkpoint_with_a_missing_tensor_is_refused(case, golden_folder, backbone):
    tensors = load_file(golden_folder / case / "authors_checkpoint.safetensors")
    del tensors["clip.visual.transformer.resblocks.1.mlp.adapter.cc"]

    with pytest.raises(AdapterFolderError, match=r"missing, 'video\.1\.context'"):
        load_authors_checkpoint(tensors, backbone)


def test_a_checkpoint_with_a_stranger_is_refused(case, golden_folder, backbone):
    tensors = load_file(golden_folder / case / "authors_checkpoint.safetensors")
    tensors["clip.visual.proj"] = torch.zeros(3)

    with pytest.raises(AdapterFolderError, match=r"'clip\.visual\.proj' is neither part of"):
        load_authors_checkpoint(tensors, backbone)


def test_a_checkpoint_without_the_context_token_is_read(case, golden_folder, backbone, expected):
    # Their code keeps the token and all positions then, and only leaves out the token's map.
    tensors = load_file(golden_folder / case / "authors_checkpoint.safetensors")
    for name in [name for name in tensors if ".conv_rf_c.g." in name]:
        del tensors[name]
    for name in [name for name in tensors if name.endswith("conv_rf_c.a.weight")]:
        tensors[name] = tensors[name][:, :16].clone()

    encoder = load_authors_checkpoint(tensors, backbone)

    assert not encoder.adapter.config.has_context_token
    assert encoder.inputs.num_frames == 5
    assert encoder.embed_videos(expected["video"], expected["frame_mask"]).isfinite().all()


def test_a_layer_norm_on_the_input_is_recognised_under_any_name(case, golden_folder, backbone):
    tensors = load_file(golden_folder / case / "authors_checkpoint.safetensors")
    norms = {}
    for name in [name for name in tensors if name.endswith("down.weight")]:
        for part in ("weight", "bias"):
            key = name.replace("down.weight", f"ln_in.{part}")
            norms[key] = torch.rand(tensors[name].shape[1])

    encoder = load_authors_checkpoint(tensors | norms, backbone)

    assert encoder.adapter.config.has_input_norm
    ours = encoder.trainable_parameters()["video.0.input_norm.weight"]
    theirs = norms["clip.visual.transformer.resblocks.0.mlp.adapter.ln_in.weight"]
    assert torch.equal(ours, theirs)


def test_biases_of_clip_under_openais_names_are_taken_over(case, golden_folder, backbone):
    tensors = load_file(golden_folder / case / "authors_checkpoint.safetensors")
    tensors |= openai_biases(backbone)

    encoder = load_authors_checkpoint(tensors, backbone)

    copies = encoder.adapter.backbone_weights
    assert copies.keys() == set(backbone.bias_names)
    for name, copy in copies.items():
        torch.testing.assert_close(copy.detach(), backbone.weights[name] + 1)


def openai_biases(backbone):
    """Every bias of the CLIP, raised by 1, under the names and in the layout of OpenAI's code."""
    weights = {name: tensor + 1 for name, tensor in backbone.weights.items()}
    biases = {
        "clip.visual.ln_pre.bias": weights["vision.norm_in.bias"],
        "clip.visual.ln_post.bias": weights["vision.norm_out.bias"],
        "clip.ln_final.bias": weights["text.norm_out.bias"],
    }
    for tower, theirs in (("vision", "clip.visual."), ("text", "clip.")):
        for layer in range(2):
            ours = f"{tower}.blocks.{layer}"
            block = f"{theirs}transformer.resblocks.{layer}"
            biases |= {
                f"{block}.ln_1.bias": weights[f"{ours}.norm1.bias"],
                f"{block}.ln_2.bias": weights[f"{ours}.norm2.bias"],
                f"{block}.attn.out_proj.bias": weights[f"{ours}.attention.o.bias"],
                f"{block}.attn.in_proj_bias": torch.cat(
                    [weights[f"{ours}.attention.{part}.bias"] for part in "qkv"]
                ),
                f"{block}.mlp.c_fc.bias": weights[f"{ours}.mlp.in.bias"],
                f"{block}.mlp.c_proj.bias": weights[f"{ours}.mlp.out.bias"],
            }
    return biases
