"""Facts in, captions out; which facts are held out, and samples of both sides.

A fact is held out by a hash of its canonical caption, so every wording of it is held out with it:
no held-out caption, nor a paraphrase made of our templates, is ever trained on.
"""

import hashlib
import random
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from facts import DETAILS, THINGS, Fact, Thing, all_facts, alternatives, holds, pose

from mvadapter.synthetic.scenes import Shape

HELD_OUT_SHARE = 10
"""One fact in this many is held out."""

# Shares of the families in training and among the held-out captions (until a family runs out).
WEIGHTS = {
    "one": 8,
    "place": 22,
    "size": 5,
    "size and place": 14,
    "count": 8,
    "pair": 10,
    "relation": 20,
    "sizes": 7,
    "corners": 9,
}

_PLACE_WORDS = {
    "left": ("on the left", "on the left side", "at the left"),
    "right": ("on the right", "on the right side", "at the right"),
    "top": ("at the top", "at the top of the picture"),
    "bottom": ("at the bottom", "at the bottom of the picture"),
    "centre": ("in the centre", "in the middle", "in the center"),
}
_SIZE_WORDS = {"big": ("big", "large"), "small": ("small", "tiny", "little")}


@dataclass(frozen=True, slots=True)
class Example:
    """One caption and a scene that shows what it says."""

    fact: Fact
    caption: str
    shapes: tuple[Shape, ...]


def say(fact: Fact, rng: random.Random) -> str:
    """Word a fact, in one of several ways."""
    return rng.choice(_templates(fact, rng))


@cache
def canonical(fact: Fact) -> str:
    """Word a fact in its one fixed way."""
    return _templates(fact, random.Random("canonical"))[0]


