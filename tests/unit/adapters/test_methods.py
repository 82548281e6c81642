"""What single methods promise beyond the contract that all of them keep."""

import dataclasses

import pytest
import torch

from mvadapter import Encoder, build_adapter
from mvadapter.adapters.build import adapter_config
from mvadapter.adapters.methods.convpass import ConvpassConfig
from mvadapter.adapters.methods.cross_modal import CrossModalAdapterConfig
from mvadapter.adapters.methods.lora import LoraConfig
from mvadapter.adapters.methods.prompts import PromptsConfig
from mvadapter.adapters.methods.sequence_transformer import SequenceTransformerConfig
from mvadapter.adapters.methods.st_adapter import StAdapterConfig
from mvadapter.adapters.variants import VARIANTS
from mvadapter.errors import ConfigError, UnknownNameError
from tolerances import in_float64, rounding


def moved(config, backbone) -> Encoder:
    """An encoder away from its start, in float64, so that the order of a sum does not show."""
    encoder = Encoder(backbone, build_adapter(config, backbone))
    with torch.no_grad():
        for parameter in encoder.trainable_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return in_float64(encoder)


def token_features(encoder, token_ids, end):
    """The text tower's output at one token: the feature of the caption that ends there."""
    mask = torch.arange(token_ids.shape[1])[None] <= end
    return encoder.embed_tokens(token_ids, mask)


@pytest.mark.parametrize(
    "config",
    [ConvpassConfig(bottleneck_width=4), LoraConfig(rank=2), PromptsConfig()],
    ids=lambda config: config.name,
)
def test_no_word_sees_a_later_one(config, random_clip):
    encoder = moved(config, random_clip)
    token_ids = torch.randint(0, 500, (1, 8))
    changed = token_ids.clone()
    changed[0, 5:] = 3

    before, after = (token_features(encoder, ids, 4) for ids in (token_ids, changed))
    torch.testing.assert_close(before, after, atol=rounding(before.shape[1]), rtol=0)


@pytest.mark.parametrize("name", ["prefix", "suffix"])
def test_every_text_prompt_reaches_the_captions_feature(name, random_clip):
    encoder = moved(PromptsConfig(num_prefix=2, num_suffix=2), random_clip)
    token_ids, mask = torch.randint(0, 500, (2, 8)), torch.arange(8) < torch.tensor([[8], [5]])
    before = encoder.embed_tokens(token_ids, mask)

    with torch.no_grad():
        prompts = encoder.adapter.text_blocks[1].get_parameter(name)
        prompts.add_(torch.randn_like(prompts))

    assert ((encoder.embed_tokens(token_ids, mask) - before).abs().amax(dim=1) > 1e-4).all()


def test_prompts_leave_the_tokens_where_they_were(random_clip):
    block = build_adapter(PromptsConfig(), random_clip).text_blocks[0]
    tokens, mask = torch.randn(2, 8, 32), torch.arange(8) < torch.tensor([[8], [5]])

    longer = block.before_attention(tokens, mask)

    assert longer.shape == (2, 16, 32)
    # By hand: start, 4 prefix prompts, 3 words, 4 suffix prompts, end, 3 tokens of padding.
    torch.testing.assert_close(longer[1, 5:8], tokens[1, 1:4])
    torch.testing.assert_close(longer[1, 8:12], block.suffix)
    torch.testing.assert_close(longer[1, 12:], tokens[1, 4:])
    assert torch.equal(block.after_block(longer, mask), tokens)


def test_both_towers_move_with_a_shared_output(random_clip):
    adapter = build_adapter(CrossModalAdapterConfig(num_shared=8), random_clip)

    shared = adapter.get_parameter("shared.0")

    assert adapter.video_blocks[0].of_mlp.shared_up is shared
    assert adapter.text_blocks[0].of_mlp.shared_up is shared


def test_sharing_more_outputs_than_a_tower_has_is_refused(random_clip):
    with pytest.raises(ConfigError, match=r"num_shared \(64\) must be at most .* 32"):
        build_adapter(CrossModalAdapterConfig(num_shared=64), random_clip)


def test_a_frame_of_st_adapter_sees_its_neighbours_alone(random_clip):
    encoder = moved(StAdapterConfig(bottleneck_width=4, text="none"), random_clip)
    module = encoder.adapter.video_blocks[0].of_attention
    from mvadapter.backbone.sites import FrameLayout

    tokens = torch.randn(5, 5, 32, dtype=torch.float64)
    layout = FrameLayout(num_videos=1, num_frames=5, mask=torch.ones(1, 5, dtype=torch.bool))
    before = module(tokens, layout)
    tokens[0] += 1.0

    moved_frames = (module(tokens, layout) - before)[:, 1:].abs().amax(dim=(1, 2)) > 1e-5

    assert moved_frames.tolist() == [True, True, False, False, False]


def test_more_frames_than_positions_name_the_setting(random_clip):
    config = SequenceTransformerConfig(num_positions=2)
    encoder = Encoder(random_clip, build_adapter(config, random_clip))

    with pytest.raises(ConfigError, match="build it with num_positions=3"):
        encoder.embed_videos(torch.randn(1, 3, 3, 32, 32), torch.ones(1, 3).bool())


def test_lora_starts_at_clips_own_weights(random_clip):
    changes = build_adapter(LoraConfig(rank=2), random_clip).weight_changes()

    assert len(changes) == 2 * 2 * 3
    assert not any(change.any() for change in changes.values())


