"""Any file in: its text, or one line that says what is wrong with it."""

import os
import socket
from pathlib import Path

import pytest

from mvadapter.documents.text import DocumentKind, lines_of, read_text
from mvadapter.errors import DataError

KIND = DocumentKind(error=DataError, expected="a list", advice="write it again", max_bytes=1000)


def read(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return read_text(path, KIND)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_with_a_mark_is_read_in_its_encoding(tmp_path, encoding):
    assert read(tmp_path / "a.txt", "élan, 日本\n".encode(encoding)) == "élan, 日本\n"


def test_big_endian_text_with_a_mark_is_read(tmp_path):
    content = b"\xfe\xff" + "élan".encode("utf-16-be")

    assert read(tmp_path / "a.txt", content) == "élan"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"one\nit\x92s two\n",
            r"a\.txt:2: not UTF-8 text \(byte 0x92; probably Windows-1252 \(cp1252\)\); save it",
        ),
        (b"\n\xef\xf0\xe8\xe2\xe5\xf2", r"a\.txt:2: not UTF-8 text .*GBK"),
        ("élan vital".encode("utf-16-le"), r"a\.txt:1: .*UTF-16 without a byte order mark"),
        ("a dog".encode("utf-16-le"), r"a\.txt:1: contains a NUL .*UTF-16"),
        (b"one\ntw\0o", r"a\.txt:2: contains a NUL"),
        (b"\xff\xfea", r"a\.txt: begins like UTF-16-LE text, but byte 3 is not"),
        ("ab é".encode()[:-1], r"a\.txt:1: not UTF-8 text"),
        (b"x" * 1001, r"a\.txt: larger than 0 MiB; expected a list"),
    ],
)
def test_what_is_no_text_is_refused_with_its_place(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path / "a.txt", content)


def test_lines_end_at_line_feeds_alone():
    text = "one\u2028still one\r\ntwo\u0085\x0c\x1ctwo\rtwo\n\nfour"

    assert lines_of(text) == ["one\u2028still one", "two\u0085\x0c\x1ctwo\rtwo", "", "four"]


def make_pipe(path):
    os.mkfifo(path)


def make_folder(path):
    path.mkdir()


def make_nothing(path):
    pass


def make_closed_file(path):
    path.write_text("text")
    path.chmod(0)


def make_loop(path):
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_pipe, "is a pipe, not an ordinary file; expected a list"),
        (make_folder, "is a folder; expected a list"),
        (make_nothing, "no such file; expected a list"),
        (make_loop, r"cannot be read \(.*\); expected a list"),
        (make_closed_file, r"cannot be read \(permission denied\); make it readable"),
    ],
)
def test_what_is_no_ordinary_file_is_refused_and_not_opened(tmp_path, make, problem):
    path = tmp_path / "list.txt"
    make(path)
    if make is make_closed_file and os.geteuid() == 0:
        pytest.skip("root may read every file")

    with pytest.raises(DataError, match=rf"list\.txt: {problem}"):
        read_text(path, KIND)


def test_a_device_and_a_socket_are_refused(tmp_path, monkeypatch):
    # The path of a socket may not be long.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(DataError, match="s: is a socket"):
            read_text(Path("s"), KIND)
    with pytest.raises(DataError, match="/dev/zero: is a device"):
        read_text(Path("/dev/zero"), KIND)


def test_a_name_with_a_nul_is_one_line():
    with pytest.raises(DataError, match="no file has a NUL in its name"):
        read_text(Path("a\0b"), KIND)
