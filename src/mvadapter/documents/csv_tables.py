"""CSV text in, rows out; and cells that no spreadsheet takes for a formula."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from mvadapter.documents.text import DocumentKind

Cell = TypeVar("Cell")

# What a spreadsheet takes for the start of a formula, in wide characters too.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")  # noqa: RUF001


def guard_cell(cell: Cell) -> Cell | str:
    """Put an apostrophe before text that a spreadsheet would compute; `unguard_cell` takes it off.

    Numbers stay numbers, and text such as "'tis" stays as it is.
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def unguard_cell(cell: str) -> str:
    """Take off the apostrophe that `guard_cell` put before text."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def parse_csv(text: str, where: object, kind: DocumentKind) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the cells of every row, the header first; empty lines are left out.

    Raises:
        MvAdapterError: The kind's error: it is not valid CSV, or a row is longer or shorter than
            the header.
    """
    # Lines end at \n alone, so that a lone \r outside quotes is an error and not a row.
    rows = csv.reader(io.StringIO(text, newline="\n"), strict=True)
    num_columns = None
    try:
        for cells in rows:
            if not cells:
                continue
            place = f"{where}:{rows.line_num}"
            num_columns = num_columns or len(cells)
            if len(cells) != num_columns:
                raise kind.error(
                    f"{place}: the row has more or fewer fields than the header; put captions with "
                    f"a comma in quotes"
                )
            yield place, cells
    except csv.Error as error:
        raise kind.error(f"{where}:{rows.line_num}: not valid CSV ({_reason(error)})") from error


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Write rows as CSV: text guarded by `guard_cell`, and nothing for None or a missing column."""
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    # The ordinary one does not quote a lone carriage return, which cannot be read back then.
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow(map(guard_cell, columns))
    for row in rows:
        cells = [guard_cell(row.get(column)) for column in columns]
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoting if has_return else plain).writerow(cells)
    return text.getvalue()


def _reason(error: csv.Error) -> str:
    reason = str(error)
    if "new-line character" in reason:
        return "a lone carriage return; end lines with a line feed, or put the text in quotes"
    if "field larger" in reason:
        return f"text longer than {csv.field_size_limit()} characters; is a quote not closed?"
    return f"{reason}; put text with quotes in quotes, and double those inside"