# The rows of the paper's tables, and the questions beyond them, as settings.
_COMPARED = {"bottleneck_width": 128, "has_input_norm": True, "has_trained_biases": True}
_COMPARED_TEXT = {"text_bottleneck_width": 128, "has_input_norm": True, "has_trained_biases": True}
ROWS = {
    "adaptformer-sequential": ("adaptformer", {"placement": "sequential"}),
    "adaptformer-paper": ("adaptformer", _COMPARED),
    "adaptformer-sequential-paper": ("adaptformer", {"placement": "sequential", **_COMPARED}),
    "convpass-paper": (
        "convpass",
        {"bottleneck_width": 64, "is_depthwise": True, "text": "adaptformer", **_COMPARED_TEXT},
    ),
    "st-adapter-paper": ("st-adapter", _COMPARED_TEXT),
    "cross-modal-adapter-paper": (
        "cross-modal-adapter",
        {"sites": "mlp", "has_shared_biases": False, **_COMPARED},
    ),
    "mv-adapter-paper": ("mv-adapter", {"has_trained_biases": True}),
    "mv-adapter-down-up": ("mv-adapter", {"depth": "bottleneck", "tying": "none"}),
    "mv-adapter-transformer": ("mv-adapter", {"depth": "transformer", "tying": "none"}),
    "mv-adapter-calibration": ("mv-adapter", {"depth": "calibration", "tying": "none"}),
    "mv-adapter-text-only": ("mv-adapter", {"video_layers": (), "tying": "none"}),
    "mv-adapter-video-only": ("mv-adapter", {"text_layers": (), "tying": "none"}),
    "mv-adapter-untied": ("mv-adapter", {"tying": "none"}),
    "mv-adapter-tied": ("mv-adapter", {"tying": "factor"}),
    "mv-adapter-large": ("mv-adapter", {"bottleneck_width": 128}),
    "mv-adapter-down-in": ("mv-adapter", {"tying_position": "down-in"}),
    "mv-adapter-down-out": ("mv-adapter", {"tying_position": "down-out"}),
    "mv-adapter-up-in": ("mv-adapter", {"tying_position": "up-in"}),
    "mv-adapter-up-out": ("mv-adapter", {"tying_position": "up-out"}),
    "mv-adapter-tied-1": ("mv-adapter", {"tied_layers": (-1,)}),
    "mv-adapter-tied-2": ("mv-adapter", {"tied_layers": (-2, -1)}),
    "mv-adapter-tied-3": ("mv-adapter", {"tied_layers": (-3, -2, -1)}),
    "mv-adapter-tied-6": ("mv-adapter", {"tied_layers": tuple(range(-6, 0))}),
    "mv-adapter-tied-12": ("mv-adapter", {"tied_layers": tuple(range(-12, 0))}),
    "mv-adapter-factor-8": ("mv-adapter", {"factor_dim": 8}),
    "mv-adapter-factor-16": ("mv-adapter", {"factor_dim": 16}),
    "mv-adapter-factor-32": ("mv-adapter", {"factor_dim": 32}),
    "mv-adapter-factor-64": ("mv-adapter", {"factor_dim": 64}),
    "mv-adapter-unshared": ("mv-adapter", {"has_shared_factor": False}),
    "mv-adapter-authors-init": (
        "mv-adapter",
        {"tying_init": "authors", "position_init": "authors"},
    ),
    "mv-adapter-authors-gates": ("mv-adapter", {"tying_init": "authors"}),
    "mv-adapter-authors-positions": ("mv-adapter", {"position_init": "authors"}),
    "mv-adapter-kronecker": ("mv-adapter", {"tying": "kronecker"}),
    "mv-adapter-biases": ("mv-adapter", {"has_trained_biases": True}),
    "mv-adapter-no-context": ("mv-adapter", {"has_context_token": False}),
}


def test_every_variant_has_its_row():
    assert VARIANTS.keys() == ROWS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_variant_differs_from_its_method_in_what_its_row_says(name):
    method, settings = ROWS[name]
    usual = adapter_config(method, {}, "test")

    assert adapter_config(name, {}, "test") == dataclasses.replace(usual, **settings)


def test_own_settings_win_over_the_variants():
    config = adapter_config("mv-adapter-factor-8", {"factor_dim": 5}, "test")

    assert config.factor_dim == 5


def test_an_unknown_method_gets_the_nearest_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'st-adapter-paper'"):
        adapter_config("st-adapter-papr", {}, "test")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lora", {"rank": 0}, "rank must be at least 1, got 0"),
        ("lora", {"alpha": 0.0}, "alpha must be above 0"),
        ("lora", {"targets": []}, "targets must name some of q, k, v, o, each once"),
        ("adaptformer", {"bottleneck_width": 0}, "bottleneck_width must be at least 1"),
        ("adaptformer", {"scale": 0.0}, "scale must be above 0"),
        ("convpass", {"text_bottleneck_width": 0}, "text_bottleneck_width must be at least 1"),
        ("st-adapter", {"text_bottleneck_width": 0}, "text_bottleneck_width must be at least 1"),
        ("cross-modal-adapter", {"num_shared": 0}, "num_shared must be at least 1"),
        ("sequence-transformer", {"num_layers": 0}, "num_layers must be at least 1"),
        ("prompts", {"num_suffix": 0}, "num_suffix must be at least 1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        adapter_config(name, settings, "test")