@cache
def is_held_out(fact: Fact) -> bool:
    """Whether the fact, in any wording, is kept out of training."""
    digest = hashlib.sha256(canonical(fact).encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_SHARE == 0


def training_batch(size: int, rng: random.Random) -> list[Example]:
    """Draw examples whose captions are true of their own picture and of no other in the batch.

    Most facts bring hard negatives along: some say something else of the same things, some say the
    same of a thing of another kind or colour.
    """
    batch = Batch()
    while len(batch.examples) < size:
        fact = _random_fact(rng)
        for one in (fact, *_hard_negatives(fact, rng)):
            if not is_held_out(one) and len(batch.examples) < size:
                batch.offer(Example(one, say(one, rng), pose(one, rng)))
    return batch.examples


def held_out_examples(count: int, seed: int) -> list[Example]:
    """Draw held-out examples, each fact at most once, each caption true of its own picture only."""
    rng = random.Random(f"held out {seed}")
    waiting = {family: [f for f in all_facts(family) if is_held_out(f)] for family in DETAILS}
    for facts in waiting.values():
        rng.shuffle(facts)
    batch = Batch()
    while len(batch.examples) < count:
        (family,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        if waiting[family]:
            fact = waiting[family].pop()
            batch.offer(Example(fact, say(fact, rng), pose(fact, rng)))
    return batch.examples


class Batch:
    """Examples no caption of which is true of another one's picture."""

    def __init__(self) -> None:
        self.examples: list[Example] = []
        self._alike: defaultdict[frozenset[Thing], list[Example]] = defaultdict(list)

    def offer(self, example: Example) -> None:
        """Add the example unless it is true of another picture, or another caption of its own."""
        # Captions name everything in a picture: only those about the same things can both be true.
        alike = self._alike[frozenset(example.fact.things)]
        if any(
            holds(example.fact, other.shapes) or holds(other.fact, example.shapes)
            for other in alike
        ):
            return
        alike.append(example)
        self.examples.append(example)


@cache
def _facts_of(family: str) -> tuple[Fact, ...]:
    return tuple(all_facts(family))


def _random_fact(rng: random.Random) -> Fact:
    (family,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
    return rng.choice(_facts_of(family))


def _hard_negatives(fact: Fact, rng: random.Random) -> list[Fact]:
    chance = rng.random()
    if chance < 0.4:
        others = [other for other in alternatives(fact) if other != fact]
        return rng.sample(others, min(len(others), rng.randint(1, 3)))
    if chance < 0.8:
        return [_with_another_thing(fact, rng) for _ in range(rng.randint(1, 3))]
    return []


def _with_another_thing(fact: Fact, rng: random.Random) -> Fact:
    things = list(fact.things)
    place = rng.randrange(len(things))
    old = things[place]
    # Kinds are harder to see than colours, so they change more often.
    alike = "color" if rng.random() < 0.7 else "kind"
    others = [
        thing
        for thing in THINGS
        if thing not in things and getattr(thing, alike) == getattr(old, alike)
    ]
    things[place] = rng.choice(others)
    return Fact(
        fact.family, tuple(sorted(things) if fact.family == "pair" else things), fact.detail
    )


def _templates(fact: Fact, rng: random.Random) -> list[str]:
    """Word a fact in each of its templates, with random synonyms; the first is the plainest."""
    if len(fact.things) == 1:
        return _single_templates(fact, rng)
    a, b = (_name(thing) for thing in fact.things)
    match fact.family:
        case "relation" if fact.detail == ("left of",):
            return _left_of_templates(a, b)
        case "relation":
            return _above_templates(a, b)
        case "sizes":
            big, small = (
                _sized(thing, size, rng)
                for thing, size in zip(fact.things, fact.detail, strict=True)
            )
            return [
                f"{big} and {small}",
                f"{small} and {big}",
                f"{small} next to {big}",
                f"{big} next to {small}",
            ]
        case "corners":
            here, there = (_place(place, rng) for place in fact.detail)
            return [f"{a} {here} and {b} {there}", f"{b} {there} and {a} {here}"]
    return [
        f"{a} and {b}",
        f"{b} and {a}",
        f"{a} with {b}",
        f"{b} with {a}",
        f"{a} together with {b}",
    ]


def _single_templates(fact: Fact, rng: random.Random) -> list[str]:
    (thing,) = fact.things
    if fact.family == "count":
        many = f"{fact.detail[0]} {thing.color} {_plural(thing.kind)}"
        return [
            many,
            f"there are {many}",
            f"a picture of {many}",
            f"{fact.detail[0]} {_plural(thing.kind)}, all {thing.color}",
        ]
    if fact.family == "one":
        name = f"{thing.color} {thing.kind}"
        return [
            f"one {name}",
            _name(thing),
            f"a single {name}",
            f"there is {_name(thing)}",
            f"a picture of {_name(thing)}",
        ]
    a = _name(thing) if fact.family == "place" else _sized(thing, fact.detail[0], rng)
    if fact.family == "size":
        return [
            a,
            f"there is {a}",
            f"{_name(thing)} that is {rng.choice(_SIZE_WORDS[fact.detail[0]])}",
        ]
    here = _place(fact.detail[-1], rng)
    return [f"{a} {here}", f"there is {a} {here}", f"{here} there is {a}"]


def _left_of_templates(a: str, b: str) -> list[str]:
    return [
        f"{a} left of {b}",
        f"{b} right of {a}",
        f"{a} to the left of {b}",
        f"{b} to the right of {a}",
        f"{a} on the left and {b} on the right",
        f"{b} on the right and {a} on the left",
    ]


def _above_templates(a: str, b: str) -> list[str]:
    return [
        f"{a} above {b}",
        f"{b} below {a}",
        f"{a} over {b}",
        f"{b} under {a}",
        f"{a} at the top and {b} at the bottom",
        f"{b} at the bottom and {a} at the top",
    ]


def _name(thing: Thing) -> str:
    return f"{'an' if thing.color[0] in 'aeiou' else 'a'} {thing.color} {thing.kind}"


def _sized(thing: Thing, size: str, rng: random.Random) -> str:
    return f"a {rng.choice(_SIZE_WORDS[size])} {thing.color} {thing.kind}"


def _plural(kind: str) -> str:
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def _place(place: str, rng: random.Random) -> str:
    if place in _PLACE_WORDS:
        return rng.choice(_PLACE_WORDS[place])
    return rng.choice((f"in the {place} corner", f"at the {place}", f"in the {place}"))
