"""The page on tables lists every name of a column."""

import re
from pathlib import Path

from mvadapter.data.columns import COLUMN_NAMES

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tables.md"


def test_the_page_lists_every_name_of_every_column():
    rows = re.findall(r"^\| `(\w+)` \|(.*?)\|", _PAGE.read_text(encoding="utf-8"), re.M)

    listed = {ours: {ours, *re.findall(r"`(\w+)`", others)} for ours, others in rows}

    assert listed == {
        # "filename" and "file_name" are one name.
        ours: set(names) - {"filename"}
        for ours, names in COLUMN_NAMES.items()
    }
