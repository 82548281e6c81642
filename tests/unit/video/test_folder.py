import os

import pytest

from mvadapter.data.folder import read_records
from mvadapter.datasets.find import VideoFiles
from mvadapter.errors import DataError
from mvadapter.index.find import find_videos
from mvadapter.video.folder import is_text, walk_files

SYSTEM_FOLDERS = [
    "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found",
    ".Trash-1000", ".thumbnails", "$Recycle.Bin",
]  # fmt: skip
TYPESCRIPT = "export const frames: number[] = [];\n" * 20


def touch(path, content=b"\0video"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def refuse(error):
    raise error


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
def test_every_scan_leaves_out_the_folders_of_systems_and_network_drives(tmp_path, name):
    film = touch(tmp_path / "films" / "film.mp4")
    touch(film.with_suffix(".txt"), b"a film")
    hidden = touch(tmp_path / "films" / name / "other.mp4")
    touch(hidden.with_suffix(".txt"), b"another film")

    assert list(find_videos([str(tmp_path)]).files) == [str(film)]
    assert [record.video for record in read_records(tmp_path)] == [film]
    assert VideoFiles(tmp_path).find("other") is None
    assert VideoFiles(tmp_path).find("film") == film


@pytest.mark.parametrize(
    "content",
    [
        TYPESCRIPT.encode(),
        TYPESCRIPT.encode("utf-16"),
        "// für Übungen\n".encode("latin-1"),
        b'<?xml version="1.0"?>\n<!DOCTYPE TS>\n',
    ],
)
@pytest.mark.parametrize("suffix", [".ts", ".mts", ".TS"])
def test_every_scan_leaves_out_sources_that_are_named_as_videos(tmp_path, content, suffix):
    touch(tmp_path / f"index{suffix}", content)
    touch(tmp_path / "index.txt", b"a caption")

    assert not find_videos([str(tmp_path)]).files
    assert VideoFiles(tmp_path).find("index") is None
    with pytest.raises(DataError, match="no captions here"):
        read_records(tmp_path)


def test_a_transport_stream_is_no_text(tmp_path):
    film = touch(tmp_path / "film.ts", b"G@\0\x10\0" + b"\xff" * 183)
    empty = touch(tmp_path / "was copied.ts", b"")

    assert list(find_videos([str(tmp_path)]).files) == [str(film), str(empty)]


def test_text_is_told_by_its_bytes():
    assert is_text("Grüße, 你好\r\n\tx".encode())
    assert not is_text(b"")
    assert not is_text(b"text, but\x00")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_that_is_named_as_a_source_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.ts")

    assert list(walk_files(str(tmp_path), refuse)) == [str(tmp_path / "pipe.ts")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_folder_that_may_not_be_read_is_reported(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)

    assert [problem.path for problem in find_videos([str(tmp_path)]).problems] == [closed]
    with pytest.raises(DataError, match="closed: cannot be read"):
        read_records(tmp_path)


def test_a_folder_that_fails_is_named_and_the_others_are_searched(tmp_path, monkeypatch):
    film = touch(tmp_path / "open" / "film.mp4")
    closed = tmp_path / "closed"
    closed.mkdir()
    scandir = os.scandir

    def fail(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)

    scan = find_videos([str(tmp_path)])

    assert list(scan.files) == [str(film)]
    assert [(problem.path, problem.reason) for problem in scan.problems] == [
        (closed, "permission denied")
    ]
    with pytest.raises(DataError, match=r"closed: cannot be read \(permission denied\)"):
        read_records(tmp_path)
