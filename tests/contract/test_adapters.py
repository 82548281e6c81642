"""The promises of every method; a new one is a line in ADAPTERS and inherits these tests."""

import pytest
import torch

from mvadapter import (
    Backbone,
    Encoder,
    FrozenConfig,
    MvAdapterConfig,
    build_adapter,
    load_adapter,
    save_adapter,
)
from mvadapter.adapters.build import METHODS
from mvadapter.adapters.methods.adaptformer import AdaptFormerConfig
from mvadapter.adapters.methods.bitfit import BitFitConfig
from mvadapter.adapters.methods.convpass import ConvpassConfig
from mvadapter.adapters.methods.cross_modal import CrossModalAdapterConfig
from mvadapter.adapters.methods.full import FullConfig
from mvadapter.adapters.methods.lora import LoraConfig
from mvadapter.adapters.methods.projection import ProjectionConfig
from mvadapter.adapters.methods.prompts import PromptsConfig
from mvadapter.adapters.methods.sequence_transformer import SequenceTransformerConfig
from mvadapter.adapters.methods.st_adapter import StAdapterConfig
from tolerances import in_float64, rounding

_SMALL = {"bottleneck_width": 8, "factor_dim": 4, "num_frames": 6, "max_tokens": 12}

ADAPTERS = {
    "frozen": FrozenConfig(),
    "full": FullConfig(),
    "projection": ProjectionConfig(),
    "bitfit": BitFitConfig(),
    "lora": LoraConfig(rank=2),
    "lora, separate and scaled": LoraConfig(
        rank=2, alpha=1.0, form="separate", targets=("q", "v", "o")
    ),
    "adaptformer": AdaptFormerConfig(bottleneck_width=8),
    "adaptformer, sequential": AdaptFormerConfig(bottleneck_width=8, placement="sequential"),
    "adaptformer, vision alone": AdaptFormerConfig(bottleneck_width=8, text="none"),
    "adaptformer, in the paper's form": AdaptFormerConfig(
        bottleneck_width=8, has_input_norm=True, has_trained_biases=True
    ),
    "convpass": ConvpassConfig(bottleneck_width=4),
    "convpass, beside the attention": ConvpassConfig(bottleneck_width=4, sites="attention"),
    "convpass, in the paper's form": ConvpassConfig(
        bottleneck_width=4, is_depthwise=True, text="adaptformer", has_input_norm=True
    ),
    "st-adapter": StAdapterConfig(bottleneck_width=8),
    "st-adapter, 3x3x3 at both sites": StAdapterConfig(
        bottleneck_width=8, kernel="3x3x3", sites="both", text="none"
    ),
    "cross-modal-adapter": CrossModalAdapterConfig(bottleneck_width=4, num_shared=8),
    "cross-modal-adapter, in the paper's form": CrossModalAdapterConfig(
        bottleneck_width=4, num_shared=8, sites="mlp", has_shared_biases=False, has_input_norm=True
    ),
    "sequence-transformer": SequenceTransformerConfig(num_layers=2, num_positions=6),
    "prompts": PromptsConfig(num_video=3, num_prefix=2, num_suffix=2),
    "mv-adapter": MvAdapterConfig(**_SMALL),
    "mv-adapter, authors' init": MvAdapterConfig(
        **_SMALL, tying_init="authors", position_init="authors"
    ),
    "mv-adapter, untied": MvAdapterConfig(**_SMALL, tying="none"),
    "mv-adapter, down-out": MvAdapterConfig(**_SMALL, tying_position="down-out"),
    "mv-adapter, up-in": MvAdapterConfig(**_SMALL, tying_position="up-in"),
    "mv-adapter, up-out": MvAdapterConfig(**_SMALL, tying_position="up-out"),
    "mv-adapter, unshared factor": MvAdapterConfig(**_SMALL, has_shared_factor=False),
    "mv-adapter, kronecker": MvAdapterConfig(**_SMALL, tying="kronecker"),
    "mv-adapter, input norm": MvAdapterConfig(**_SMALL, has_input_norm=True),
    "mv-adapter, biases": MvAdapterConfig(**_SMALL, has_trained_biases=True),
    "mv-adapter, bottleneck": MvAdapterConfig(**_SMALL, depth="bottleneck"),
    "mv-adapter, transformer": MvAdapterConfig(**_SMALL, depth="transformer"),
    "mv-adapter, no context": MvAdapterConfig(**_SMALL, has_context_token=False),
    "mv-adapter, video only": MvAdapterConfig(**_SMALL, text_layers=(), tying="none"),
    "mv-adapter, text only": MvAdapterConfig(**_SMALL, video_layers=(), tying="none"),
}

