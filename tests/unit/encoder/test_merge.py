from pathlib import Path

import pytest
import torch

from mvadapter import Backbone, Encoder, FrozenConfig, MvAdapterConfig, build_adapter
from mvadapter.adapters.methods.bitfit import BitFitConfig
from mvadapter.adapters.methods.full import FullConfig
from mvadapter.adapters.methods.lora import LoraConfig
from mvadapter.adapters.methods.projection import ProjectionConfig
from mvadapter.encoder.checkpoint import load_adapter, save_adapter
from mvadapter.encoder.merge import export_merged
from mvadapter.errors import ConfigError
from tolerances import EMBEDDING

MERGEABLE = [
    LoraConfig(rank=2, alpha=1.0, targets=("q", "k", "v", "o")),
    LoraConfig(rank=2, form="separate"),
    FullConfig(),
    BitFitConfig(),
    ProjectionConfig(),
]


@pytest.mark.parametrize("config", MERGEABLE, ids=lambda config: config.name)
def test_the_merged_clip_embeds_as_the_adapted_one(config, random_clip, tmp_path):
    encoder = Encoder(random_clip, build_adapter(config, random_clip))
    with torch.no_grad():
        for parameter in encoder.trainable_parameters().values():
            parameter.add_(0.1 * torch.randn_like(parameter))
    pixels, mask = torch.randn(2, 3, 3, 32, 32), torch.ones(2, 3).bool()

    export_merged(encoder, tmp_path / "merged")
    clip = Backbone.load(tmp_path / "merged")
    merged = Encoder(clip, build_adapter(FrozenConfig(), clip))

    # The sums of weights that are merged are rounded once more, to float32.
    for ours, theirs in (
        (merged.embed_videos(pixels, mask), encoder.embed_videos(pixels, mask)),
        (merged.embed_captions(["a dog"]), encoder.embed_captions(["a dog"])),
    ):
        torch.testing.assert_close(ours, theirs, atol=EMBEDDING, rtol=0)


def test_the_merged_clip_has_the_temperature_that_was_used(random_clip, tmp_path):
    encoder = Encoder(random_clip, build_adapter(FullConfig(), random_clip))
    with torch.no_grad():
        encoder.adapter.backbone_weights["logit_scale"].fill_(4.0)

    export_merged(encoder, tmp_path / "merged")

    assert Backbone.load(tmp_path / "merged").weights["logit_scale"] == 4.0


def test_a_temperature_that_was_saved_above_the_bound_comes_back_at_it(random_clip, tmp_path):
    encoder = Encoder(random_clip, build_adapter(FullConfig(), random_clip))
    with torch.no_grad():
        encoder.adapter.backbone_weights["logit_scale"].fill_(5.0)
    save_adapter(encoder, tmp_path / "adapter")

    loaded = load_adapter(tmp_path / "adapter", random_clip)
    export_merged(loaded, tmp_path / "merged")

    # By hand: no higher than CLIP's own 100, where exp(5) is 148.4.
    assert loaded.temperature == pytest.approx(100)
    scale = Backbone.load(tmp_path / "merged").weights["logit_scale"]
    assert float(scale.exp()) == pytest.approx(100)


def test_the_merged_clip_has_the_files_of_its_own_and_no_others(tmp_path):
    tiny = Backbone.load("tiny")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((Path(tiny.source) / name).read_bytes())

    for name, clip in (("whole", tiny), ("alone", Backbone.load(bare))):
        encoder = Encoder(clip, build_adapter(LoraConfig(), clip))
        export_merged(encoder, tmp_path / name)

    kept = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {"tokenizer.json", "preprocessor_config.json", "vocab.json", "merges.txt"} < kept
    assert {path.name for path in (tmp_path / "alone").iterdir()} == {
        "config.json",
        "model.safetensors",
    }


def test_a_method_beside_the_weights_is_refused(random_clip, tmp_path):
    config = MvAdapterConfig(bottleneck_width=8)
    encoder = Encoder(random_clip, build_adapter(config, random_clip))

    with pytest.raises(
        ConfigError, match="mv-adapter adds modules beside CLIP's weights and cannot"
    ):
        export_merged(encoder, tmp_path / "merged")


def test_a_folder_that_holds_something_is_left_alone(random_clip, tmp_path):
    encoder = Encoder(random_clip, build_adapter(LoraConfig(), random_clip))
    (tmp_path / "mine.txt").write_text("keep me")

    with pytest.raises(ConfigError, match="is not empty; name a new folder"):
        export_merged(encoder, tmp_path)
