"""A file in, its text out."""

import codecs
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from os import stat_result
from pathlib import Path

from mvadapter.errors import MvAdapterError

SETTINGS_BYTES = 64 * 2**20
"""More than any file of settings needs; a tokenizer's vocabulary is among them."""
TABLE_BYTES = 4 * 2**30
"""More than the captions of any published dataset need."""

# The longer first, because UTF-32's begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe, not an ordinary file"),
    (stat.S_ISSOCK, "a socket, not an ordinary file"),
    (stat.S_ISCHR, "a device, not an ordinary file"),
    (stat.S_ISBLK, "a device, not an ordinary file"),
)
_LONE_HIGH_BYTES = re.compile(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentKind:
    """What a file should be, and how the room that reads it speaks of its faults."""

    error: type[MvAdapterError]
    """What is raised."""
    expected: str
    """Such as "a recipe (TOML)"."""
    advice: str
    """What to do about a file that is there and cannot be used, such as "download it again"."""
    max_bytes: int = SETTINGS_BYTES
    """The largest size that is read."""
    has_long_integers: bool = False
    """Whether integers past 64 bits may come: transformers writes one for "no limit"."""

    def fault(self, where: object, problem: str) -> MvAdapterError:
        """The error about a fault of the content."""
        return self.error(f"{where}: {problem}; {self.advice}")


def read_bytes(path: Path, kind: DocumentKind) -> bytes:
    """Read an ordinary file.

    Raises:
        MvAdapterError: The kind's error: it is missing, no ordinary file, too large, or may not be
            read.
    """
    with open_ordinary(path, kind) as file:
        content = file.read(kind.max_bytes + 1)
    return check_size(content, path, kind)


def hash_document(path: Path, kind: DocumentKind) -> str:
    """The SHA-256 of an ordinary file's bytes, in hexadecimal.

    Raises:
        MvAdapterError: The kind's error: it is missing, no ordinary file, or may not be read.
    """
    with open_ordinary(path, kind) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_ordinary(path: Path, kind: DocumentKind) -> Iterator[BufferedReader]:
    """Open an ordinary file; nothing else is opened, because a pipe would wait for ever.

    Raises:
        MvAdapterError: The kind's error: it is missing, no ordinary file, or cannot be read.
    """
    if "\0" in str(path):
        raise kind.error(f"{str(path)!r}: no file has a NUL in its name")
    try:
        _check_ordinary(path, path.stat(), kind)
        with open(path, "rb", opener=_open_without_waiting) as file:
            # Again, because another file may have come in its place.
            _check_ordinary(path, os.fstat(file.fileno()), kind)
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise kind.error(f"{path}: no such file; expected {kind.expected}") from error
    except PermissionError as error:
        raise kind.error(
            f"{path}: cannot be read (permission denied); make it readable and try again"
        ) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise kind.error(f"{path}: cannot be read ({reason}); expected {kind.expected}") from error


def is_missing(path: Path) -> bool:
    """Whether a file is known to be absent; a disk that does not answer is not enough."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def check_size(content: bytes, where: object, kind: DocumentKind) -> bytes:
    """Refuse content that is larger than any of its kind.

    Raises:
        MvAdapterError: The kind's error: it is.
    """
    if len(content) > kind.max_bytes:
        raise kind.error(
            f"{where}: larger than {kind.max_bytes / 2**20:.0f} MiB; expected {kind.expected}"
        )
    return content


def read_text(path: Path, kind: DocumentKind) -> str:
    """Read a file of text: UTF-8, or what its byte order mark says.

    Raises:
        MvAdapterError: The kind's error: it cannot be read, or is not text.
    """
    return decode_text(read_bytes(path, kind), path, kind)


def decode_text(content: bytes, where: object, kind: DocumentKind) -> str:
    """Turn bytes into text: UTF-8, or what their byte order mark says.

    Args:
        content: The bytes.
        where: What they are called in an error.
        kind: What they should be.

    Raises:
        MvAdapterError: The kind's error: they are not text.
    """
    mark, encoding = next((one for one in _MARKS if content.startswith(one[0])), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise kind.error(_describe(content, len(mark), error, where)) from error
    if (place := text.find("\0")) >= 0:
        line = text.count("\n", 0, place) + 1
        raise kind.error(
            f"{where}:{line}: contains a NUL character, as UTF-16 without a byte order mark and "
            f"files that are not text do; save it as UTF-8 text"
        )
    return text


def lines_of(text: str) -> list[str]:
    r"""Split text into lines, at ``\n`` and ``\r\n`` only.

    `str.splitlines` also splits at characters that a caption may hold, such as U+2028.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def has_lone_surrogate(text: str) -> bool:
    r"""Whether text holds half of a character, as ``"\ud83d"`` in JSON: no file can store it.

    Paths hold such halves where a file name is not valid UTF-8.
    """
    return _SURROGATES.search(text) is not None


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_ordinary(path: Path, status: stat_result, kind: DocumentKind) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    what = next((name for test, name in _SPECIAL if test(status.st_mode)), "no ordinary file")
    raise kind.error(f"{path}: is {what}; expected {kind.expected}")


def _describe(content: bytes, start: int, error: UnicodeDecodeError, where: object) -> str:
    place = start + error.start
    line = content.count(b"\n", 0, place) + 1
    if error.encoding != "utf-8":
        return (
            f"{where}: begins like {error.encoding.upper()} text, but byte {place + 1} is not "
            f"({error.reason}); save it as UTF-8"
        )
    return (
        f"{where}:{line}: not UTF-8 text (byte 0x{content[place]:02x}; probably "
        f"{_probable(content)}); save it as UTF-8"
    )


def _probable(content: bytes) -> str:
    """Name the encoding that bytes are probably in, which are not UTF-8."""
    if b"\0" in content:
        return "UTF-16 without a byte order mark"
    high = len(content) - len(content.translate(None, bytes(range(128, 256))))
    # In Western text, letters with accents and curly quotes stand alone among ASCII.
    if 2 * len(_LONE_HIGH_BYTES.findall(content)) < high:
        return "no text, or in an encoding such as GBK, Shift JIS or Windows-1251"
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return "damaged"
    return "Windows-1252 (cp1252)"
