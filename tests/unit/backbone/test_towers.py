import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel

from mvadapter.backbone import towers
from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.sites import BlockAdapter, FrameLayout
from mvadapter.backbone.towers import run_text, run_vision
from mvadapter.errors import ConfigError
from tolerances import backbone_in_float64, rounding

_END = 49
SHAPES = {
    "small": {"width": 32, "heads": 2, "layers": 2, "image": 16, "patch": 8, "act": "quick_gelu"},
    "one head, gelu": {"width": 64, "heads": 1, "layers": 3, "image": 24, "patch": 8, "act": "gelu"},
    "one patch": {"width": 48, "heads": 3, "layers": 1, "image": 32, "patch": 32, "act": "quick_gelu"},
}  # fmt: skip


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def clip(request, tmp_path):
    """Transformers' own model, and ours loaded from what it saved, both in float64."""
    shape = request.param
    tower = {
        "hidden_size": shape["width"],
        "intermediate_size": 4 * shape["width"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "hidden_act": shape["act"],
    }
    config = CLIPConfig(
        projection_dim=24,
        vision_config=tower | {"image_size": shape["image"], "patch_size": shape["patch"]},
        text_config=tower
        | {
            "vocab_size": 50,
            "max_position_embeddings": 12,
            "eos_token_id": _END,
            "pad_token_id": 0,
        },
    )
    model = CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model.save_pretrained(tmp_path / "clip")
    return model.double(), backbone_in_float64(Backbone.load(tmp_path / "clip"))


def end_at(*lengths, pad=0):
    """Captions of these lengths, the end token last, padded to ten tokens."""
    token_ids = torch.randint(1, _END, (len(lengths), 10))
    mask = torch.arange(10) < torch.tensor(lengths)[:, None]
    for row, length in zip(token_ids, lengths, strict=True):
        row[length - 1] = _END
        row[length:] = pad
    return token_ids, mask


def test_frames_equal_transformers(clip):
    model, backbone = clip
    size = backbone.vision.image_px
    pixels = torch.randn(2, 3, 3, size, size, dtype=torch.float64)
    mask = torch.ones(2, 3, dtype=torch.bool)

    ours = run_vision(pixels, mask, backbone.vision, backbone.weights, {})

    theirs = model.get_image_features(pixel_values=pixels.flatten(0, 1)).pooler_output
    torch.testing.assert_close(ours.flatten(0, 1), theirs)


def test_frames_equal_transformers_beside_padded_frames(clip):
    model, backbone = clip
    size = backbone.vision.image_px
    pixels = torch.randn(1, 3, 3, size, size, dtype=torch.float64)
    pixels[0, 2] = 0

    ours = run_vision(
        pixels, torch.tensor([[True, True, False]]), backbone.vision, backbone.weights, {}
    )

    theirs = model.get_image_features(pixel_values=pixels[0, :2]).pooler_output
    torch.testing.assert_close(ours[0, :2], theirs)


def test_captions_equal_transformers_without_padding(clip):
    model, backbone = clip
    token_ids, mask = end_at(10, 10)

    ours = run_text(token_ids, mask, backbone.text, backbone.weights, {})

    theirs = model.get_text_features(input_ids=token_ids).pooler_output
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("pad", [0, _END])
def test_captions_equal_transformers_with_padding(clip, pad):
    model, backbone = clip
    token_ids, mask = end_at(4, 10, 7, pad=pad)

    ours = run_text(token_ids, mask, backbone.text, backbone.weights, {})

    theirs = model.get_text_features(input_ids=token_ids, attention_mask=mask.long()).pooler_output
    torch.testing.assert_close(ours, theirs)


def test_the_old_convention_for_the_end_token_takes_the_highest_id(clip):
    model, backbone = clip
    model.text_model.eos_token_id = 2
    shape = _with_end_token(backbone.text, 2)
    token_ids, mask = end_at(4, 10)

    ours = run_text(token_ids, mask, shape, backbone.weights, {})

    theirs = model.get_text_features(input_ids=token_ids).pooler_output
    torch.testing.assert_close(ours, theirs)


def test_a_caption_without_an_end_token_ends_with_its_last_word(clip):
    _, backbone = clip
    token_ids, mask = end_at(10)
    token_ids[0, 9] = 1
    mask[0, 6:] = False

    cut = run_text(token_ids, mask, backbone.text, backbone.weights, {})
    ended = run_text(
        token_ids, mask, _with_end_token(backbone.text, int(token_ids[0, 5])), backbone.weights, {}
    )

    if (token_ids[0, :5] != token_ids[0, 5]).all():
        torch.testing.assert_close(cut, ended)


def _with_end_token(shape, end_token_id):
    import dataclasses

    return dataclasses.replace(shape, end_token_id=end_token_id)


def _uneven(tokens):
    # Not the same for all channels, which the next norm would take out again.
    return tokens + torch.linspace(-1, 1, tokens.shape[-1])


class Probe(BlockAdapter[FrameLayout]):
    """Notes which sites were visited, with what, and adds or replaces at the site it is given."""

    def __init__(self, site=None):
        super().__init__()
        self.site = site
        self.visits = []

    def _note(self, site, value, layout=None):
        self.visits.append((site, value.shape, layout))
        return site == self.site

    def before_attention(self, tokens, layout):
        return _uneven(tokens) if self._note("before_attention", tokens, layout) else tokens

    def on_projection(self, projection, tokens):
        return _uneven(tokens) if self._note(f"on_{projection}", tokens) else None

    def beside_attention(self, normed, layout):
        return normed if self._note("beside_attention", normed, layout) else None

    def before_mlp(self, tokens, layout):
        return _uneven(tokens) if self._note("before_mlp", tokens, layout) else tokens

    def after_mlp(self, output, layout):
        return output if self._note("after_mlp", output, layout) else None

    def beside_mlp(self, tokens, normed, layout):
        return normed if self._note("beside_mlp", normed, layout) else None


def run(random_clip, probe):
    pixels, mask = torch.randn(2, 3, 3, 32, 32), torch.ones(2, 3, dtype=torch.bool)
    return run_vision(pixels, mask, random_clip.vision, random_clip.weights, {0: probe})


def test_every_site_is_visited_once_a_block_in_order(random_clip):
    probe = Probe()

    run(random_clip, probe)

    assert [visit[0] for visit in probe.visits] == [
        "before_attention", "on_q", "on_k", "on_v", "on_o", "beside_attention",
        "before_mlp", "beside_mlp", "after_mlp",
    ]  # fmt: skip


class Recorder(BlockAdapter[FrameLayout]):
    """Keeps what each site was given, and adds nothing."""

    def __init__(self):
        super().__init__()
        self.given = {}

    def before_attention(self, tokens, _layout):
        self.given["before_attention"] = tokens
        return tokens

    def after_attention(self, output, _layout):
        self.given["after_attention"] = output

    def beside_attention(self, normed, _layout):
        self.given["beside_attention"] = normed

    def before_mlp(self, tokens, _layout):
        self.given["before_mlp"] = tokens
        return tokens

    def after_mlp(self, output, _layout):
        self.given["after_mlp"] = output

    def beside_mlp(self, tokens, normed, _layout):
        self.given["beside_mlp"] = tokens
        self.given["beside_mlp, normed"] = normed

    def after_block(self, tokens, _layout):
        self.given["after_block"] = tokens
        return tokens


def test_each_site_is_given_what_its_name_says(random_clip):
    recorder = Recorder()
    run(random_clip, recorder)

    def normed(name, tokens):
        name = f"{random_clip.vision.prefix}.blocks.0.{name}"
        weight, bias = (random_clip.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(tokens, tokens.shape[-1:], weight, bias)

    # Radford et al. 2021: x + Attention(norm1(x)), and then x + MLP(norm2(x)).
    given = recorder.given
    for got, expected in (
        ("beside_attention", normed("norm1", given["before_attention"])),
        ("before_mlp", given["before_attention"] + given["after_attention"]),
        ("beside_mlp", given["before_mlp"]),
        ("beside_mlp, normed", normed("norm2", given["before_mlp"])),
        ("after_block", given["before_mlp"] + given["after_mlp"]),
    ):
        torch.testing.assert_close(given[got], expected)


def test_sites_are_told_how_rows_form_videos(random_clip):
    probe = Probe()

    run(random_clip, probe)

    layouts = [layout for _, _, layout in probe.visits if layout is not None]
    assert {(layout.num_videos, layout.num_frames) for layout in layouts} == {(2, 3)}
    assert {shape[0] for _, shape, _ in probe.visits} == {6}


def test_an_adapter_that_adds_nothing_changes_no_bit(random_clip):
    torch.manual_seed(1)
    with_probe = run(random_clip, Probe())
    torch.manual_seed(1)
    pixels, mask = torch.randn(2, 3, 3, 32, 32), torch.ones(2, 3, dtype=torch.bool)

    without = run_vision(pixels, mask, random_clip.vision, random_clip.weights, {})

    assert torch.equal(with_probe, without)


@pytest.mark.parametrize(
    "site",
    ["before_attention", "on_q", "on_v", "on_o", "beside_attention", "before_mlp", "after_mlp",
     "beside_mlp"],
)  # fmt: skip
def test_what_each_site_gives_reaches_the_features(random_clip, site):
    torch.manual_seed(1)
    plain = run(random_clip, Probe())
    torch.manual_seed(1)

    changed = run(random_clip, Probe(site))

    assert (plain - changed).abs().max() > 1e-5


def test_frames_of_another_size_are_refused_with_the_size(random_clip):
    pixels, mask = torch.zeros(1, 1, 3, 30, 30), torch.ones(1, 1, dtype=torch.bool)

    with pytest.raises(
        ConfigError, match="expects frames of 32 x 32 px, got 30 x 30; .*backbone.pixels"
    ):
        run_vision(pixels, mask, random_clip.vision, random_clip.weights, {})


def test_captions_beyond_clips_positions_are_refused_with_the_setting(random_clip):
    token_ids = torch.zeros(1, 80, dtype=torch.long)

    with pytest.raises(ConfigError, match="80 tokens, .* positions for 77; set max_tokens"):
        run_text(token_ids, token_ids == 0, random_clip.text, random_clip.weights, {})


@pytest.mark.parametrize("has_amx", [True, False])
def test_attention_under_bfloat16_is_that_of_float32_but_for_rounding(has_amx, monkeypatch):
    monkeypatch.setattr(towers, "_HAS_AMX", has_amx)
    queries, keys, values = torch.randn(3, 2, 4, 9, 16)
    narrow = [one.bfloat16().requires_grad_() for one in (queries, keys, values)]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        attended = towers._attend(*narrow, is_causal=True)
    attended.float().sum().backward()

    exact = torch.nn.functional.scaled_dot_product_attention(
        *(one.detach().double() for one in narrow), is_causal=True
    )
    assert attended.dtype == torch.bfloat16
    # Rounded to bfloat16 at most: queries that are scaled, scores, weights and the result.
    atol = rounding(4, float(values.abs().max()), torch.bfloat16)
    torch.testing.assert_close(attended.double(), exact, atol=atol, rtol=0)
    assert all(one.grad is not None and one.grad.dtype == torch.bfloat16 for one in narrow)
