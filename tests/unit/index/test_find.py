import os
import unicodedata
from pathlib import Path

from mvadapter.index.find import FileProblem, find_videos, is_in


def names(found):
    return [Path(path).name for path in found.files]


def test_folders_are_searched_for_videos_in_order(tmp_path):
    for name in ("b.MP4", "a.mkv", "notes.txt", "deep/er/c.webm", ".hidden.mp4", ".trash/d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = find_videos([str(tmp_path)])

    assert names(found) == ["a.mkv", "b.MP4", "c.webm"]
    assert found.problems == []


def test_a_file_named_by_itself_is_taken_whatever_its_name(tmp_path):
    (tmp_path / "video.download").touch()

    assert names(find_videos([str(tmp_path / "video.download")])) == ["video.download"]


def test_links_to_folders_are_followed_but_not_round_and_round(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.mp4").touch()
    (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/loop").symlink_to(tmp_path / "elsewhere")

    found = find_videos([str(tmp_path / "root")])

    assert list(found.files) == [str(tmp_path / "root/link/a.mp4")]


def test_what_is_not_there_is_reported(tmp_path):
    found = find_videos([str(tmp_path / "nothing.mp4")])

    assert found.problems == [
        FileProblem(path=tmp_path / "nothing.mp4", reason="no such file or directory")
    ]


def test_a_link_that_leads_nowhere_is_reported(tmp_path):
    (tmp_path / "a.mp4").symlink_to(tmp_path / "gone.mp4")

    found = find_videos([str(tmp_path)])

    assert found.problems == [
        FileProblem(path=tmp_path / "a.mp4", reason="no such file or directory")
    ]


def test_a_pipe_is_reported_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")

    found = find_videos([str(tmp_path)])

    assert found.problems == [
        FileProblem(path=tmp_path / "a.mp4", reason="is not an ordinary file")
    ]


def test_a_name_that_is_not_utf8_is_reported(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    path.touch()

    found = find_videos([str(tmp_path)])

    assert found.problems == [
        FileProblem(path=path, reason="its name is not valid UTF-8; rename it")
    ]


def test_a_place_is_the_same_in_every_spelling_of_its_accents():
    composed, decomposed = (unicodedata.normalize(form, "/v/é") for form in ("NFC", "NFD"))

    assert composed != decomposed
    assert is_in(f"{composed}/a.mp4", decomposed)
    assert is_in(decomposed, composed)
    assert not is_in("/v/e/a.mp4", composed)
