import pytest
import torch

from mvadapter import Backbone, Encoder, MvAdapterConfig, build_adapter
from mvadapter.adapters.parts.tying import KroneckerLinear
from mvadapter.backbone.sites import FrameLayout
from mvadapter.errors import ConfigError
from tolerances import in_float64, rounding


def encoder_of(backbone: Backbone, **settings) -> Encoder:
    """An encoder whose adapter is no longer at its start, so that it shows in the features.

    In float64, so that the order of a sum does not show.
    """
    small = {"bottleneck_width": 8, "factor_dim": 4, "num_frames": 6, "max_tokens": 12}
    encoder = Encoder(backbone, build_adapter(MvAdapterConfig(**(small | settings)), backbone))
    with torch.no_grad():
        for parameter in encoder.trainable_parameters().values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return in_float64(encoder)


def videos(num_videos=2, num_frames=4, size=32):
    mask = torch.ones(num_videos, num_frames, dtype=torch.bool)
    return torch.randn(num_videos, num_frames, 3, size, size), mask


def captions(num_captions=2, num_tokens=8):
    token_ids = torch.randint(0, 500, (num_captions, num_tokens))
    return token_ids, torch.ones(num_captions, num_tokens, dtype=torch.bool)


def test_the_order_of_frames_changes_a_video(random_clip):
    encoder = encoder_of(random_clip)
    pixels, mask = videos()

    forwards = encoder.embed_videos(pixels, mask)
    backwards = encoder.embed_videos(pixels.flip(1), mask)

    assert (forwards - backwards).abs().max() > 1e-3


def test_without_a_transformer_the_order_of_frames_does_not_matter(random_clip):
    encoder = encoder_of(random_clip, depth="bottleneck")
    pixels, mask = videos()

    forwards = encoder.embed_videos(pixels, mask)
    backwards = encoder.embed_videos(pixels.flip(1), mask)

    torch.testing.assert_close(forwards, backwards, atol=rounding(forwards.shape[1]), rtol=0)


def test_frames_see_one_another(random_clip):
    encoder = encoder_of(random_clip)
    pixels, mask = videos()
    other = pixels.clone()
    other[:, 0] += 1

    difference = encoder.embed_frames(pixels, mask) - encoder.embed_frames(other, mask)

    assert (difference[:, 1:].abs().amax(dim=(0, 2)) > 1e-5).all()


def test_videos_of_a_batch_do_not_see_one_another(random_clip):
    encoder = encoder_of(random_clip)
    pixels, mask = videos()

    together = encoder.embed_frames(pixels, mask)
    alone = encoder.embed_frames(pixels[:1], mask[:1])

    torch.testing.assert_close(together[:1], alone)


@pytest.mark.parametrize("depth", ["bottleneck", "transformer", "calibration"])
def test_no_token_of_a_caption_sees_a_later_one(random_clip, depth):
    encoder = encoder_of(random_clip, depth=depth)
    token_ids, mask = captions()
    mask[:, 5:] = False
    other = token_ids.clone()
    other[:, 5:] = torch.randint(0, 500, (2, 3))

    before, after = (encoder.embed_tokens(ids, mask) for ids in (token_ids, other))
    torch.testing.assert_close(before, after, atol=rounding(before.shape[1]), rtol=0)


def test_a_shorter_video_takes_the_first_positions(random_clip):
    encoder = encoder_of(random_clip)
    pixels, mask = videos(num_frames=6)
    mask[:, 4:] = False

    padded = encoder.embed_videos(pixels, mask)
    short = encoder.embed_videos(pixels[:, :4], mask[:, :4])

    torch.testing.assert_close(padded, short, atol=rounding(padded.shape[1]), rtol=0)


def test_too_many_frames_name_the_setting(random_clip):
    encoder = encoder_of(random_clip)

    with pytest.raises(
        ConfigError, match="7 frames, but the adapter has positions for 6.*num_frames=7"
    ):
        encoder.embed_videos(*videos(num_frames=7))


def test_too_many_words_name_the_setting(random_clip):
    encoder = encoder_of(random_clip)

    with pytest.raises(
        ConfigError, match="13 tokens, but the adapter has positions for 12.*max_tokens=13"
    ):
        encoder.embed_tokens(*captions(num_tokens=13))


@pytest.mark.parametrize("position", ["down-in", "down-out", "up-in", "up-out"])
@pytest.mark.parametrize("init", ["identity", "authors"])
def test_a_tied_layer_starts_as_its_init_says(random_clip, position, init):
    settings = {"tying_position": position, "tying_init": init, "factor_dim": 4}
    adapter = build_adapter(MvAdapterConfig(**settings), random_clip)

    end = position.split("-")[0]
    for block in (adapter.video_blocks[1], adapter.text_blocks[1]):
        gate = getattr(block, end).gate()
        is_one = torch.equal(gate, torch.ones_like(gate))
        assert is_one == (init == "identity")
        assert gate.abs().max() <= 1


