"""The promises of every method; a new one is an entry in FORMS and inherits these tests."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from made_methods import example_installed
from mvadapter import Backbone, Encoder, build_adapter, load_adapter, save_adapter
from mvadapter.adapters.build import adapter_config
from mvadapter.adapters.catalog import method_names
from tolerances import in_float64, rounding


@dataclass(frozen=True)
class Form:
    """A method with settings, and what is particular to it."""

    settings: dict[str, Any]
    sees_time: bool
    """Whether it notices the order of frames; the others embed each frame by itself."""
    is_clip_at_start: bool
    """False where it changes features before it is trained; its docstring says why."""
    without_effect: str
    """Start of the names of weights that cannot reach a feature."""


def form(*, sees_time=False, is_clip_at_start=True, without_effect="-", **settings):
    return Form(settings, sees_time, is_clip_at_start, without_effect)


def small_mv_adapter(*, sees_time=True, **settings):
    small = {"bottleneck_width": 8, "factor_dim": 4, "num_frames": 6, "max_tokens": 12}
    return form(sees_time=sees_time, **small, **settings)


FORMS = {
    "frozen": {"": form()},
    "full": {"": form()},
    "projection": {"": form()},
    "bitfit": {"": form()},
    "lora": {
        "": form(rank=2),
        "separate and scaled": form(
            rank=2, alpha=1.0, form="separate", targets=["q", "v", "o"]
        ),
    },
    "adaptformer": {
        "": form(bottleneck_width=8),
        "sequential": form(bottleneck_width=8, placement="sequential"),
        "vision alone": form(bottleneck_width=8, text="none"),
        "in the paper's form": form(
            bottleneck_width=8, has_input_norm=True, has_trained_biases=True
        ),
    },
    "convpass": {
        "": form(bottleneck_width=4),
        "beside the attention": form(bottleneck_width=4, sites="attention"),
        "in the paper's form": form(
            bottleneck_width=4, is_depthwise=True, text="adaptformer", has_input_norm=True
        ),
    },
    "st-adapter": {
        "": form(sees_time=True, bottleneck_width=8),
        # Patches that change behind the last attention never reach a class token.
        "3x3x3 at both sites": form(
            sees_time=True, without_effect="video.1.of_mlp", bottleneck_width=8, kernel="3x3x3",
            sites="both", text="none",
        ),
    },
    "cross-modal-adapter": {
        "": form(bottleneck_width=4, num_shared=8),
        "in the paper's form": form(
            bottleneck_width=4, num_shared=8, sites="mlp", has_shared_biases=False,
            has_input_norm=True,
        ),
    },
    "sequence-transformer": {
        "": form(sees_time=True, is_clip_at_start=False, num_layers=2, num_positions=6)
    },
    "prompts": {"": form(is_clip_at_start=False, num_video=3, num_prefix=2, num_suffix=2)},
    "mv-adapter": {
        "": small_mv_adapter(),
        "authors' init": small_mv_adapter(tying_init="authors", position_init="authors"),
        "untied": small_mv_adapter(tying="none"),
        "down-out": small_mv_adapter(tying_position="down-out"),
        "up-in": small_mv_adapter(tying_position="up-in"),
        "up-out": small_mv_adapter(tying_position="up-out"),
        "unshared factor": small_mv_adapter(has_shared_factor=False),
        "kronecker": small_mv_adapter(tying="kronecker"),
        "input norm": small_mv_adapter(has_input_norm=True),
        "biases": small_mv_adapter(has_trained_biases=True),
        "bottleneck": small_mv_adapter(sees_time=False, depth="bottleneck"),
        "transformer": small_mv_adapter(depth="transformer"),
        "no context": small_mv_adapter(has_context_token=False),
        "video only": small_mv_adapter(text_layers=[], tying="none"),
        "text only": small_mv_adapter(sees_time=False, video_layers=[], tying="none"),
    },
    # examples/method_of_your_own, a method of another package.
    "ssf": {"": form(), "last layer": form(layers=[-1])},
}  # fmt: skip

CASES = [
    pytest.param(name, one, id=f"{name}, {what}" if what else name)
    for name, forms in FORMS.items()
    for what, one in forms.items()
]
pytestmark = pytest.mark.parametrize(("name", "form"), CASES)


@pytest.fixture(scope="module", autouse=True)
def _example_method(tmp_path_factory):
    with example_installed(tmp_path_factory.mktemp("site")):
        yield


def test_every_method_is_held_to_the_promises(name, form):
    assert set(FORMS) == set(method_names())


@pytest.fixture
def config(name, form):
    return adapter_config(name, form.settings, "test")


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


def test_an_untrained_adapter_changes_no_feature_by_a_bit(
    encoder, form, random_clip, videos, captions
):
    if not form.is_clip_at_start:
        pytest.skip("this method cannot start as the identity")
    frozen = Encoder(random_clip, build_adapter(adapter_config("frozen", {}, "test"), random_clip))

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


def test_only_methods_that_see_time_notice_the_order_of_frames(encoder, videos, form):
    move(encoder)
    encoder = in_float64(encoder)
    pixels, mask = videos[0][:1], videos[1][:1]

    forwards = encoder.embed_videos(pixels, mask)
    backwards = encoder.embed_videos(pixels.flip(1), mask)

    is_same = torch.allclose(forwards, backwards, atol=rounding(forwards.shape[1]), rtol=0)
    assert is_same != form.sees_time


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
    encoder, form, random_clip, videos, captions
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
    assert {name for name in still if not _cannot_matter(name, form)} == set()
    assert all(torch.equal(fingerprint[name], t) for name, t in random_clip.weights.items())


def _cannot_matter(name, form):
    """The bias of a key adds the same to all scores of a softmax."""
    return name.startswith(form.without_effect) or name.endswith("attention.k.bias")


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
