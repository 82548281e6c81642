"""Tables with odd cells, and arbitrary bytes: records, or one line that names the place."""

import io
import json
import math

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mvadapter.data.records import Record
from mvadapter.data.table import read_table, write_table
from mvadapter.errors import DataError

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
ODD = st.builds(str.__add__, st.sampled_from("=+-@'"), TEXT)
CAPTION = (TEXT | ODD).map(str.strip).filter(lambda text: len(text) > 4)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@given(
    captions=st.lists(CAPTION, min_size=1, max_size=3),
    label=CAPTION,
    start=st.none() | st.floats(0, 1e6),
)
def test_a_written_table_is_read_exactly(tmp_path, suffix, captions, label, start):
    record = Record(
        id=label,
        video=tmp_path / "=1+1.mp4",
        captions=tuple(captions),
        start_seconds=start,
        split=label,
        group=label,
    )

    write_table(tmp_path / f"t{suffix}", [record], tmp_path)

    assert read_table(tmp_path / f"t{suffix}") == [record]


def test_no_cell_of_a_written_csv_is_a_formula(tmp_path):
    record = Record(id="@x", video=tmp_path / "+a.mp4", captions=('=HYPERLINK("http://x")', "-1"))

    write_table(tmp_path / "t.csv", [record], tmp_path)

    text = (tmp_path / "t.csv").read_text()
    assert text.splitlines()[1:] == [
        '\'+a.mp4,"\'=HYPERLINK(""http://x"")",train,\'@x',
        "'+a.mp4,'-1,train,'@x",
    ]


def parquet(path, **columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("word", ["nan", "NaN", "<NA>", "NaT", "None", "null", "N/A", "#N/A"])
@pytest.mark.parametrize("column", ["video", "caption", "split", "id", "group"])
def test_the_words_of_other_programs_for_nothing_are_refused(tmp_path, column, word):
    row = {"video": "a.mp4", "caption": "one", column: word}
    (tmp_path / "t.jsonl").write_text(json.dumps(row))

    with pytest.raises(DataError, match=rf"t\.jsonl:1: {column} is the text '{word}', which pro"):
        read_table(tmp_path / "t.jsonl")


def test_nan_of_pandas_is_an_empty_cell(tmp_path):
    nothing = pyarrow.array([math.nan, 1.0])
    table = parquet(
        tmp_path / "t.parquet", video=["a.mp4", "b.mp4"], caption=["one", "two"], start=nothing,
        split=pyarrow.array([math.nan, math.nan]),
    )  # fmt: skip

    records = read_table(table)

    assert [(r.start_seconds, r.split) for r in records] == [(None, "train"), (1.0, "train")]


BAD_UTF8 = pyarrow.Array.from_buffers(
    pyarrow.string(),
    1,
    [None, pyarrow.py_buffer(b"\0\0\0\0\2\0\0\0"), pyarrow.py_buffer(b"\xff\xfe")],
)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"caption": [["one", "two"]]}, r"t\.parquet:1: caption must be text .*got \['one', 'two'"),
        ({"caption": [b"one"]}, "caption must be text"),
        ({"caption": [1.5]}, "caption must be text"),
        ({"caption": pyarrow.array([None], pyarrow.string())}, "empty caption"),
        ({"caption": pyarrow.array([math.nan])}, "empty caption"),
        ({"caption": ["a\0b"]}, "caption contains a NUL"),
        ({"caption": BAD_UTF8}, r"t\.parquet: cannot be read as Parquet: .*UTF8"),
        ({"start": [True]}, "start_seconds must be seconds"),
        ({"start": [[1.0]]}, "start_seconds must be seconds"),
        ({"start": ["1_0"]}, "start_seconds must be seconds"),
        ({"start": [-0.5]}, "start_seconds must be seconds"),
        ({"start": [math.inf]}, "start_seconds must be seconds"),
        ({"split": [["train"]]}, "split must be text or a number"),
        ({"id": [{"a": 1}]}, "id must be text or a number"),
    ],
)
def test_a_cell_of_the_wrong_kind_is_one_line(tmp_path, columns, message):
    table = parquet(tmp_path / "t.parquet", **({"video": ["a.mp4"], "caption": ["one"]} | columns))

    with pytest.raises(DataError, match=message) as caught:
        read_table(table)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["caption", "split", "id", "group"])
def test_half_a_character_is_refused(tmp_path, column):
    row = {"video": "a.mp4", "caption": "one", column: "x\ud83d"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row))

    with pytest.raises(DataError, match=rf"t\.jsonl:1: {column} contains half a character"):
        read_table(tmp_path / "t.jsonl")


def test_a_video_may_have_a_name_that_is_no_utf_8(tmp_path):
    (tmp_path / "t.jsonl").write_text(json.dumps({"video": "\udcff.mp4", "caption": "one"}))

    assert read_table(tmp_path / "t.jsonl")[0].video == tmp_path / "\udcff.mp4"


def test_utf_16_as_spreadsheets_save_it_is_read(tmp_path):
    (tmp_path / "t.csv").write_text("video,caption\na.mp4,café\n", encoding="utf-16")

    assert read_table(tmp_path / "t.csv")[0].captions == ("café",)


ROWS = [{"video": "a.mp4", "caption": "one, two", "start": 1.5, "split": "test"}] * 3


def seed(suffix):
    match suffix:
        case ".csv":
            return b'video,caption,start,split\na.mp4,"one, two",1.5,test\nb.mp4,three,,train\n'
        case ".jsonl":
            return "\n".join(map(json.dumps, ROWS)).encode()
        case _:
            file = io.BytesIO()
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), file)
            return file.getvalue()


EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=3)), max_size=6)


def check(suffix, random, edits, folder):
    content = seed(suffix)
    for share, length, new in edits:
        place = int(share * len(content))
        content = content[:place] + new + content[place + length :]
    path = folder / f"fuzz{suffix}"
    for one in (content, random):
        path.write_bytes(one)
        try:
            records = read_table(path)
        except DataError as error:
            assert "\n" not in str(error)
            assert str(path) in str(error)
        else:
            assert all(record.captions for record in records)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@given(st.binary(max_size=60), EDITS)
def test_any_bytes_are_records_or_one_line(tmp_path_factory, suffix, random, edits):
    check(suffix, random, edits, tmp_path_factory.getbasetemp())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@settings(max_examples=5_000)
@given(st.binary(max_size=60), EDITS)
def test_many_bytes_are_records_or_one_line(tmp_path_factory, suffix, random, edits):
    check(suffix, random, edits, tmp_path_factory.getbasetemp())
