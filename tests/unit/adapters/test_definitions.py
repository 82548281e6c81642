"""Each method does at its sites what its paper describes: the formula, and what it is applied to."""

import pytest
import torch
import torch.nn.functional as F

from made_clips import write_random_clip
from mvadapter import build_adapter
from mvadapter.adapters.methods.adaptformer import AdaptFormerConfig
from mvadapter.adapters.methods.convpass import ConvpassConfig
from mvadapter.adapters.methods.cross_modal import CrossModalAdapterConfig
from mvadapter.adapters.methods.lora import LoraConfig
from mvadapter.adapters.methods.prompts import PromptsConfig
from mvadapter.adapters.methods.sequence_transformer import SequenceTransformerConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import FrameLayout

LAYOUT = FrameLayout(num_videos=1, num_frames=2, mask=torch.ones(1, 2, dtype=torch.bool))


def randomised(adapter):
    """The adapter with every weight drawn, so that nothing hides behind a start at zero.

    In float64, as is all that it is given, so that the order of a sum does not show.
    """
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_()
    return adapter.double()


@pytest.fixture
def wide_clip(tmp_path):
    """One wide enough that the spread of what is drawn can be measured."""
    return Backbone.load(write_random_clip(tmp_path / "clip", width=256))


@pytest.fixture
def stream(random_clip):
    """A residual stream of 5 tokens and its normalised form, which are far apart."""
    tokens = 3 + torch.randn(2, 5, random_clip.vision.width, dtype=torch.float64)
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

    def bypass(module, tokens):
        return module(tokens, LAYOUT)

    of_mlp = bypass(block.of_mlp, normed)
    torch.testing.assert_close(block.beside_mlp(tokens, normed, LAYOUT), of_mlp)
    of_attention = bypass(block.of_attention, normed)
    torch.testing.assert_close(block.beside_attention(normed, LAYOUT), of_attention)
    assert not torch.allclose(bypass(block.of_mlp, tokens), of_mlp)


def test_lora_is_scaled_by_alpha_over_rank(random_clip, stream):
    # Hu et al. 2022, section 4.1: (alpha / r) B A x; here 6 / 4.
    config = LoraConfig(rank=4, alpha=6.0, targets=("q", "o"), form="separate")
    adapter = randomised(build_adapter(config, random_clip))
    block, (tokens, _) = adapter.video["0"], stream

    for target in ("q", "o"):
        change = 1.5 * block.up[target] @ block.down[target]
        name = f"{random_clip.vision.prefix}.blocks.0.attention.{target}.weight"
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
        tokens = torch.randn(2, 5, width, dtype=torch.float64)
        before = ours(tokens)
        with torch.no_grad():
            theirs.shared_up.add_(1.0)
        changed = (ours(tokens) - before).abs().amax(dim=(0, 1)) > 1e-6
        assert changed.tolist() == [False] * (width - 4) + [True] * 4


def test_an_adapter_of_cross_modal_is_a_bottleneck_with_quick_gelu(random_clip):
    # Jiang et al. 2022, equations 1 and 4: Up(sigma(Down(x))), unscaled; CLIP's activation.
    config = CrossModalAdapterConfig(bottleneck_width=3, num_shared=4)
    block = randomised(build_adapter(config, random_clip)).video["0"]
    tokens = torch.randn(2, 5, random_clip.vision.width, dtype=torch.float64)

    for site, module in (("after_mlp", block.of_mlp), ("after_attention", block.of_attention)):
        inner = tokens @ module.down.weight.T + module.down.bias
        hidden = inner * torch.sigmoid(1.702 * inner)
        weight = torch.cat([module.up, module.shared_up])
        bias = torch.cat([module.up_bias, module.shared_bias])
        added = getattr(block, site)(tokens, LAYOUT)
        torch.testing.assert_close(added, hidden @ weight.T + bias)


