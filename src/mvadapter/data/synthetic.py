"""A number in, videos whose captions need time out: shapes that move, take turns, change size.

Every clip has a twin that is the same clip played backwards, with the caption that then is true.
Both hold the same frames, so nothing that pools frames without their order can tell them apart.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias, assert_never, get_args

import av
import numpy as np

from mvadapter.data.scenes import COLORS, KINDS, Picture, Rgb, Shape, draw
from mvadapter.files import write_text, written_whole

Need: TypeAlias = Literal["direction", "order", "size"]
"""What of time a caption needs: where to, what first, larger or smaller."""
NEEDS: tuple[Need, ...] = get_args(Need)
Part: TypeAlias = Literal["train", "test"]
_PARTS: tuple[Part, ...] = get_args(Part)

SAMPLED_FRAMES = 6
# Three frames a span: the middle of each span is one frame's own, so that the frames sampled from
# a clip and from its twin are the same ones.
_CLIP_FRAMES = 3 * SAMPLED_FRAMES
_FRAMES_PER_SECOND = 9
_SIZE_PX = 96
# Every fifth object is kept for the test part.
_TEST_SHARE = 4

_Object: TypeAlias = tuple[str, str]
"""Colour and kind."""
_Frames: TypeAlias = tuple[tuple[Shape, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticClip:
    """What happens in one clip."""

    need: Need
    caption: str
    frames: _Frames
    """The shapes of each frame."""
    background: Rgb

    def reversed(self) -> "SyntheticClip":
        """The clip played backwards, with the caption that is true then."""
        return replace(self, caption=reverse_caption(self.caption), frames=self.frames[::-1])

    def draw(self) -> list[Picture]:
        """Draw every frame."""
        return [draw(shapes, _SIZE_PX, self.background) for shapes in self.frames]


def reverse_caption(caption: str) -> str:
    """The caption of a synthetic clip when it is played backwards.

    >>> reverse_caption("a red circle moves from left to right")
    'a red circle moves from right to left'
    """
    if found := re.fullmatch(r"(.+) then (.+)", caption):
        return f"{found[2]} then {found[1]}"
    if found := re.fullmatch(r"(.+ from) (\w+) to (\w+)", caption):
        return f"{found[1]} {found[3]} to {found[2]}"
    start, verb = caption.rsplit(maxsplit=1)
    return f"{start} {'shrinks' if verb == 'grows' else 'grows'}"


def synthetic_clips(twins_per_need: int, *, part: Part, seed: int) -> list[SyntheticClip]:
    """Make clips, each followed by its twin; no caption comes twice.

    The objects (colour and kind) of the two parts differ, so that on the test part only the meaning
    of the words helps.

    Args:
        twins_per_need: Pairs of clips for each need; fewer where there are no more captions.
        part: Which objects take part.
        seed: Decides everything.
    """
    generator = np.random.default_rng([seed, _PARTS.index(part)])
    clips = []
    for need in NEEDS:
        stories = _stories(need, part, generator)
        for clip in itertools.islice(stories, twins_per_need):
            clips += [clip, clip.reversed()]
    return clips


def write_clips(clips: Sequence[SyntheticClip], folder: Path, part: Part) -> Path:
    """Write clips as mp4 files, and a table of their captions beside them.

    Returns:
        The table, ``captions-train.csv`` or ``captions-test.csv``.

    Raises:
        OSError: The folder cannot be written to.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["video", "caption", "split", "group"])
    for number, clip in enumerate(clips):
        name = f"{part}/{number:04d}-{clip.need}.mp4"
        write_video(folder / name, clip.draw(), _FRAMES_PER_SECOND)
        twins = min(clip.caption, reverse_caption(clip.caption))
        table.writerow([name, clip.caption, part, twins])
    path = folder / f"captions-{part}.csv"
    write_text(path, text.getvalue())
    return path


