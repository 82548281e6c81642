"""A table's header in: which columns are ours, or one line that says why that is not clear."""

import json
import logging

import pyarrow
import pyarrow.parquet
import pytest

from mvadapter.data.columns import COLUMN_NAMES, find_columns
from mvadapter.data.table import read_table
from mvadapter.errors import DataError


@pytest.mark.parametrize(
    ("ours", "name"), [(ours, name) for ours, names in COLUMN_NAMES.items() for name in names]
)
def test_every_listed_name_is_read_however_it_is_written(ours, name):
    others = [column for column in ("video", "caption") if column != ours]
    for written in (name, name.upper(), name.title(), name.replace("_", " "), f" {name}",
                    name.replace("_", "-"), name.title().replace("_", "")):  # fmt: skip
        partner = {"from": {"end_seconds": "to"}, "to": {"start_seconds": "from"}}.get(name, {})
        found = find_columns([written, *others, *partner.values(), "note"], "t:1")

        assert found == {ours: written, **partner, **{column: column for column in others}}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("video,caption,text", "the columns 'caption' and 'text' can both be caption"),
        ("video,Sentence,description", "the columns 'Sentence' and 'description' can both be capt"),
        ("path,filename,caption", "the columns 'path' and 'filename' can both be video"),
        ("video,caption,start,start_seconds", "'start' and 'start_seconds' can both be start_sec"),
        ("video,caption,start,end,stop", "'end' and 'stop' can both be end_seconds"),
        ("video,caption,split,subset", "'split' and 'subset' can both be split"),
        ("video,caption,caption", "the column 'caption' comes twice"),
        ("video,caption,Caption", "the column 'Caption' comes twice"),
        ("video,caption,note,note", "the column 'note' comes twice"),
        ("video,caption,start_ms,end_ms", "'start_ms' is not read, because times are read in sec"),
        ("video,caption,start_frame,end_frame", "'start_frame' is not read"),
        ("video,caption,StartFrame", "'StartFrame' is not read"),
        ("video,caption,end milliseconds", "'end milliseconds' is not read"),
        ("video,caption,timestamps", "'timestamps' is not read"),
        ("video,caption,start,duration", "'duration' beside 'start' is not read; write end_sec"),
        ("video,caption,start_second", "'start_second' is not known; did you mean 'start_seconds'"),
        ("video,caption,clip_start,clip_end", "'clip_start' is not read"),
        ("video,caption,momentStart1", "'momentStart1' is not read"),
        ("video,caption,onset,length", "'onset' is not read"),
        ("video,caption,in_point,out_point", "'in_point' is not read"),
        ("video,caption,t0,t1", "'t0' is not read"),
        ("video,caption,ss,to", "'ss' is not read"),
        ("video,caption,to", "'to' is read as a time only beside 'from'"),
        ("video,caption,from,end", "'from' is read as a time only beside 'to'"),
        ("video,caption,begin,length", "'length' beside 'begin' is not read; write end_seconds"),
        ("video,caption,fold", "'fold' may be the split"),
        ("video,caption,is_test", "'is_test' may be the split"),
        ("video,caption,sentences", "'sentences' is not known; did you mean 'caption'"),
        ("video,captions", "'captions' is not known; did you mean 'caption'"),
        ("videos,caption", "'videos' is not known; did you mean 'video'"),
        ("clip,words", "no column 'video'; found clip, words"),
        ("video\tcaption", r"no column 'video'; .*separate columns with commas, not with '\\t'"),
    ],
)
def test_a_header_that_is_not_clear_is_refused_by_name(header, message):
    with pytest.raises(DataError, match=f"t:1: .*{message}"):
        find_columns(header.split(","), "t:1")


@pytest.mark.parametrize(
    "name", ["start [s]", "start(s)", "start_sec.", "\u200bstart", "start [time]"]
)
def test_marks_in_a_name_do_not_count(name):
    assert find_columns(["video", "caption", name], "t:1")["start_seconds"] == name


def test_columns_of_others_are_left_alone():
    header = [
        "video",
        "caption",
        "weekend",
        "trend",
        "duration",
        "video_title",
        "fps",
        "url",
        "category",
        "language",
    ]

    assert find_columns(header, "t:1") == {"video": "video", "caption": "caption"}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_other_names_are_read_in_every_format_and_reported(tmp_path, suffix, caplog):
    path = tmp_path / f"t{suffix}"
    rows = [
        {"video_id": "a.mp4", "Sentence": "it begins", "Start Time": 0.0, "end": 2.0, "fps": 25},
        {"video_id": "a.mp4", "Sentence": "it ends", "Start Time": 2.0, "end": 4.0, "fps": 25},
    ]
    match suffix:
        case ".csv":
            lines = [
                ",".join(map(str, values)) for values in (rows[0], *(r.values() for r in rows))
            ]
            path.write_text("\n".join(lines))
        case ".jsonl":
            path.write_text("\n".join(map(json.dumps, rows)))
        case _:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)

    with caplog.at_level(logging.INFO, "mvadapter"):
        records = read_table(path)

    assert [(r.start_seconds, r.end_seconds, r.captions) for r in records] == [
        (0.0, 2.0, ("it begins",)),
        (2.0, 4.0, ("it ends",)),
    ]
    assert caplog.messages == [
        f"{path}: columns used: video_id as video, Sentence as caption, Start Time as "
        f"start_seconds, end as end_seconds; left alone: fps"
    ]


def test_a_table_with_our_names_alone_is_not_remarked(tmp_path, caplog):
    (tmp_path / "t.csv").write_text("video,caption\na.mp4,one\n")

    with caplog.at_level(logging.INFO, "mvadapter"):
        read_table(tmp_path / "t.csv")

    assert caplog.messages == []


def test_a_repeated_key_of_a_line_is_refused(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"video": "a", "caption": "x", "caption": "y"}')

    with pytest.raises(DataError, match=r"t\.jsonl:1: the key 'caption' comes twice"):
        read_table(tmp_path / "t.jsonl")