def test_a_word_of_convpass_meets_the_two_before_it(random_clip):
    config = ConvpassConfig(bottleneck_width=3)
    bypass = randomised(build_adapter(config, random_clip)).text["0"].of_mlp
    words = torch.randn(1, 4, random_clip.text.width, dtype=torch.float64)

    def quick_gelu(values):
        return values * torch.sigmoid(1.702 * values)

    narrow = quick_gelu(words @ bypass.down.weight.T + bypass.down.bias)
    before = torch.cat([torch.zeros_like(narrow[:, :2]), narrow], dim=1)
    mixed = bypass.kernel_bias + sum(
        before[:, tap : tap + 4] @ bypass.kernel[:, :, tap].T for tap in range(3)
    )
    expected = 0.1 * (quick_gelu(mixed) @ bypass.up.weight.T + bypass.up.bias)

    torch.testing.assert_close(bypass(words), expected)


def test_the_sequence_transformer_adds_to_the_frames(random_clip):
    # Luo et al. 2021, section 3.3: the frames plus what the transformer makes of them in place.
    adapter = randomised(build_adapter(SequenceTransformerConfig(num_layers=1), random_clip))
    frames = torch.randn(2, 3, random_clip.dim, dtype=torch.float64)
    mask = torch.ones(2, 3, dtype=torch.bool)

    (block,) = adapter.blocks
    made = block(frames + adapter.positions[:3], mask[:, None, None, :])

    torch.testing.assert_close(adapter.after_projection(frames, mask), frames + made)


def test_the_sequence_transformer_starts_as_the_text_towers_first_blocks(tmp_path):
    # Luo et al. 2021, section 3.3: positions and blocks are CLIP's text tower's.
    clip = Backbone.load(write_random_clip(tmp_path / "clip", dim=32, width=32))
    adapter = build_adapter(SequenceTransformerConfig(num_layers=2, num_positions=8), clip)

    positions = clip.weights["text.positions"]
    torch.testing.assert_close(adapter.positions, positions[:8])
    for layer, block in enumerate(adapter.blocks):
        prefix = f"text.blocks.{layer}"
        parts = zip(block.query_key_value.weight.chunk(3), ("q", "k", "v"), strict=True)
        for ours, name in parts:
            theirs = clip.weights[f"{prefix}.attention.{name}.weight"]
            torch.testing.assert_close(ours, theirs)
        fc1 = clip.weights[f"{prefix}.mlp.in.weight"]
        torch.testing.assert_close(block.mlp_in.weight, fc1)


def test_lora_is_not_scaled_by_default(random_clip, stream):
    # TempMe (Shen et al. 2025), whose count and form are the default's: alpha is the rank.
    block = randomised(build_adapter(LoraConfig(), random_clip)).video["0"]
    (tokens, _), changes = stream, block.up["v"] @ next(iter(block.down.values()))

    torch.testing.assert_close(block.on_projection("v", tokens), tokens @ changes.T)


def test_the_weights_that_do_not_start_at_zero_start_as_published(wide_clip):
    def start(config, *path):
        module = build_adapter(config, wide_clip)
        for name in path[:-1]:
            module = (
                module[name] if isinstance(module, torch.nn.ModuleDict) else getattr(module, name)
            )
        return getattr(module, path[-1]).detach()

    width = wide_clip.vision.width
    # AdaptFormer's code: Kaiming uniform with a = sqrt(5), which is +-1 / sqrt(inputs).
    down = start(AdaptFormerConfig(), "video", "0", "bottleneck", "down", "weight")
    assert float(down.abs().max()) == pytest.approx(width**-0.5, rel=0.02)
    # Convpass's code: Xavier uniform, +-sqrt(6 / (inputs + outputs)); the word itself alone.
    down = start(ConvpassConfig(), "text", "0", "of_mlp", "down", "weight")
    assert float(down.abs().max()) == pytest.approx((6 / (width + 8)) ** 0.5, rel=0.02)
    kernel = start(ConvpassConfig(), "text", "0", "of_mlp", "kernel")
    assert torch.equal(kernel[:, :, 2], torch.eye(8))
    assert not kernel[:, :, :2].any()
    # Jiang et al.'s code: a normal of 0.01.
    down = start(CrossModalAdapterConfig(), "video", "0", "of_mlp", "down", "weight")
    assert float(down.std()) == pytest.approx(0.01, rel=0.1)
    # VoP's code: a normal of 0.02.
    for prompts in (
        start(PromptsConfig(), "video", "0", "prompts"),
        start(PromptsConfig(), "text", "0", "prefix"),
        start(PromptsConfig(), "text", "0", "suffix"),
    ):
        assert float(prompts.std()) == pytest.approx(0.02, rel=0.1)
