"""CSV in and out, and no cell that a spreadsheet would compute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvadapter.documents.csv_tables import csv_text, guard_cell, parse_csv, unguard_cell
from mvadapter.documents.text import DocumentKind
from mvadapter.errors import DataError

KIND = DocumentKind(error=DataError, expected="a table", advice="correct it")
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
FORMULA = st.builds(str.__add__, st.sampled_from("=+-@\t\r\n'\uff1d\uff0d"), TEXT)


@pytest.mark.parametrize(
    ("cell", "guarded"),
    [
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("+1", "'+1"),
        ("-", "'-"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("'=x", "''=x"),
        ("'tis the season", "'tis the season"),
        ("a = b", "a = b"),
        ("", ""),
        (-0.5, -0.5),
        (None, None),
    ],
)
def test_text_that_would_be_computed_gets_an_apostrophe_and_nothing_else_does(cell, guarded):
    assert guard_cell(cell) == guarded
    if isinstance(cell, str):
        assert unguard_cell(guarded) == cell


@given(st.lists(st.tuples(TEXT | FORMULA, TEXT | FORMULA), min_size=1))
def test_what_is_written_is_read_and_is_no_formula(rows):
    text = csv_text(["a", "b"], [{"a": a, "b": b} for a, b in rows])

    _, *read = [cells for _, cells in parse_csv(text, "t.csv", KIND)]

    # A row of two empty cells is written as ",", which is a row.
    assert [tuple(map(unguard_cell, cells)) for cells in read] == rows
    assert not [cell for cells in read for cell in cells if cell[:1] in [*"=+-@\t\r\n"]]


def test_numbers_stay_numbers_and_none_is_empty():
    assert csv_text(["a", "b"], [{"a": -0.5}, {"a": 1, "b": None}]) == "a,b\n-0.5,\n1,\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\none,two\rthree,four\n", r"t:2: not valid CSV \(a lone carriage return"),
        ("a,b\r1,2\r", r"t:1: not valid CSV \(a lone carriage return"),
        ('a,b\n"one"x,2\n', "t:2: not valid CSV"),
        ('a,b\n"one,2\n', "t:2: not valid CSV"),
        ("a,b\n1,2,3\n", "t:2: the row has more or fewer fields"),
        ("a,b\n1\n", "t:2: the row has more or fewer fields"),
        ("a,b\n" + "x" * 200_000 + ",2\n", "t:2: not valid CSV .text longer than 131072"),
    ],
)
def test_what_is_no_csv_is_refused_with_its_line(text, message):
    with pytest.raises(DataError, match=message) as caught:
        list(parse_csv(text, "t", KIND))
    assert "\n" not in str(caught.value)


def test_lines_may_end_as_windows_ends_them_and_cells_may_hold_lines():
    rows = list(parse_csv('a,b\r\n"x\r\ny",2\r\n\r\n3,4', "t", KIND))

    assert rows == [("t:1", ["a", "b"]), ("t:3", ["x\r\ny", "2"]), ("t:5", ["3", "4"])]