def write_video(path: Path, pictures: Sequence[Picture], frames_per_second: int) -> None:
    """Write pictures as an H.264 mp4.

    Raises:
        OSError: The folder cannot be written to.
    """
    with (
        written_whole(path) as aside,
        av.open(str(aside), "w", format="mp4") as container,
    ):
        stream = container.add_stream("libx264", rate=Fraction(frames_per_second))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "14", "preset": "veryfast"}
        # One thread: these pictures are too small to share out.
        stream.codec_context.thread_count = 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _stories(need: Need, part: Part, generator: np.random.Generator) -> Iterator[SyntheticClip]:
    """Every story of one need, in random order; each caption or its reverse comes once."""
    objects = _objects(part)
    match need:
        case "direction":
            axes = (("left", "right"), ("top", "bottom"))
            for index in generator.permutation(len(objects) * len(axes)):
                (color, kind), axis = objects[index // 2], axes[index % 2]
                yield _moving(color, kind, axis, generator)
        case "order":
            pairs = list(itertools.combinations(objects, 2))
            for index in generator.permutation(len(pairs)):
                first, second = pairs[index] if generator.random() < 0.5 else pairs[index][::-1]
                yield _taking_turns(first, second, generator)
        case "size":
            for index in generator.permutation(len(objects)):
                color, kind = objects[index]
                yield _growing(color, kind, generator)
        case _:
            assert_never(need)


def _objects(part: Part) -> list[_Object]:
    everything = list(itertools.product(COLORS, KINDS))
    # Shuffled by a fixed seed: each part has every colour and every kind.
    order = np.random.default_rng(0).permutation(len(everything))
    num_test = len(everything) // _TEST_SHARE
    chosen = order[:num_test] if part == "test" else order[num_test:]
    return [everything[index] for index in chosen]


def _moving(
    color: str, kind: str, axis: tuple[str, str], generator: np.random.Generator
) -> SyntheticClip:
    way = np.linspace(0.2, 0.8, _CLIP_FRAMES) + generator.uniform(-0.05, 0.05)
    across, radius = generator.uniform(0.35, 0.65), generator.uniform(0.12, 0.18)
    frames = tuple(
        (
            Shape(
                kind=kind,
                color=color,
                x=float(along if axis[0] == "left" else across),
                y=float(across if axis[0] == "left" else along),
                radius=radius,
            ),
        )
        for along in way
    )
    clip = SyntheticClip(
        need="direction",
        caption=f"{_named(color, kind)} moves from {axis[0]} to {axis[1]}",
        frames=frames,
        background=_background(generator),
    )
    return clip.reversed() if generator.random() < 0.5 else clip


def _taking_turns(first: _Object, second: _Object, generator: np.random.Generator) -> SyntheticClip:
    shapes = [
        Shape(
            kind=kind,
            color=color,
            x=generator.uniform(0.35, 0.65),
            y=generator.uniform(0.35, 0.65),
            radius=generator.uniform(0.15, 0.22),
        )
        for color, kind in (first, second)
    ]
    half = _CLIP_FRAMES // 2
    return SyntheticClip(
        need="order",
        caption=f"{_named(*first)} then {_named(*second)}",
        frames=((shapes[0],),) * half + ((shapes[1],),) * half,
        background=_background(generator),
    )


def _growing(color: str, kind: str, generator: np.random.Generator) -> SyntheticClip:
    x, y = generator.uniform(0.4, 0.6, size=2)
    radii = np.linspace(generator.uniform(0.07, 0.1), generator.uniform(0.26, 0.32), _CLIP_FRAMES)
    clip = SyntheticClip(
        need="size",
        caption=f"{_named(color, kind)} grows",
        frames=tuple(
            (Shape(kind=kind, color=color, x=float(x), y=float(y), radius=float(radius)),)
            for radius in radii
        ),
        background=_background(generator),
    )
    return clip.reversed() if generator.random() < 0.5 else clip


def _named(color: str, kind: str) -> str:
    return f"{'an' if color == 'orange' else 'a'} {color} {kind}"


def _background(generator: np.random.Generator) -> Rgb:
    tone = int(generator.integers(30, 60))
    return (tone, tone, tone)
