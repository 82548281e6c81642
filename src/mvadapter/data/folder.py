"""A folder of videos with captions in, records out."""

import logging
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from mvadapter.data.records import Record
from mvadapter.data.table import TABLE_SUFFIXES, read_table
from mvadapter.documents.text import DocumentKind, lines_of, read_text
from mvadapter.errors import DataError
from mvadapter.video.folder import has_video_suffix, walk_files

_log = logging.getLogger(__name__)

_SHOWN = 3
_TABLE_STEM = "captions"
_KIND = DocumentKind(
    error=DataError,
    expected="a text file with one caption per line",
    advice="write one caption per line",
)


def find_table(path: Path) -> Path:
    """Return the table in a folder; a path without one is returned unchanged.

    Raises:
        DataError: The folder contains two.
    """
    if not path.is_dir():
        return path
    tables = [path / f"{_TABLE_STEM}{suffix}" for suffix in TABLE_SUFFIXES]
    found = [table for table in tables if table.exists()]
    if len(found) > 1:
        raise DataError(f"{path}: contains {found[0].name} and {found[1].name}; name one of them")
    return found[0] if found else path


def read_records(path: str | Path, videos: str | Path | None = None) -> list[Record]:
    """Read a table, or a folder with captions.

    A folder holds either a table ``captions.csv`` (or ``.jsonl``, ``.parquet``), or beside each
    video a text file of the same name, ``walk.mp4`` and ``walk.txt``, with one caption per line.

    Args:
        path: The table or the folder.
        videos: The folder that the videos' names are relative to, when it is not the table's.

    Raises:
        DataError: There are no captions there, or a row or line cannot be used.
    """
    path = find_table(Path(path))
    if not path.is_dir():
        return read_table(path, videos)
    records = _beside_videos(path)
    if not records:
        raise DataError(
            f"{path}: no captions here; expected {_TABLE_STEM}{TABLE_SUFFIXES[0]} with columns "
            f"video and caption, or a text file beside each video (walk.mp4, walk.txt)"
        )
    return records


def _beside_videos(folder: Path) -> list[Record]:
    texts: dict[Path, Path] = {}
    videos = defaultdict(list)
    for path in sorted(Path(name) for name in walk_files(str(folder), _refuse)):
        if path.suffix.lower() == ".txt":
            other = texts.setdefault(path.with_suffix(""), path)
            if other != path:
                raise DataError(f"{path}: {other.name} has the same name; remove or join one")
        elif has_video_suffix(path) and path.is_file():
            videos[path.with_suffix("")].append(path)
    _note_alone(folder, "videos without captions", videos.keys() - texts.keys())
    _note_alone(folder, "text files without videos", texts.keys() - videos.keys())
    return [
        _one_video(folder, text, videos[name]) for name, text in texts.items() if name in videos
    ]


def _note_alone(folder: Path, what: str, names: Collection[Path]) -> None:
    if names:
        first = ", ".join(sorted(name.relative_to(folder).as_posix() for name in names)[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        _log.info("%s: left out are %s: %s%s", folder, what, first, more)


def _refuse(error: OSError) -> None:
    reason = (error.strerror or str(error)).lower()
    raise DataError(
        f"{error.filename}: cannot be read ({reason}); make it readable, or move it elsewhere"
    )


def _one_video(folder: Path, text: Path, videos: list[Path]) -> Record:
    if len(videos) > 1:
        raise DataError(f"{text}: {videos[0].name} and {videos[1].name} both match its name")
    lines = lines_of(read_text(text, _KIND))
    captions = tuple(line.strip() for line in lines if line.strip())
    if not captions:
        raise DataError(f"{text}: contains no caption; expected one caption per line")
    name = videos[0].relative_to(folder).as_posix()
    return Record(id=name, video=videos[0], captions=captions)
