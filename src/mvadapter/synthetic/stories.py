"""A need in, stories out: the shapes of a drawn video, and its caption."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Literal, TypeAlias, assert_never, get_args

import numpy as np

from mvadapter.synthetic.scenes import COLORS, KINDS, Picture, Rgb, Shape, draw

Need: TypeAlias = Literal["appearance", "direction", "order", "size", "speed", "count"]
"""What a caption depends on: nothing in time, the direction, the order, or the change of size, of
speed or of number."""
NEEDS: tuple[Need, ...] = get_args(Need)
Part: TypeAlias = Literal["train", "test"]

SAMPLED_FRAMES = 6
# Three frames a span: the middle of each span is one frame's own, so that the frames sampled from
# a video and from its twin are the same ones.
_VIDEO_FRAMES = 3 * SAMPLED_FRAMES
_SIZE_PX = 96
# Every fourth object is kept for the test part.
_TEST_SHARE = 4

_Object: TypeAlias = tuple[str, str]
"""Colour and kind."""
_Frames: TypeAlias = tuple[tuple[Shape, ...], ...]
_Place: TypeAlias = tuple[float, float]

_AXES = (("left", "right"), ("top", "bottom"))
_NUMBERS: Mapping[str, int] = MappingProxyType({"two": 2, "three": 3, "four": 4})
_OPPOSITES: Mapping[str, str] = MappingProxyType(
    {
        "grows": "shrinks",
        "shrinks": "grows",
        "speeds up": "slows down",
        "slows down": "speeds up",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticVideo:
    """What happens in one video."""

    need: Need
    caption: str
    frames: _Frames
    """The shapes of each frame."""
    background: Rgb

    def reversed(self) -> "SyntheticVideo":
        """The video played backwards, with the caption that is true then."""
        return replace(self, caption=reverse_caption(self.caption), frames=self.frames[::-1])

    def draw(self) -> list[Picture]:
        """Draw every frame."""
        return [draw(shapes, _SIZE_PX, self.background) for shapes in self.frames]


def reverse_caption(caption: str) -> str:
    """The caption of a drawn video when it is played backwards; the same if it needs no time.

    >>> reverse_caption("a red circle moves from left to right")
    'a red circle moves from right to left'
    """
    if found := re.fullmatch(r"(.+) then (.+)", caption):
        return f"{found[2]} then {found[1]}"
    if found := re.fullmatch(r"(.+ from) (\w+) to (\w+)", caption):
        return f"{found[1]} {found[3]} to {found[2]}"
    if found := re.fullmatch(r"(\w+) (\w+) (\w+) becomes? (\w+)", caption):
        kind = next(kind for kind in KINDS if found[3] in (kind, _plural(kind)))
        return _counted(found[4], (found[2], kind), found[1])
    for verb, opposite in _OPPOSITES.items():
        if caption.endswith(verb):
            return caption.removesuffix(verb) + opposite
    return caption


def stories(need: Need, part: Part, generator: np.random.Generator) -> Iterator[SyntheticVideo]:
    """Every story of one need, in random order; each caption or its reverse comes once.

    Args:
        need: What the captions depend on.
        part: Which objects take part; the two parts have none in common.
        generator: Decides everything else.
    """
    things = _objects(part)
    drafts: list[Callable[[np.random.Generator], SyntheticVideo]]
    match need:
        case "appearance":
            drafts = [partial(_being_there, *pair) for pair in itertools.combinations(things, 2)]
        case "direction":
            drafts = [partial(_moving, *way) for way in itertools.product(things, _AXES)]
        case "order":
            drafts = [partial(_taking_turns, *pair) for pair in itertools.combinations(things, 2)]
        case "size":
            drafts = [partial(_growing, thing) for thing in things]
        case "speed":
            drafts = [partial(_changing_speed, thing) for thing in things]
        case "count":
            drafts = [partial(_multiplying, *many) for many in itertools.product(things, _NUMBERS)]
        case _:
            assert_never(need)
    for index in generator.permutation(len(drafts)):
        video = drafts[index](generator)
        yield video.reversed() if generator.random() < 0.5 else video


def _objects(part: Part) -> list[_Object]:
    everything = list(itertools.product(COLORS, KINDS))
    # Shuffled by a fixed seed: each part has every colour and every kind.
    order = np.random.default_rng(0).permutation(len(everything))
    num_test = len(everything) // _TEST_SHARE
    chosen = order[:num_test] if part == "test" else order[num_test:]
    return [everything[index] for index in chosen]


def _moving(
    thing: _Object, axis: tuple[str, str], generator: np.random.Generator
) -> SyntheticVideo:
    way = np.linspace(0.2, 0.8, _VIDEO_FRAMES) + generator.uniform(-0.05, 0.05)
    return SyntheticVideo(
        need="direction",
        caption=f"{_named(thing)} moves from {axis[0]} to {axis[1]}",
        frames=_along(thing, way, is_across=axis[0] == "left", generator=generator),
        background=_background(generator),
    )


def _changing_speed(thing: _Object, generator: np.random.Generator) -> SyntheticVideo:
    # Starts at rest; the direction is independent of the speed.
    way = 0.15 + 0.7 * np.linspace(0, 1, _VIDEO_FRAMES) ** 2
    if generator.random() < 0.5:
        way = 1 - way
    is_across = bool(generator.random() < 0.5)
    return SyntheticVideo(
        need="speed",
        caption=f"{_named(thing)} speeds up",
        frames=_along(thing, way, is_across=is_across, generator=generator),
        background=_background(generator),
    )


def _along(
    thing: _Object, way: np.ndarray, *, is_across: bool, generator: np.random.Generator
) -> _Frames:
    """One shape on its way from left to right, or from top to bottom."""
    lane, radius = float(generator.uniform(0.35, 0.65)), generator.uniform(0.12, 0.18)
    places = [(float(x), lane) if is_across else (lane, float(x)) for x in way]
    return tuple((_shape(thing, place, radius),) for place in places)


def _being_there(first: _Object, second: _Object, generator: np.random.Generator) -> SyntheticVideo:
    # Both tremble, so that the video is no still.
    corners = [(0.3, 0.3), (0.7, 0.7)] if generator.random() < 0.5 else [(0.3, 0.7), (0.7, 0.3)]
    radii = generator.uniform(0.14, 0.2, size=2)
    frames = tuple(
        tuple(
            _shape(thing, _near(corner, generator, 0.03), radius)
            for thing, corner, radius in zip((first, second), corners, radii, strict=True)
        )
        for _ in range(_VIDEO_FRAMES)
    )
    return SyntheticVideo(
        need="appearance",
        caption=f"{_named(first)} and {_named(second)}",
        frames=frames,
        background=_background(generator),
    )


def _taking_turns(
    first: _Object, second: _Object, generator: np.random.Generator
) -> SyntheticVideo:
    shapes = [
        _shape(thing, _near((0.5, 0.5), generator, 0.15), generator.uniform(0.15, 0.22))
        for thing in (first, second)
    ]
    half = _VIDEO_FRAMES // 2
    return SyntheticVideo(
        need="order",
        caption=f"{_named(first)} then {_named(second)}",
        frames=((shapes[0],),) * half + ((shapes[1],),) * half,
        background=_background(generator),
    )


def _growing(thing: _Object, generator: np.random.Generator) -> SyntheticVideo:
    place = _near((0.5, 0.5), generator, 0.1)
    radii = np.linspace(generator.uniform(0.07, 0.1), generator.uniform(0.26, 0.32), _VIDEO_FRAMES)
    return SyntheticVideo(
        need="size",
        caption=f"{_named(thing)} grows",
        frames=tuple((_shape(thing, place, float(radius)),) for radius in radii),
        background=_background(generator),
    )


def _multiplying(thing: _Object, number: str, generator: np.random.Generator) -> SyntheticVideo:
    corners = [(0.27, 0.27), (0.73, 0.27), (0.27, 0.73), (0.73, 0.73)]
    radius = generator.uniform(0.12, 0.17)
    shapes = tuple(
        _shape(thing, _near(corners[index], generator, 0.05), radius)
        for index in generator.permutation(len(corners))[: _NUMBERS[number]]
    )
    # In equal parts of the video one after the other joins.
    counts = 1 + np.arange(_VIDEO_FRAMES) * len(shapes) // _VIDEO_FRAMES
    return SyntheticVideo(
        need="count",
        caption=_counted("one", thing, number),
        frames=tuple(shapes[:count] for count in counts),
        background=_background(generator),
    )


def _shape(thing: _Object, place: _Place, radius: float) -> Shape:
    color, kind = thing
    return Shape(kind=kind, color=color, x=place[0], y=place[1], radius=radius)


def _near(place: _Place, generator: np.random.Generator, distance: float) -> _Place:
    x, y = generator.uniform(-distance, distance, size=2)
    return place[0] + float(x), place[1] + float(y)


def _named(thing: _Object) -> str:
    color, kind = thing
    return f"{'an' if color == 'orange' else 'a'} {color} {kind}"


def _counted(start: str, thing: _Object, end: str) -> str:
    color, kind = thing
    if start == "one":
        return f"one {color} {kind} becomes {end}"
    return f"{start} {color} {_plural(kind)} become {end}"


def _plural(kind: str) -> str:
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def _background(generator: np.random.Generator) -> Rgb:
    tone = int(generator.integers(30, 60))
    return (tone, tone, tone)
