"""A folder of video files in, the file of each id out."""

from collections import defaultdict
from pathlib import Path

from mvadapter.errors import DataError
from mvadapter.video.folder import VIDEO_SUFFIXES, walk_files

# Flickr's name for a kind of file that it did not know; DiDeMo's lists hold one.
_SUFFIXES = VIDEO_SUFFIXES | {".null"}
# Names were cut off after so many characters, in the middle of a suffix or right after its dot.
_CUT_SUFFIXES = frozenset(suffix[:end] for suffix in _SUFFIXES for end in range(1, len(suffix) + 1))
_PREFIX = "v_"


class VideoFiles:
    """The files in a folder and the folders in it, by the ids that their names may mean.

    The folder is searched once. A name matches an id when both are the same without container
    suffixes, complete or cut off, and without ``v_`` before them: ``a/v_x.mov.mp4`` is the file of
    ``x``, ``v_x``, ``x.mov`` and ``x.m``. Other dots belong to a name.

    Args:
        folder: The folder to search; `walk_files` says what is left out.

    Raises:
        DataError: There is no such folder.
        OSError: A folder in it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; expected one with video files")
        self.folder = folder
        self._files: defaultdict[str, list[Path]] = defaultdict(list)
        for path in walk_files(str(folder), _refuse):
            self._files[_without_suffixes(Path(path).name)].append(Path(path))

    def find(self, video_id: str) -> Path | None:
        """The file of an id; None where there is none.

        Raises:
            DataError: Two files fit, or the file's name is not valid UTF-8.
        """
        name = _without_suffixes(video_id)
        # An id may itself begin with the prefix, so it is taken off and put before.
        forms = dict.fromkeys((name, name.removeprefix(_PREFIX), _PREFIX + name))
        fitting = [file for form in forms for file in self._files.get(form, ())]
        if len(fitting) > 1:
            first, second = fitting[:2]
            raise DataError(f"{video_id}: both {first} and {second} match; remove or rename one")
        if not fitting:
            return None
        try:
            str(fitting[0]).encode()
        except UnicodeEncodeError as error:
            shown = str(fitting[0]).encode("utf-8", "backslashreplace").decode()
            raise DataError(f"{shown}: its name is not valid UTF-8; rename it") from error
        return fitting[0]


def _without_suffixes(name: str) -> str:
    while True:
        stem, dot, suffix = name.rpartition(".")
        if not stem or (dot + suffix).lower() not in _CUT_SUFFIXES:
            return name
        name = stem


def _refuse(error: OSError) -> None:
    raise error
