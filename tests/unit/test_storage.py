import copy
import errno
import os
from collections import namedtuple

import av.error
import pytest
from safetensors import SafetensorError

from mvadapter import storage
from mvadapter.errors import DataError, StorageError
from mvadapter.files import atomic_write
from mvadapter.storage import check_space, make_folder, system_error, writing


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
        RuntimeError(
            "lance error: LanceError(IO): ...: No space left on device (os error 28), /a.rs"
        ),
        OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
    ],
    ids=["system", "safetensors", "lance", "arrow"],
)
def test_a_full_disk_is_recognised_in_the_words_of_every_library(tmp_path, error):
    path = tmp_path / "file"

    with pytest.raises(StorageError) as caught, writing(path):
        raise error

    assert str(caught.value) == (
        f"{path}: cannot be written (no space left on device); free some space and run the same "
        f"command again"
    )
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EDQUOT, "raise the quota"),
        (errno.EROFS, "choose another folder"),
        (errno.EACCES, "change its permissions"),
        (errno.ENOENT, "its folder was removed"),
        (errno.EFBIG, "raise the limit on the size of files"),
        (errno.ENAMETOOLONG, "choose a shorter name"),
        (errno.EIO, "check the disk"),
    ],
)
def test_each_reason_comes_with_what_to_do(tmp_path, number, message):
    with pytest.raises(StorageError, match=message), atomic_write(tmp_path / "file"):
        raise OSError(number, os.strerror(number))

    assert list(tmp_path.iterdir()) == []


def test_the_bytes_needed_are_asked_for_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _path: usage(0, 0, 200_000))

    with (
        pytest.raises(StorageError, match=r"needs 13\.6 MB, 0\.2 MB are free; free some space"),
        atomic_write(tmp_path / "file", 13_600_000),
    ):
        raise AssertionError("begun")

    check_space(tmp_path / "file", 200_000)


def test_errors_of_reading_another_file_pass_through(tmp_path):
    with pytest.raises(FileNotFoundError), writing(tmp_path / "out" / "file"):
        (tmp_path / "missing").read_text()


def test_our_own_errors_and_mistakes_pass_through(tmp_path):
    with pytest.raises(DataError, match=r"\[errno 28\]"), writing(tmp_path / "file"):
        raise DataError("[errno 28]")
    with pytest.raises(ZeroDivisionError), writing(tmp_path / "file"):
        _ = 1 / 0


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="a part of its path is a file"):
        make_folder(tmp_path / "file" / "folder")


def test_an_error_without_a_number_has_none():
    assert system_error(RuntimeError("28")) is None


def test_an_error_of_another_file_in_the_same_folder_is_not_about_the_output(tmp_path):
    other = PermissionError(errno.EACCES, "denied", str(tmp_path / "input.mp4"))

    with pytest.raises(PermissionError) as caught, writing(tmp_path / "out.mp4"):
        raise other

    assert caught.value is other


def test_an_error_in_the_unfinished_place_is_about_the_output(tmp_path):
    place = tmp_path / ".mvadapter-0123abcd.part"

    with (
        pytest.raises(StorageError, match=r"out\.mp4: cannot be written"),
        writing(tmp_path / "out.mp4"),
    ):
        raise PermissionError(errno.EACCES, "denied", str(place / "mvadapter.lock"))


@pytest.mark.parametrize(
    ("number", "is_translated"),
    [(errno.ENOSPC, True), (errno.EIO, False), (errno.ERANGE, False), (1094995529, False)],
)
def test_what_ffmpeg_reports_is_the_outputs_only_where_it_can_be_nothing_else(
    tmp_path, number, is_translated
):
    error = av.error.FFmpegError(number, "says FFmpeg")

    with (
        pytest.raises(StorageError if is_translated else av.error.FFmpegError),
        writing(tmp_path / "out.mp4"),
    ):
        raise error


def test_a_storage_error_that_is_copied_keeps_its_number():
    error = copy.copy(StorageError("full", number=errno.ENOSPC))

    assert (str(error), error.errno) == ("full", errno.ENOSPC)
