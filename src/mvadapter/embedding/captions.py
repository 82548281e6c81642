"""Captions of records in, what a model cannot tell apart in them out."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvadapter.backbone.tokens import CaptionTokenizer
from mvadapter.data.records import Record

_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionReport:
    """How many captions of some records are cut, and how many are the same."""

    num_captions: int
    max_tokens: int
    """What they are cut to, start and end included."""
    max_tokens_of_clip: int
    """What the CLIP would take."""
    num_cut: int
    """Captions with more tokens; the model does not see their ends."""
    num_equal: int
    """Captions that, cut, are the same as one of another record."""

    def cut_note(self) -> str | None:
        """The cut captions in words; None where there are none."""
        if not self.num_cut:
            return None
        note = (
            f"{self.num_cut} of {self.num_captions} captions are longer than max_tokens="
            f"{self.max_tokens}, and their ends are left out"
        )
        if self.max_tokens < self.max_tokens_of_clip:
            note += (
                f"; this CLIP takes up to {self.max_tokens_of_clip} (inputs.max_tokens of the "
                f"training)"
            )
        return note

    def equal_note(self) -> str | None:
        """The equal captions in words; None where there are none."""
        if not self.num_equal:
            return None
        return (
            f"{self.num_equal} of {self.num_captions} captions are the same as one of another "
            f"video or segment; in a batch each counts as a wrong answer for the other, unless "
            f"train.mask_equal_captions is true"
        )


def look_at_captions(
    tokenizer: CaptionTokenizer, records: Sequence[Record], max_tokens: int
) -> CaptionReport:
    """Count the captions that are cut, and those that are the same for several records.

    Args:
        tokenizer: The CLIP's.
        records: Whose captions.
        max_tokens: What they are cut to.

    Raises:
        DataError: A caption contains half a character.
    """
    captions = [caption for record in records for caption in record.captions]
    owners = [owner for owner, record in enumerate(records) for _ in record.captions]
    num_cut, keys = 0, []
    for start in range(0, len(captions), _AT_ONCE):
        part = captions[start : start + _AT_ONCE]
        num_cut += tokenizer.count_cut(part, max_tokens)
        token_ids, _ = tokenizer.encode(part, max_tokens)
        keys += [row.tobytes() for row in token_ids.numpy().astype(np.int32)]
    owners_of: defaultdict[bytes, set[int]] = defaultdict(set)
    for key, owner in zip(keys, owners, strict=True):
        owners_of[key].add(owner)
    return CaptionReport(
        num_captions=len(captions),
        max_tokens=max_tokens,
        max_tokens_of_clip=tokenizer.max_tokens,
        num_cut=num_cut,
        num_equal=sum(len(owners_of[key]) > 1 for key in keys),
    )
