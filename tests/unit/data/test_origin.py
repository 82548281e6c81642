import os
from pathlib import Path

import pytest

from mvadapter.data.origin import Origin, missing_captions, read_origin, write_origin
from mvadapter.data.table import read_table
from mvadapter.errors import DataError
from mvadapter.files import hash_file
from mvadapter.seals import sealed_text


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("video,caption\na.mp4,one\n")
    return path


def origin_of(table, **changes):
    known = {"dataset": "msrvtt", "videos": "videos", "table_sha256": hash_file(table)}
    return Origin(**known | changes)


def test_a_prepared_table_remembers_its_videos_and_what_it_lacks(table):
    write_origin(table, origin_of(table, missing={"1k-A": {"video7": 1}}))

    assert read_table(table)[0].video == table.parent / "videos" / "a.mp4"
    assert missing_captions(table, "1k-A") == {"video7": 1}
    assert missing_captions(table, "train-9k") == {}


def test_a_folder_has_no_origin_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert read_origin(Path()) is None


def test_videos_may_lie_anywhere_but_names_do_not_leave_their_folder(table, tmp_path):
    table.write_text("video,caption\n../a.mp4,one\n")
    write_origin(table, origin_of(table, videos="/elsewhere"))

    with pytest.raises(DataError, match=r"'\.\./a\.mp4' is outside /elsewhere"):
        read_table(table)


def test_a_named_folder_of_videos_comes_first(table, tmp_path):
    write_origin(table, origin_of(table))

    assert read_table(table, tmp_path / "moved")[0].video == tmp_path / "moved" / "a.mp4"


def test_an_ordinary_table_has_no_origin(table):
    assert read_origin(table) is None
    assert missing_captions(table, "test") == {}


def test_a_changed_table_is_not_taken_for_the_prepared_one(table):
    write_origin(table, origin_of(table))
    table.write_text("video,caption\na.mp4,two\n")

    with pytest.raises(
        DataError, match=r"belongs to another version of t\.csv; run 'mvadapter data"
    ):
        read_table(table)


def test_an_origin_that_is_a_pipe_is_refused(table):
    os.mkfifo(table.with_name("t.csv.origin.json"))

    with pytest.raises(DataError, match=r"t\.csv\.origin\.json: is a pipe"):
        read_origin(table)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object, got a list"),
        ("{}", r"is damaged, .*\(its sha256 is missing\)"),
        (sealed_text({}), "dataset: field required"),
        (sealed_text({"dataset": 3}), "dataset: input should be a valid string"),
    ],
)
def test_a_damaged_origin_is_refused(table, text, problem):
    table.with_name("t.csv.origin.json").write_text(text)

    with pytest.raises(DataError, match=rf"t\.csv\.origin\.json: {problem}.* prepare' again"):
        read_table(table)
