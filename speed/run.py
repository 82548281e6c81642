"""Ratios of two ways to do the same thing, timed in turns in one run: ``make speed``.

    python speed/run.py [--output speed/results.json]

Each measurement gives the median seconds of both ways and their ratio. Absolute times depend on the
machine and on what else it does; ratios in one run much less.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from transformers import CLIPModel

from mvadapter import Backbone, Encoder, FrozenConfig, MvAdapterConfig, build_adapter
from mvadapter.backbone import towers
from mvadapter.backbone.precision import autocast
from mvadapter.synthetic.dataset import write_video
from mvadapter.video.decode import VideoReader, read_segment

TINY = Path(__file__).parents[1] / "src" / "mvadapter" / "backbone" / "tiny"
ROUNDS = 7


@dataclass(frozen=True)
class Measurement:
    """Two ways and how long each took."""

    what: str
    first: str
    second: str
    first_seconds: float
    second_seconds: float
    ratio: float
    """How many times as long the first way takes."""


def compare(
    what: str, first: tuple[str, Callable[[], object]], second: tuple[str, Callable[[], object]]
) -> Measurement:
    """Time both ways in turns, so that a busy moment of the machine meets both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for times, (_, way) in zip(seconds, (first, second), strict=True):
            start = time.perf_counter()
            way()
            times.append(time.perf_counter() - start)
    # The first round warms up.
    one, two = (statistics.median(times[1:]) for times in seconds)
    return Measurement(what, first[0], second[0], one, two, one / two)


def frozen_against_transformers() -> Measurement:
    """Our run of the frozen tower against transformers' own."""
    backbone = Backbone.load("tiny")
    encoder = Encoder(backbone, build_adapter(FrozenConfig(), backbone))
    model = CLIPModel.from_pretrained(TINY, dtype=torch.float32).eval()
    size = backbone.vision.image_px
    pixels, mask = torch.randn(8, 8, 3, size, size), torch.ones(8, 8, dtype=torch.bool)

    def ours() -> None:
        with torch.inference_mode():
            encoder.embed_frames(pixels, mask)

    def theirs() -> None:
        with torch.inference_mode():
            model.get_image_features(pixel_values=pixels.flatten(0, 1))

    return compare("64 frames through the tiny CLIP", ("transformers", theirs), ("ours", ours))


def adapter_against_frozen() -> Measurement:
    """What MV-Adapter adds to inference."""
    backbone = Backbone.load("tiny")
    size = backbone.vision.image_px
    pixels, mask = torch.randn(8, 8, 3, size, size), torch.ones(8, 8, dtype=torch.bool)

    def embed(config: FrozenConfig | MvAdapterConfig) -> Callable[[], None]:
        encoder = Encoder(backbone, build_adapter(config, backbone))

        def run() -> None:
            with torch.inference_mode():
                encoder.embed_videos(pixels, mask)

        return run

    return compare(
        "8 videos of 8 frames",
        ("MV-Adapter", embed(MvAdapterConfig(num_frames=8))),
        ("frozen", embed(FrozenConfig())),
    )


def precisions() -> Measurement:
    """float32 against bfloat16 in a training step; `--precision auto` asks the processor."""
    backbone = Backbone.load("tiny")
    encoder = Encoder(backbone, build_adapter(MvAdapterConfig(num_frames=8), backbone))
    size = backbone.vision.image_px
    pixels, mask = torch.randn(4, 8, 3, size, size), torch.ones(4, 8, dtype=torch.bool)

    def step(precision: str) -> Callable[[], None]:
        def run() -> None:
            with autocast(backbone.device, precision):
                videos = encoder.embed_videos(pixels, mask)
            videos.sum().backward()

        return run

    return compare(
        "forwards and backwards, 4 videos of 8 frames",
        ("float32", step("float32")),
        ("bfloat16", step("bfloat16")),
    )


def attention_under_bfloat16() -> Measurement:
    """Attending in bfloat16 against float32, in a training step that is in bfloat16 otherwise.

    On a processor with AMX the towers take the first, on others the second.
    """
    backbone = Backbone.load("tiny")
    encoder = Encoder(backbone, build_adapter(MvAdapterConfig(num_frames=8), backbone))
    size = backbone.vision.image_px
    pixels, mask = torch.randn(4, 8, 3, size, size), torch.ones(4, 8, dtype=torch.bool)

    def step(*, in_bfloat16: bool) -> Callable[[], None]:
        def run() -> None:
            with mock.patch.object(towers, "_HAS_AMX", in_bfloat16):
                with autocast(backbone.device, "bfloat16"):
                    videos = encoder.embed_videos(pixels, mask)
                videos.sum().backward()

        return run

    return compare(
        "attention in a bfloat16 step, 4 videos of 8 frames",
        ("in bfloat16", step(in_bfloat16=True)),
        ("in float32", step(in_bfloat16=False)),
    )


def _long_video(folder: Path) -> Path:
    path = folder / "long.mp4"
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 255, (60, 120, 160, 3), dtype=np.uint8)
    write_video(path, [noise[i % 60] for i in range(1500)], int(Fraction(25)))
    return path


def one_reader_against_many(path: Path) -> Measurement:
    """All windows of a minute through one reader, against opening the file for each."""
    windows = [(start, start + 4.0) for start in range(0, 56, 4)]

    def many() -> None:
        for start, end in windows:
            read_segment(path, 8, start, end)

    def one() -> None:
        with VideoReader(path) as reader:
            for start, end in windows:
                reader.read(8, start, end)

    return compare("14 windows of a video", ("one reader per window", many), ("one reader", one))


def seeking_against_decoding(path: Path) -> Measurement:
    """Two frames of a minute, against decoding all of it."""

    def everything() -> None:
        with VideoReader(path) as reader:
            for _ in reader.frames():
                pass

    return compare(
        "a minute of video",
        ("decode it all", everything),
        ("read 2 frames", lambda: read_segment(path, 2)),
    )


def main() -> None:
    """Measure everything, print a table and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = _long_video(Path(folder))
        measurements = [
            frozen_against_transformers(),
            adapter_against_frozen(),
            precisions(),
            attention_under_bfloat16(),
            one_reader_against_many(path),
            seeking_against_decoding(path),
        ]
    for each in measurements:
        print(
            f"{each.what}: {each.first} {each.first_seconds:.3f} s, "
            f"{each.second} {each.second_seconds:.3f} s, ratio {each.ratio:.2f}"
        )
    if options.output:
        machine = {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        result = {"machine": machine, "measurements": [asdict(each) for each in measurements]}
        options.output.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