@pytest.mark.parametrize("position", ["down-in", "down-out", "up-in", "up-out"])
def test_the_factor_is_one_weight_of_both_branches(random_clip, position):
    encoder = encoder_of(random_clip, tying_position=position)
    names = encoder.trainable_parameters()
    pixels, frame_mask = videos()
    token_ids, mask = captions()

    def embed():
        return encoder.embed_videos(pixels, frame_mask), encoder.embed_tokens(token_ids, mask)

    before = embed()
    with torch.no_grad():
        names["shared.1"].add_(1.0)

    assert [name for name in names if "factor" in name] == []
    for old, new in zip(before, embed(), strict=True):
        assert (old - new).abs().max() > 1e-4


@pytest.mark.parametrize("position", ["down-in", "down-out", "up-in", "up-out"])
def test_a_gate_scales_the_channels_it_is_named_after(random_clip, position):
    block = build_adapter(MvAdapterConfig(tying_position=position), random_clip).video_blocks[1]
    end, side = position.split("-")
    linear = getattr(block, end).double()
    torch.nn.init.normal_(linear.weight)
    torch.nn.init.normal_(linear.bias)
    torch.nn.init.normal_(linear.gate.factor)
    tokens = torch.randn(3, linear.in_features, dtype=torch.float64)

    beta = linear.gate.projection(linear.gate.factor)
    if side == "in":
        expected = (tokens * beta) @ linear.weight.T + linear.bias
    else:
        expected = beta * (tokens @ linear.weight.T) + linear.bias

    torch.testing.assert_close(linear(tokens), expected)


@pytest.mark.parametrize(
    ("position", "moves_patches"),
    [("down-in", True), ("down-out", True), ("up-in", False), ("up-out", False)],
)
def test_a_gate_on_the_up_projection_is_for_class_tokens_only(random_clip, position, moves_patches):
    block = encoder_of(random_clip, tying_position=position).adapter.video_blocks[1]
    layout = FrameLayout(num_videos=2, num_frames=3, mask=torch.ones(2, 3, dtype=torch.bool))
    tokens = torch.randn(6, 5, 32, dtype=torch.float64)
    before = block.after_mlp(tokens, layout)

    with torch.no_grad():
        getattr(block, position.split("-")[0]).gate.factor.add_(1.0)
    difference = (block.after_mlp(tokens, layout) - before).abs()

    assert difference[:, 0].max() > 1e-4
    assert (difference[:, 1:].max() > 1e-4) == moves_patches


def test_a_kronecker_weight_is_the_sum_of_kronecker_products():
    shared = torch.nn.Parameter(torch.randn(2, 2, 2))
    linear = KroneckerLinear(shared, 6, 4, torch.nn.init.normal_)

    expected = sum(torch.kron(shared[i], linear.own[i]) for i in range(2))

    torch.testing.assert_close(linear.weight, expected)


def test_kronecker_weights_have_the_variance_of_the_untied_ones(random_clip):
    # Averaged over many draws; the standard error of the ratio is about 2 %.
    def variances(tying):
        config = MvAdapterConfig(tying=tying, bottleneck_width=32)
        blocks = [build_adapter(config, random_clip) for _ in range(60)]
        video = torch.stack([adapter.video_blocks[1].down.weight for adapter in blocks]).var()
        text = torch.stack([adapter.text_blocks[1].down.weight for adapter in blocks]).var()
        return torch.stack([video, text])

    ratio = variances("kronecker") / variances("none")

    torch.testing.assert_close(ratio, torch.ones(2), atol=0.1, rtol=0)


def test_the_authors_init_starts_with_nearly_no_positions(random_clip):
    spread = {
        init: build_adapter(MvAdapterConfig(position_init=init), random_clip)
        .video_blocks[0]
        .positions.std()
        for init in ("authors", "wide")
    }

    assert 0.008 < spread["authors"] < 0.012
    assert 0.8 < spread["wide"] < 1.2


def test_the_calibration_starts_at_one(random_clip):
    block = build_adapter(MvAdapterConfig(), random_clip).video_blocks[0]

    gate = block.calibration(torch.randn(2, 64), torch.randn(2, 5, 64))

    assert torch.equal(gate, torch.ones(2, 5, 64))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 3}, r"num_heads \(3\) must divide bottleneck_width \(64\)"),
        ({"bottleneck_width": 0}, "bottleneck_width must be at least 1, got 0"),
        ({"scale": 0.0}, "scale must be above 0"),
    ],
)
def test_nonsense_is_refused_at_once(settings, message):
    with pytest.raises(ConfigError, match=message):
        MvAdapterConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"video_layers": (2,), "tying": "none"}, "video_layers names layer 2, but .* 0 to 1"),
        ({"video_layers": (0, -2), "tying": "none"}, "video_layers names a layer twice"),
        ({"text_layers": ()}, r"ties text layer 0, which has no adapter .* tying='none'"),
        ({"tying": "kronecker", "kronecker_terms": 5}, r"kronecker_terms \(5\) must divide"),
    ],
)
def test_settings_that_do_not_fit_the_clip_are_refused(settings, message, random_clip):
    with pytest.raises(ConfigError, match=message):
        build_adapter(MvAdapterConfig(**settings), random_clip)


def test_a_branch_can_be_left_out(random_clip):
    adapter = build_adapter(MvAdapterConfig(video_layers=(), tying="none"), random_clip)

    assert all(name.startswith("text.") for name in adapter.trainable_parameters())
