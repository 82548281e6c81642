import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mvadapter.data.folder import read_records
from mvadapter.data.records import Record, fingerprint
from mvadapter.data.table import read_table, write_table
from mvadapter.errors import DataError


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_one_video_are_its_captions(tmp_path):
    table = write(tmp_path / "t.csv", "video,caption\na.mp4,one\nb.mp4,two\na.mp4,three\n")

    records = read_table(table)

    assert [(record.id, record.captions) for record in records] == [
        ("a.mp4", ("one", "three")),
        ("b.mp4", ("two",)),
    ]
    assert records[0].video == tmp_path / "a.mp4"
    assert records[0].split == "train"


def test_the_three_formats_give_the_same_records(tmp_path):
    rows = [
        {
            "video": "a.mp4",
            "caption": "one",
            "start_seconds": 1.5,
            "end_seconds": 4.0,
            "split": "test",
        },
        {
            "video": "a.mp4",
            "caption": "two",
            "start_seconds": 4.0,
            "end_seconds": 6.0,
            "split": "test",
        },
    ]
    csv_text = "video,caption,start_seconds,end_seconds,split\n" + "".join(
        ",".join(map(str, row.values())) + "\n" for row in rows
    )
    tables = [
        write(tmp_path / "t.csv", csv_text),
        write(tmp_path / "t.jsonl", "\n".join(json.dumps(row) for row in rows) + "\n\n"),
        tmp_path / "t.parquet",
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tables[2])

    first, second, third = (read_table(table) for table in tables)

    assert first == second == third
    assert len({fingerprint(records) for records in (first, second, third)}) == 1
    assert [(r.start_seconds, r.end_seconds) for r in first] == [(1.5, 4.0), (4.0, 6.0)]


def test_videos_are_found_in_the_named_folder(tmp_path):
    table = write(tmp_path / "t.csv", "video,caption\nsub/a.mp4,one\n")

    records = read_table(table, tmp_path / "elsewhere")

    assert records[0].video == tmp_path / "elsewhere" / "sub" / "a.mp4"


