"""Records in, batches out: which pairs train together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvadapter.data.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One training example: a record and one of its captions, by their positions."""

    record: int
    caption: int


def epoch_batches(
    records: Sequence[Record], batch_size: int, *, seed: int, epoch: int
) -> list[list[Pair]]:
    """Arrange every (video, caption) pair once, in an order that seed and epoch decide.

    No batch holds a record twice, for it would be scored as its own negative: an epoch goes through
    the records in rounds, each with one new caption of every record that has one left. Records of
    one group come in one batch, as far as it can hold them. A round's last pair, if it is left
    alone, joins the batch before it.
    """
    generator = np.random.default_rng([seed, epoch])
    captions = [generator.permutation(len(record.captions)) for record in records]
    batches = []
    for turn in range(max(len(order) for order in captions)):
        groups: dict[object, list[Pair]] = {}
        for position, (record, order) in enumerate(zip(records, captions, strict=True)):
            if turn < len(order):
                pair = Pair(record=position, caption=int(order[turn]))
                groups.setdefault(record.group or position, []).append(pair)
        members = list(groups.values())
        batches += _fill([members[i] for i in generator.permutation(len(members))], batch_size)
    return batches


def _fill(groups: Sequence[list[Pair]], batch_size: int) -> list[list[Pair]]:
    """Fill batches with complete groups, in order; only a group larger than a batch is split."""
    batches: list[list[Pair]] = []
    for group in groups:
        if not batches or len(batches[-1]) + len(group) > batch_size:
            batches.append([])
        batches[-1] += group
    parts = [
        batch[i : i + batch_size] for batch in batches for i in range(0, len(batch), batch_size)
    ]
    for position in [i for i, part in enumerate(parts) if len(part) == 1][::-1]:
        # A pair alone has no negative and teaches nothing.
        if len(parts) > 1:
            lone = parts.pop(position)
            parts[position - 1 if position else 0] += lone
    return [part for part in parts if len(part) > 1]