pytestmark = pytest.mark.parametrize("config", ADAPTERS.values(), ids=ADAPTERS)

STARTS_ELSEWHERE = {"prompts", "sequence-transformer"}
"""Methods that change features before they are trained; their docstrings say why."""
KNOWS_ORDER = {"mv-adapter", "st-adapter", "sequence-transformer"}
"""Methods that see the order of frames; the others embed each frame by itself."""


def test_every_method_is_held_to_the_promises(config):
    assert config.name in METHODS
    assert {one.name for one in ADAPTERS.values()} == set(METHODS)


@pytest.fixture
def encoder(config, random_clip) -> Encoder:
    return Encoder(random_clip, build_adapter(config, random_clip))


@pytest.fixture
def videos():
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    return torch.randn(2, 4, 3, 32, 32), mask


@pytest.fixture
def captions():
    mask = torch.arange(8) < torch.tensor([[8], [5]])
    return torch.randint(0, 500, (2, 8)), mask


def move(encoder: Encoder) -> None:
    """Bring all weights away from their start."""
    with torch.no_grad():
        for parameter in encoder.trainable_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))


def embed(encoder, videos, captions):
    return encoder.embed_videos(*videos), encoder.embed_tokens(*captions)


def test_an_untrained_adapter_changes_no_feature_by_a_bit(encoder, random_clip, videos, captions):
    if encoder.adapter.config.name in STARTS_ELSEWHERE:
        pytest.skip("this method cannot start as the identity")
    frozen = Encoder(random_clip, build_adapter(FrozenConfig(), random_clip))

    for ours, theirs in zip(
        embed(encoder, videos, captions), embed(frozen, videos, captions), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_padded_frames_reach_no_feature(encoder, videos):
    move(encoder)
    pixels, mask = videos
    before = encoder.embed_videos(pixels, mask)
    pixels[1, 2:] = 1e4

    after = encoder.embed_videos(pixels, mask)

    assert torch.equal(before, after)


def test_padding_a_video_changes_nothing(encoder, videos):
    move(encoder)
    encoder = in_float64(encoder)
    pixels, mask = videos

    padded = encoder.embed_videos(pixels, mask)[1:]
    alone = encoder.embed_videos(pixels[1:, :2], mask[1:, :2])

    torch.testing.assert_close(padded, alone, atol=rounding(padded.shape[1]), rtol=0)


def test_only_methods_that_see_time_notice_the_order_of_frames(encoder, videos, config):
    move(encoder)
    encoder = in_float64(encoder)
    pixels, mask = videos[0][:1], videos[1][:1]

    forwards = encoder.embed_videos(pixels, mask)
    backwards = encoder.embed_videos(pixels.flip(1), mask)

    sees_time = config.name in KNOWS_ORDER and _stands_in_time(config)
    is_same = torch.allclose(forwards, backwards, atol=rounding(forwards.shape[1]), rtol=0)
    assert is_same != sees_time


def _stands_in_time(config):
    """Whether this form of a method has its temporal part."""
    if not isinstance(config, MvAdapterConfig):
        return True
    return config.video_layers != () and config.depth != "bottleneck"


def test_padded_words_reach_no_feature(encoder, captions):
    move(encoder)
    token_ids, mask = captions
    before = encoder.embed_tokens(token_ids, mask)
    token_ids[1, 5:] = 7

    after = encoder.embed_tokens(token_ids, mask)

    assert torch.equal(before, after)


def test_padding_a_caption_changes_nothing(encoder, captions):
    move(encoder)
    encoder = in_float64(encoder)
    token_ids, mask = captions

    padded = encoder.embed_tokens(token_ids, mask)[1:]
    alone = encoder.embed_tokens(token_ids[1:, :5], mask[1:, :5])

    torch.testing.assert_close(padded, alone, atol=rounding(padded.shape[1]), rtol=0)


def test_training_moves_every_declared_weight_and_nothing_else(
    encoder, config, random_clip, videos, captions
):
    parameters = encoder.trainable_parameters()
    # Away from the start, where weights behind a zero cannot move yet.
    move(encoder)
    before = {name: parameter.clone() for name, parameter in parameters.items()}
    fingerprint = {name: tensor.clone() for name, tensor in random_clip.weights.items()}
    if not parameters:
        pytest.skip("this method trains nothing")

    optimizer = torch.optim.SGD(parameters.values(), lr=1.0)
    video, caption = embed(encoder, videos, captions)
    # Not a norm, which is constant for unit vectors: one entry of the scores.
    score = encoder.log_temperature.exp() * (video @ caption.T)[0, 1]
    (score + video[1, 0] + caption[1, 0]).backward()
    optimizer.step()

    still = {name for name, old in before.items() if torch.equal(old, parameters[name])}
    assert {name for name in still if not _cannot_matter(name, config)} == set()
    assert all(torch.equal(fingerprint[name], t) for name, t in random_clip.weights.items())


def _cannot_matter(name, config):
    """The bias of a key adds the same to all scores of a softmax, and patches that change behind
    the last attention never reach a class token."""
    is_behind = config.name == "st-adapter" and name.startswith("video.1.of_mlp")
    return is_behind or name.endswith("k_proj.bias")


def test_no_weight_of_the_backbone_wants_a_gradient(encoder, random_clip):
    assert not any(tensor.requires_grad for tensor in random_clip.weights.values())


def test_trainable_weights_are_float32_beside_a_bfloat16_backbone(
    config, random_clip_folder, videos, captions
):
    backbone = Backbone.load(random_clip_folder, dtype=torch.bfloat16)
    encoder = Encoder(backbone, build_adapter(config, backbone))
    move(encoder)

    video, caption = embed(encoder, videos, captions)

    assert {p.dtype for p in encoder.trainable_parameters().values()} <= {torch.float32}
    assert video.dtype == caption.dtype == torch.float32


def test_the_saved_folder_alone_restores_it(encoder, random_clip, videos, captions, tmp_path):
    move(encoder)
    before = embed(encoder, videos, captions)
    save_adapter(encoder, tmp_path / "adapter")

    again = load_adapter(tmp_path / "adapter")

    for ours, theirs in zip(embed(again, videos, captions), before, strict=True):
        assert torch.equal(ours, theirs)


def test_the_saved_file_holds_exactly_the_trainable_weights(encoder, tmp_path):
    from safetensors import safe_open

    save_adapter(encoder, tmp_path)

    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        assert set(file.keys()) == encoder.trainable_parameters().keys()


def test_checkpointing_gives_the_same_gradients(encoder, videos, captions):
    move(encoder)
    encoder = in_float64(encoder)
    parameters = encoder.trainable_parameters()
    if not parameters:
        pytest.skip("this method trains nothing")

    def gradients(*, is_checkpointed):
        encoder.gradient_checkpointing = is_checkpointed
        video, caption = embed(encoder, videos, captions)
        loss = (video @ caption.T)[0, 1]
        return torch.autograd.grad(loss, parameters.values(), allow_unused=True)

    for plain, again in zip(
        gradients(is_checkpointed=False), gradients(is_checkpointed=True), strict=True
    ):
        assert (plain is None) == (again is None)
        if plain is not None:
            torch.testing.assert_close(plain, again)
