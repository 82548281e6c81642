"""A path in, an open container out; what is no container of video is refused."""

import os
import stat
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError

from mvadapter.errors import VideoError
from mvadapter.video.complaint import complaint
from mvadapter.video.folder import is_text, read_head

# FFmpeg also reads texts, playlists, scripts and devices as videos, and follows what they name.
# None of these opens anything but the file itself.
DEMUXERS = (
    "apng", "asf", "avi", "dv", "flv", "gif", "h264", "hevc", "ivf", "matroska", "mov", "mpeg",
    "mpegts", "mpegvideo", "mxf", "nut", "obu", "ogg", "rm", "wtv", "yuv4mpegpipe",
)  # fmt: skip
"""FFmpeg's names of the formats that are read."""

_OPTIONS = {
    "format_whitelist": ",".join(DEMUXERS),
    "protocol_whitelist": "file",
    # QuickTime files may name other files that hold their data.
    "enable_drefs": "0",
    "use_absolute_path": "0",
}


def open_container(path: Path) -> InputContainer:
    """Open a file of one of the formats that are read, for reading.

    Raises:
        MemoryError: There is too little memory for it.
        VideoError: There is no such file, it may not be read, or it is no such container.
    """
    head = _head_of(path)
    try:
        # "file:" keeps FFmpeg from taking "a:b.mp4" for a network address. Names and titles in a
        # file may be in any encoding, and nobody reads them here.
        return av.open(
            f"file:{path}", mode="r", container_options=_OPTIONS, metadata_errors="replace"
        )
    except MemoryError:
        raise
    except (FFmpegError, OSError, ValueError) as error:
        if is_text(head):
            raise VideoError(
                complaint(
                    path, "cannot be opened as a video: it is text", "pass the path of a video file"
                )
            ) from error
        raise VideoError(
            complaint(
                path,
                "cannot be opened as a video: it is damaged, cut off, or something else",
                "play it, then download or convert it again",
            )
        ) from error


def _head_of(path: Path) -> bytes:
    """Read how an ordinary file begins.

    Raises:
        VideoError: It is none, is empty, or cannot be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise VideoError(complaint(path, "is a folder", "pass the path of a video file"))
        if not stat.S_ISREG(mode):
            raise VideoError(
                complaint(path, "is not an ordinary file", "pass the path of a video file")
            )
        head = read_head(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoError(complaint(path, "there is no such file", "check the path")) from error
    except PermissionError as error:
        raise VideoError(
            complaint(path, "may not be read", "change its permissions or those of its folder")
        ) from error
    except (OSError, ValueError) as error:
        # A name that is too long or has a NUL, or a disk that does not answer.
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise VideoError(
            complaint(
                path, f"cannot be read ({str(reason).lower()})", "check the path and the disk"
            )
        ) from error
    if not head:
        raise VideoError(complaint(path, "the file is empty", "download or copy it again"))
    return head
