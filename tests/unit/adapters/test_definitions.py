"""Each method does at its sites what its paper says: the formula, and what it is applied to."""

import pytest
import torch
import torch.nn.functional as F

from made_clips import write_random_clip
from mvadapter import build_adapter
from mvadapter.adapters.adaptformer import AdaptFormerConfig
from mvadapter.adapters.convpass import ConvpassConfig
from mvadapter.adapters.cross_modal import CrossModalAdapterConfig
from mvadapter.adapters.lora import LoraConfig
from mvadapter.adapters.sequence_transformer import SequenceTransformerConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import FrameLayout

LAYOUT = FrameLayout(num_videos=1, num_frames=2, mask=torch.ones(1, 2, dtype=torch.bool))


def randomised(adapter):
    """The adapter with every weight drawn, so that nothing hides behind a start at zero."""
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_()
    return adapter


@pytest.fixture
def stream(random_clip):
    """A residual stream of 5 tokens and its normalised form, which are far apart."""
    tokens = 3 + torch.randn(2, 5, random_clip.vision.width)
    return tokens, F.layer_norm(tokens, tokens.shape[-1:])


def test_parallel_adaptformer_reads_the_stream_before_the_norm(random_clip, stream):
    # Chen et al. 2022, equations 2 and 3: x' is the MLP's input before its norm, s = 0.1.
    block = randomised(build_adapter(AdaptFormerConfig(bottleneck_width=3), random_clip)).video["0"]
    (tokens, normed), inner = stream, block.bottleneck

    hidden = (tokens @ inner.down.weight.T + inner.down.bias).clamp(min=0)
    expected = 0.1 * (hidden @ inner.up.weight.T + inner.up.bias)

    torch.testing.assert_close(block.beside_mlp(tokens, normed, LAYOUT), expected)
    assert block.after_mlp(normed, LAYOUT) is None


def test_sequential_adaptformer_reads_the_output_of_the_mlp(random_clip, stream):
    config = AdaptFormerConfig(bottleneck_width=3, placement="sequential")
    block = randomised(build_adapter(config, random_clip)).video["0"]
    (tokens, output), inner = stream, block.bottleneck

    hidden = (output @ inner.down.weight.T + inner.down.bias).clamp(min=0)
    expected = 0.1 * (hidden @ inner.up.weight.T + inner.up.bias)

    torch.testing.assert_close(block.after_mlp(output, LAYOUT), expected)
    assert block.beside_mlp(tokens, output, LAYOUT) is None


def test_both_bypasses_of_convpass_read_normed_tokens(random_clip, stream):
    # Jie and Deng 2022, figure 3: beside MHSA and beside MLP, behind the norm of each.
    block = randomised(build_adapter(ConvpassConfig(bottleneck_width=3), random_clip)).video["0"]
    tokens, normed = stream

    torch.testing.assert_close(block.beside_mlp(tokens, normed, LAYOUT), block.of_mlp(normed))
    torch.testing.assert_close(block.beside_attention(normed, LAYOUT), block.of_attention(normed))
    assert not torch.allclose(block.of_mlp(tokens), block.of_mlp(normed))


def test_lora_is_scaled_by_alpha_over_rank(random_clip, stream):
    # Hu et al. 2022, section 4.1: (alpha / r) B A x; here 6 / 4.
    config = LoraConfig(rank=4, alpha=6.0, targets=("q", "o"), form="separate")
    adapter = randomised(build_adapter(config, random_clip))
    block, (tokens, _) = adapter.video["0"], stream

    for target, module in (("q", "q_proj"), ("o", "out_proj")):
        change = 1.5 * block.up[target] @ block.down[target]
        name = f"{random_clip.vision.prefix}.encoder.layers.0.self_attn.{module}.weight"
        torch.testing.assert_close(adapter.weight_changes()[name], change)
        torch.testing.assert_close(block.on_projection(target, tokens), tokens @ change.T)
    assert block.on_projection("k", tokens) is None


def test_cross_modal_towers_share_their_last_outputs_alone(random_clip):
    # Jiang et al. 2022, section 3.3: the last d_s outputs come from weights of both towers.
    config = CrossModalAdapterConfig(bottleneck_width=3, num_shared=4)
    adapter = randomised(build_adapter(config, random_clip))
    picture, caption = (blocks[max(blocks)] for blocks in (adapter.video, adapter.text))

    for site in ("of_mlp", "of_attention"):
        ours, theirs = getattr(picture, site), getattr(caption, site)
        assert ours.shared_up is theirs.shared_up
        assert ours.shared_bias is theirs.shared_bias
        width = ours.down.in_features
        tokens = torch.randn(2, 5, width)
        before = ours(tokens)
        with torch.no_grad():
            theirs.shared_up.add_(1.0)
        changed = (ours(tokens) - before).abs().amax(dim=(0, 1)) > 1e-6
        assert changed.tolist() == [False] * (width - 4) + [True] * 4


def test_the_sequence_transformer_starts_as_the_text_towers_first_blocks(tmp_path):
    # Luo et al. 2021, section 3.3: positions and blocks are CLIP's text tower's.
    clip = Backbone.load(write_random_clip(tmp_path / "clip", dim=32, width=32))
    adapter = build_adapter(SequenceTransformerConfig(num_layers=2), clip)

    for layer, block in enumerate(adapter.blocks):
        prefix = f"text_model.encoder.layers.{layer}"
        parts = zip(block.query_key_value.weight.chunk(3), ("q", "k", "v"), strict=True)
        for ours, name in parts:
            theirs = clip.weights[f"{prefix}.self_attn.{name}_proj.weight"]
            torch.testing.assert_close(ours, theirs.float())
        fc1 = clip.weights[f"{prefix}.mlp.fc1.weight"]
        torch.testing.assert_close(block.mlp_in.weight, fc1.float())
