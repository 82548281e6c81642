"""Text files beside videos: their captions, or one line about the file."""

import logging
import os

import pytest

from mvadapter.data.folder import read_records
from mvadapter.errors import DataError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "walk.mp4").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_captions_are_read_in_the_encoding_that_the_file_names(folder, encoding):
    (folder / "walk.txt").write_text("a red circle\r\nélan\n", encoding=encoding, newline="")

    assert read_records(folder)[0].captions == ("a red circle", "élan")


def test_a_line_is_a_caption_whatever_characters_it_holds(folder):
    (folder / "walk.txt").write_text("one\u2028line\u0085of\x0ctext\n", encoding="utf-8")

    assert read_records(folder)[0].captions == ("one\u2028line\u0085of\x0ctext",)


def test_another_encoding_is_named_with_file_and_line(folder):
    (folder / "walk.txt").write_bytes(b"one\nit\x92s two\n")

    with pytest.raises(DataError, match=r"walk\.txt:2: not UTF-8 text .*Windows-1252.*as UTF-8"):
        read_records(folder)


def test_a_pipe_is_refused_and_does_not_hang(folder):
    os.mkfifo(folder / "walk.txt")

    with pytest.raises(
        DataError,
        match=r"walk\.txt: is a pipe, not an ordinary file; expected a text file with one",
    ):
        read_records(folder)


def test_a_table_that_is_a_pipe_is_refused(folder):
    os.mkfifo(folder / "captions.csv")

    with pytest.raises(
        DataError, match=r"captions\.csv: is a pipe, not an ordinary file; expected a table"
    ):
        read_records(folder)


def test_a_folder_of_that_name_holds_no_captions(folder):
    (folder / "walk.txt").mkdir()

    with pytest.raises(DataError, match="no captions here"):
        read_records(folder)


def test_a_dangling_link_is_one_line(folder):
    (folder / "walk.txt").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"walk\.txt: no such file"):
        read_records(folder)


def test_two_texts_of_one_name_are_refused(folder):
    (folder / "walk.txt").write_text("one")
    (folder / "walk.TXT").write_text("other")

    with pytest.raises(DataError, match=r"walk\.txt: walk\.TXT has the same name"):
        read_records(folder)


def test_what_is_alone_is_counted_and_named(folder, caplog):
    (folder / "walk.txt").write_text("one")
    (folder / "orphan.txt").write_text("other")
    (folder / "silent.mp4").write_bytes((folder / "walk.mp4").read_bytes())

    with caplog.at_level(logging.INFO, logger="mvadapter"):
        records = read_records(folder)

    assert [record.id for record in records] == ["walk.mp4"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}: left out are videos without captions: silent",
        f"{folder}: left out are text files without videos: orphan",
    ]
