"""Videos that are removed by name, and indexes in which nothing is."""

import shutil
import unicodedata

import pytest

from damaged_index import held, largest, lose_rows, make_early
from mvadapter.errors import DataError, IndexFolderError
from mvadapter.index.damage import DamagedTableError
from mvadapter.index.remove import remove_empty_index


def test_removed_videos_leave_all_views_and_their_folder_is_forgotten(filled, videos):
    with pytest.raises(DataError, match="nothing of this index is there"):
        filled.remove([videos / "0.mp4", videos / "none.mp4"])

    one = filled.remove(videos / "0.mp4")
    assert (one.removed, one.num_videos) == ({"frozen": 1}, 1)
    assert len(held(filled)[0]) == 3
    # Its file is still there.
    assert filled.add().num_added == 1

    assert filled.remove(videos).num_videos == 4
    assert held(filled)[0] == ()
    assert filled.add().num_added == 0
    assert filled.verify().is_sound


def test_missing_videos_stay_until_they_are_removed(index, videos, tmp_path):
    (videos / "nas").mkdir()
    (videos / "3.mp4").rename(videos / "nas/3.mp4")
    index.add(videos)
    shutil.rmtree(videos / "nas")

    report = index.add()

    assert (report.num_removed, report.num_missing, report.num_videos) == (0, 1, 4)
    (missing,) = report.missing
    assert missing.path == videos / "nas"
    assert "'mvadapter remove'" in missing.reason
    index.remove(videos / "nas")
    assert index.add().num_missing == 0


def test_an_index_with_videos_is_not_taken_for_an_empty_one(filled):
    with pytest.raises(IndexFolderError, match="has videos"):
        remove_empty_index(filled.folder)


def test_nothing_is_removed_from_a_damaged_index(filled, videos):
    largest(filled, "data/*.lance").unlink()

    with pytest.raises(DamagedTableError, match="run 'mvadapter index'"):
        filled.remove(videos / "0.mp4")

    assert filled.add().num_added == 4
    assert filled.remove(videos / "0.mp4").num_videos == 1


def test_nothing_is_removed_where_rows_were_lost(filled, videos):
    lose_rows(filled, videos / "1.mp4")

    with pytest.raises(DamagedTableError, match="some of its vectors were lost"):
        filled.remove(videos / "0.mp4")

    assert not filled.verify().is_sound


def test_videos_are_removed_from_an_index_of_an_earlier_version(filled, videos):
    make_early(filled)

    assert filled.remove(videos / "0.mp4").num_videos == 1

    assert len(held(filled)[0]) == 3
    assert filled.verify().is_sound


def test_nothing_is_removed_while_a_repair_is_not_finished(filled, videos):
    (filled.folder / "vectors/frozen.lance.damaged").mkdir()

    with pytest.raises(DamagedTableError, match="its last repair was interrupted"):
        filled.remove(videos / "0.mp4")


def test_of_two_spellings_of_a_name_only_the_one_that_is_named_is_removed(index, videos):
    composed, decomposed = (unicodedata.normalize(form, "café.mp4") for form in ("NFC", "NFD"))
    (videos / "0.mp4").rename(videos / composed)
    (videos / "1.mp4").rename(videos / decomposed)
    if len({path.name for path in videos.iterdir()} & {composed, decomposed}) < 2:
        pytest.skip("this file system takes both spellings for one name")
    index.add(videos)

    assert index.remove(videos / composed).num_videos == 1
    assert str(videos / decomposed) in held(index)[0]