@pytest.mark.parametrize("name", ["../a.mp4", "/etc/a.mp4", "sub/../../a.mp4"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    table = write(tmp_path / "t.csv", f"video,caption\n{name},one\n")

    with pytest.raises(DataError, match=r"t\.csv:2: .* is outside .* data\.videos"):
        read_table(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,caption\na.mp4,\n", r"t\.csv:2: empty caption for 'a\.mp4'"),
        ("video,caption\n,one\n", r"t\.csv:2: empty video"),
        ("video,title\na.mp4,one\n", r"t\.csv:1: no column 'caption'; found video, title"),
        ("video;caption\na.mp4;one\n", r"t\.csv:1: no column 'video'; .* not with ';'"),
        ("video,caption,start_second\na.mp4,one,1\n", "did you mean 'start_seconds'"),
        ("video,caption\na.mp4,one,two\n", r"t\.csv:2: the row has more or fewer fields"),
        ("video,caption\na.mp4\n", r"t\.csv:2: the row has more or fewer fields"),
        (
            "video,caption,start_seconds\na.mp4,one,soon\n",
            "must be seconds, at least 0, got 'soon'",
        ),
        ("video,caption,start_seconds\na.mp4,one,nan\n", "must be seconds, at least 0, got 'nan'"),
        (
            "video,caption,start_seconds,end_seconds\na.mp4,one,3,2\n",
            r"must end after it starts, got 3\.0 to 2\.0 s",
        ),
        ("video,caption,id\na.mp4,one,x\nb.mp4,two,x\n", "id 'x' is used for two segments"),
        ("video,caption,id\na.mp4,one,x\na.mp4,two,y\n", "one segment has two ids, 'x' and 'y'"),
        ("video,caption\n", "the table has no rows"),
        ("", "no column 'video'"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path / "t.csv", text))


def test_a_video_may_be_in_several_splits_with_captions_of_their_own(tmp_path):
    rows = ["a.mp4,one,1k-A", "a.mp4,one,test-full", "a.mp4,two,test-full"]
    table = write(tmp_path / "t.csv", "\n".join(["video,caption,split", *rows]) + "\n")

    records = read_table(table)

    assert [(record.id, record.split, record.captions) for record in records] == [
        ("a.mp4", "1k-A", ("one",)),
        ("a.mp4", "test-full", ("one", "two")),
    ]


def test_a_segment_is_one_record_however_its_rows_are_spelled(tmp_path):
    rows = ["a.mp4,one,1,x", "./a.mp4,two,1.0,x"]
    table = write(tmp_path / "t.csv", "\n".join(["video,caption,start_seconds,id", *rows]) + "\n")

    assert [record.captions for record in read_table(table)] == [("one", "two")]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_written_table_is_read_back_as_it_was(tmp_path, suffix):
    records = [
        Record(
            id="x",
            video=tmp_path / "videos" / "sub" / "a b.mp4",
            captions=('with "quotes", and a comma', "zwei\u2028Zeilen"),
            end_seconds=31.0,
            split="test",
        ),
        Record(id="y", video=tmp_path / "videos" / "b.mp4", captions=("one",), split="test"),
    ]

    write_table(tmp_path / f"t{suffix}", records, tmp_path / "videos")

    assert read_table(tmp_path / f"t{suffix}", tmp_path / "videos") == records


def test_a_table_is_not_written_under_another_suffix(tmp_path):
    record = Record(id="x", video=tmp_path / "a.mp4", captions=("one",))

    with pytest.raises(DataError, match=r"tables end in \.csv, \.jsonl, \.parquet"):
        write_table(tmp_path / "t.txt", [record], tmp_path)
    assert not list(tmp_path.iterdir())


def test_text_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"video,caption\na.mp4,caf\xe9\n")

    with pytest.raises(DataError, match="not UTF-8 text"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("text", ["{", "[1]", '{"video": "a.mp4"}'])
def test_a_bad_json_line_is_refused_with_its_number(tmp_path, text):
    with pytest.raises(DataError, match=r"t\.jsonl:2: "):
        read_table(write(tmp_path / "t.jsonl", f'{{"video": "a.mp4", "caption": "b"}}\n{text}\n'))


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_table(write(tmp_path / "t.parquet", "no"))


def test_a_number_is_an_id_but_no_video(tmp_path):
    rows = '{"video": "a.mp4", "caption": "b", "id": 0}\n{"video": 3, "caption": "b"}\n'

    with pytest.raises(DataError, match=r"t\.jsonl:2: video must be text, got 3"):
        read_table(write(tmp_path / "t.jsonl", rows))
    assert read_table(write(tmp_path / "u.jsonl", rows.splitlines()[0]))[0].id == "0"


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"tables end in \.csv, \.jsonl, \.parquet"):
        read_table(write(tmp_path / "t.xlsx", "no"))


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file; expected a table"):
        read_table(tmp_path / "t.csv")


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    (tmp_path / "t.csv").write_text("\ufeffvideo,caption\na.mp4,one\n", encoding="utf-8")

    assert len(read_table(tmp_path / "t.csv")) == 1


def test_a_folder_may_hold_a_table(tmp_path):
    write(tmp_path / "captions.csv", "video,caption\na.mp4,one\n")

    assert read_records(tmp_path)[0].captions == ("one",)


def test_a_folder_may_hold_captions_beside_videos(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "walk.mp4").write_bytes(b"")
    write(tmp_path / "sub" / "walk.txt", "one\n\n two \n")
    write(tmp_path / "notes.txt", "no video of this name")

    records = read_records(tmp_path)

    assert [(record.id, record.captions) for record in records] == [
        ("sub/walk.mp4", ("one", "two"))
    ]


def test_a_folder_without_captions_says_what_was_expected(tmp_path):
    with pytest.raises(DataError, match=r"no captions here; expected captions\.csv"):
        read_records(tmp_path)


def test_only_a_video_is_taken_for_the_video_of_a_text(tmp_path):
    for name in ("walk.MP4", "walk.json", "readme.md"):
        (tmp_path / name).write_bytes(b"")
    write(tmp_path / "walk.txt", "one")
    write(tmp_path / "readme.txt", "about these videos")

    assert [record.id for record in read_records(tmp_path)] == ["walk.MP4"]


def test_a_folder_is_listed_once_however_many_texts_it_holds(tmp_path, monkeypatch):
    for number in range(20):
        (tmp_path / f"{number}.mp4").write_bytes(b"")
        write(tmp_path / f"{number}.txt", "one")
    listed = []
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or iter(()))

    records = read_records(tmp_path)

    assert len(records) == 20
    assert listed == []


def test_two_videos_for_one_text_are_ambiguous(tmp_path):
    for suffix in (".mp4", ".avi"):
        (tmp_path / f"walk{suffix}").write_bytes(b"")
    write(tmp_path / "walk.txt", "one")

    with pytest.raises(DataError, match=r"walk\.avi and walk\.mp4 both match"):
        read_records(tmp_path)
