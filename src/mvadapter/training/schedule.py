"""Records and settings in, the steps of a run out: which pairs train at which step."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from mvadapter.data.batches import Pair, epoch_batches
from mvadapter.data.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a run."""

    epoch: int
    """Counted from 1."""
    batch: list[Pair]
    is_last_of_epoch: bool


class Schedule:
    """All steps of a run, each epoch made when it is asked for.

    Args:
        records: What trains.
        batch_size: Pairs per step.
        epochs: How often each pair is used.
        seed: Decides the order.
    """

    def __init__(
        self, records: Sequence[Record], *, batch_size: int, epochs: int, seed: int
    ) -> None:
        # Reading runs ahead of training, so that two epochs are in use at once.
        @lru_cache(maxsize=2)
        def batches(epoch: int) -> list[list[Pair]]:
            return epoch_batches(records, batch_size, seed=seed, epoch=epoch)

        self._batches = batches
        if any(record.group for record in records):
            # How well groups fit into batches depends on their order.
            self._lengths = [len(batches(epoch)) for epoch in range(1, epochs + 1)]
        else:
            self._lengths = [len(batches(1))] * epochs

    def __len__(self) -> int:
        return sum(self._lengths)

    @property
    def last_length(self) -> int:
        """The number of steps of the last epoch."""
        return self._lengths[-1]

    def num_complete_epochs(self, done: int) -> int:
        """How many epochs the first ``done`` steps complete."""
        return bisect_right(list(accumulate(self._lengths)), done)

    def steps(self, done: int) -> Iterator[Step]:
        """Yield the steps after the first ``done`` ones."""
        for epoch, length in enumerate(self._lengths, start=1):
            if done >= length:
                done -= length
                continue
            batches = self._batches(epoch)
            for position in range(done, length):
                yield Step(
                    epoch=epoch,
                    batch=batches[position],
                    is_last_of_epoch=position == length - 1,
                )
            done = 0
