import os
from dataclasses import dataclass

import pytest

from mvadapter.errors import UnknownNameError
from mvadapter.isolation import Isolation
from mvadapter.workers import Ended, map_in_order, run_all


@dataclass(frozen=True)
class Count:
    """Counts to a number; ends its process, or fails, on the way."""

    to: int
    dies_at: int | None = None
    fails_at: int | None = None

    def run(self):
        for number in range(self.to):
            if number == self.dies_at:
                os._exit(3)
            if number == self.fails_at:
                raise KeyError(number)
            yield number
        return f"counted to {self.to}"

    def lost(self, reason):
        return reason


class UnpicklableError(Exception):
    def __init__(self):
        super().__init__("no pickle holds me")
        self.generator = (number for number in [])


@dataclass(frozen=True)
class Fails:
    """Raises one error, in the process that runs it."""

    error: str

    def run(self):
        yield 0
        raise {
            "EOFError": EOFError("the item's own"),
            "ConnectionResetError": ConnectionResetError("the item's own"),
            "UnknownNameError": UnknownNameError("name", "a", ["b"]),
            "RuntimeError": UnpicklableError(),
        }[self.error]

    def lost(self, reason):
        return reason


def collect(items, isolation, **settings):
    pieces, summaries = {}, {}
    for position, piece in run_all(
        items, max_waiting=2, isolation=isolation, num_workers=2, **settings
    ):
        if isinstance(piece, Ended):
            summaries[position] = piece.summary
        else:
            pieces.setdefault(position, []).append(piece)
    return pieces, summaries


@pytest.mark.parametrize("isolation", [None, Isolation()], ids=["threads", "processes"])
def test_every_item_gives_its_pieces_in_order_and_then_its_summary(isolation):
    pieces, summaries = collect([Count(3), Count(0), Count(5)], isolation)

    assert pieces == {0: [0, 1, 2], 2: [0, 1, 2, 3, 4]}
    assert summaries == {0: "counted to 3", 1: "counted to 0", 2: "counted to 5"}


@pytest.mark.parametrize("isolation", [None, Isolation()], ids=["threads", "processes"])
def test_what_an_item_raises_reaches_the_caller(isolation):
    with pytest.raises(KeyError, match="1"):
        collect([Count(3), Count(3, fails_at=1)], isolation)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("EOFError", "the item's own"),
        ("ConnectionResetError", "the item's own"),
        ("UnknownNameError", r"name 'a' is not known\. Known: b\."),
        ("RuntimeError", "UnpicklableError: no pickle holds me"),
    ],
)
def test_an_error_in_a_process_is_no_death_of_the_process(error, message):
    with pytest.raises(Exception, match=message) as caught:
        collect([Fails(error)], Isolation())

    assert type(caught.value).__name__ == error


def test_an_item_that_ends_its_process_is_reported_and_the_others_continue():
    items = [Count(4, dies_at=2), *[Count(3)] * 4]

    pieces, summaries = collect(items, Isolation())

    assert pieces[0] == [0, 1]
    assert summaries[0] == "the process that read it died (exit code 3)"
    assert [pieces[position] for position in range(1, 5)] == [[0, 1, 2]] * 4


@pytest.mark.parametrize("isolation", [None, Isolation()], ids=["threads", "processes"])
def test_closing_stops_items_that_would_never_end(isolation):
    pieces = run_all([Count(10**9)] * 3, num_workers=2, max_waiting=4, isolation=isolation)
    next(pieces)

    pieces.close()

    with pytest.raises(StopIteration):
        next(pieces)


def test_no_more_pieces_wait_than_are_allowed():
    made = []

    class Noted(Count):
        def run(self):
            for number in range(self.to):
                made.append(number)
                yield number

    pieces = run_all([Noted(1000)], num_workers=1, max_waiting=4)
    for _ in range(10):
        next(pieces)
    # One more is in the hand of the worker, and one in ours.
    num_made = len(made)
    pieces.close()

    assert num_made <= 10 + 4 + 2


def test_results_come_in_the_order_of_their_inputs():
    squares = map_in_order(lambda n: n * n, range(500), num_workers=4, max_waiting=7)

    assert list(squares) == [n * n for n in range(500)]


def test_what_a_call_raises_comes_in_its_turn():
    results = map_in_order(lambda n: 1 // n, [1, 0, 1], num_workers=2, max_waiting=2)

    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
