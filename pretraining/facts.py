"""Facts in, scenes that show them out; and whether a fact holds in a scene."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from mvadapter.synthetic.scenes import COLORS, KINDS, Shape

PLACES: dict[str, tuple[float, float]] = {
    "top left": (0.0, 0.0),
    "top": (0.5, 0.0),
    "top right": (1.0, 0.0),
    "left": (0.0, 0.5),
    "centre": (0.5, 0.5),
    "right": (1.0, 0.5),
    "bottom left": (0.0, 1.0),
    "bottom": (0.5, 1.0),
    "bottom right": (1.0, 1.0),
}
"""Nine places; the pair says left (0), middle (0.5) or right (1), then top, middle or bottom."""

# Along one axis: where a centre is drawn for a place, and how far out it would still be called so.
_DRAWN = {0.0: (0.02, 0.26), 0.5: (0.39, 0.61), 1.0: (0.74, 0.98)}
_CALLED = {0.0: (-1.0, 0.40), 0.5: (0.25, 0.75), 1.0: (0.60, 2.0)}

_RADIUS_DRAWN = {"small": (0.08, 0.1), "big": (0.21, 0.27), "plain": (0.11, 0.18)}
_RADIUS_CALLED = {"small": (0.0, 0.13), "big": (0.16, 1.0), "plain": (0.0, 1.0)}

NUMBERS = {"two": 2, "three": 3, "four": 4}

DETAILS: dict[str, tuple[tuple[str, ...], ...]] = {
    "one": ((),),
    "place": tuple((place,) for place in PLACES),
    "size": (("big",), ("small",)),
    "size and place": tuple(itertools.product(("big", "small"), PLACES)),
    "count": tuple((number,) for number in NUMBERS),
    "pair": ((),),
    "relation": (("left of",), ("above",)),
    "sizes": (("big", "small"),),
    "corners": (("top left", "bottom right"), ("top right", "bottom left")),
}
"""Each family of facts, with all it can say about its one or two things."""

TWO_THINGS = ("pair", "relation", "sizes", "corners")


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """A coloured shape without a position."""

    color: str
    kind: str


@dataclass(frozen=True, slots=True)
class Fact:
    """All that a caption says; two wordings of one fact share it."""

    family: str
    things: tuple[Thing, ...]
    detail: tuple[str, ...]


THINGS = tuple(Thing(color, kind) for color in COLORS for kind in KINDS)


def all_facts(family: str) -> list[Fact]:
    """List every fact of a family, in a fixed order."""
    things: list[tuple[Thing, ...]]
    if family == "pair":
        things = [tuple(sorted(pair)) for pair in itertools.combinations(THINGS, 2)]
    elif family in TWO_THINGS:
        things = list(itertools.permutations(THINGS, 2))
    else:
        things = [(thing,) for thing in THINGS]
    return [Fact(family, chosen, detail) for chosen in things for detail in DETAILS[family]]


def alternatives(fact: Fact) -> list[Fact]:
    """List the fact and the others about the same things that exclude it: its closed choice."""
    if fact.family == "pair":
        return [fact, *_swapped_colors(fact)]
    orders = [fact.things]
    if fact.family in TWO_THINGS:
        orders.append(fact.things[::-1])
    return [
        Fact(fact.family, things, detail) for things in orders for detail in DETAILS[fact.family]
    ]


def _swapped_colors(fact: Fact) -> list[Fact]:
    first, second = fact.things
    if first.color == second.color or first.kind == second.kind:
        return []
    swapped = sorted((Thing(second.color, first.kind), Thing(first.color, second.kind)))
    return [Fact(fact.family, tuple(swapped), fact.detail)]


def pose(fact: Fact, rng: random.Random) -> tuple[Shape, ...]:
    """Draw at random a scene that shows the fact and nothing else."""
    match fact.family:
        case "place" | "size" | "size and place" | "one":
            return (_pose_single(fact, rng),)
        case "count":
            return _pose_apart(fact.things * NUMBERS[fact.detail[0]], ((0.09, 0.14),) * 4, rng)
        case "sizes":
            return _pose_apart(fact.things, ((0.18, 0.24), (0.08, 0.1)), rng)
        case "corners":
            return tuple(
                _place(thing, PLACES[place], (0.1, 0.18), rng)
                for thing, place in zip(fact.things, fact.detail, strict=True)
            )
        case "relation":
            while True:
                shapes = _pose_apart(fact.things, ((0.1, 0.17),) * 2, rng)
                if _is_clear_relation(fact.detail[0], *shapes):
                    return shapes
    return _pose_apart(fact.things, ((0.1, 0.18),) * 2, rng)


def _pose_single(fact: Fact, rng: random.Random) -> Shape:
    if fact.family == "one":
        return _shape(fact.things[0], (0.06, 0.94), (0.06, 0.94), (0.08, 0.26), rng)
    size = fact.detail[0] if fact.detail[0] in {"big", "small"} else "plain"
    if fact.family == "size":
        return _shape(fact.things[0], (0.1, 0.9), (0.1, 0.9), _RADIUS_DRAWN[size], rng)
    return _place(fact.things[0], PLACES[fact.detail[-1]], _RADIUS_DRAWN[size], rng)


def _place(
    thing: Thing, place: tuple[float, float], radius: tuple[float, float], rng: random.Random
) -> Shape:
    return _shape(thing, _DRAWN[place[0]], _DRAWN[place[1]], radius, rng)


def _shape(
    thing: Thing,
    x: tuple[float, float],
    y: tuple[float, float],
    radius: tuple[float, float],
    rng: random.Random,
) -> Shape:
    return Shape(
        kind=thing.kind,
        color=thing.color,
        x=rng.uniform(*x),
        y=rng.uniform(*y),
        radius=rng.uniform(*radius),
    )


def _pose_apart(
    things: Sequence[Thing], radii: Sequence[tuple[float, float]], rng: random.Random
) -> tuple[Shape, ...]:
    while True:
        shapes = tuple(
            _shape(thing, (0.08, 0.92), (0.08, 0.92), radius, rng)
            for thing, radius in zip(things, radii, strict=False)
        )
        if all(_are_apart(a, b) for a, b in itertools.combinations(shapes, 2)):
            return shapes


def _are_apart(first: Shape, second: Shape) -> bool:
    gap = math.hypot(first.x - second.x, first.y - second.y)
    return gap > 1.05 * (first.radius + second.radius)


def _is_clear_relation(relation: str, first: Shape, second: Shape) -> bool:
    right, down = second.x - first.x, second.y - first.y
    along, across = (right, down) if relation == "left of" else (down, right)
    return along > 0.24 and abs(across) < 0.45 * along


def holds(fact: Fact, shapes: Sequence[Shape]) -> bool:
    """Whether anybody could call the scene so: generous, where `pose` is strict.

    A caption is taken to name everything in the picture, so "a red circle" does not hold in a
    picture of a red circle with a blue square.
    """
    if {Thing(shape.color, shape.kind) for shape in shapes} != set(fact.things):
        return False
    if fact.family == "count":
        return len(shapes) == NUMBERS[fact.detail[0]]
    if len(shapes) != len(fact.things):
        return False
    if len(shapes) == 1:
        return all(_is_called(word, shapes[0]) for word in fact.detail)
    first, second = shapes
    if Thing(first.color, first.kind) != fact.things[0]:
        first, second = second, first
    return _pair_holds(fact, first, second)


def _pair_holds(fact: Fact, first: Shape, second: Shape) -> bool:
    match fact.family:
        case "relation":
            gap = second.x - first.x if fact.detail == ("left of",) else second.y - first.y
            return gap > 0.06
        case "sizes":
            return first.radius > 1.25 * second.radius
        case "corners":
            right = (second.x - first.x) * (1 if fact.detail[0] == "top left" else -1)
            return right > 0.12 and second.y - first.y > 0.12
    return True


def _is_called(word: str, shape: Shape) -> bool:
    if word in _RADIUS_CALLED:
        smallest, biggest = _RADIUS_CALLED[word]
        return smallest <= shape.radius <= biggest
    (left, right), (top, bottom) = (_CALLED[side] for side in PLACES[word])
    return left <= shape.x <= right and top <= shape.y <= bottom
