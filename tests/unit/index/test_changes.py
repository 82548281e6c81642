import shutil
import unicodedata
from dataclasses import replace

import pytest

from mvadapter.index.changes import find_changes
from mvadapter.index.find import FileProblem, find_videos


def look(*sources):
    names = [str(source) for source in sources]
    return names, find_videos(names)


def touch(path, text="video"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_new_changed_and_unchanged_videos_are_distinguished(tmp_path):
    for name in ("new.mp4", "changed.mp4", "same.mp4"):
        touch(tmp_path / name)
    sources, found = look(tmp_path)
    new, changed, same = (str(tmp_path / f"{name}.mp4") for name in ("new", "changed", "same"))
    known = {same: found.files[same], changed: replace(found.files[changed], mtime_ns=1)}

    changes = find_changes(sources, found, known)

    assert [file.path for file in changes.to_embed] == [changed, new]
    assert changes.num_unchanged == 1


def test_videos_deleted_from_a_folder_are_removed(tmp_path):
    gone = touch(tmp_path / "gone.mp4")
    touch(tmp_path / "stays.mp4")
    _, before = look(tmp_path)
    gone.unlink()
    sources, found = look(tmp_path)

    changes = find_changes(sources, found, before.files)

    assert changes.removed == {str(gone)}


def test_videos_elsewhere_are_left_alone(tmp_path):
    other = touch(tmp_path / "other/a.mp4")
    touch(tmp_path / "folder/b.mp4")
    touch(tmp_path / "folder2/c.mp4")
    _, before = look(tmp_path)
    other.unlink()
    sources, found = look(tmp_path / "folder")

    changes = find_changes(sources, found, before.files)

    assert changes.removed == frozenset()


def test_a_folder_without_any_video_left_keeps_its_entries_and_is_reported(tmp_path):
    gone = touch(tmp_path / "disk/a.mp4")
    _, before = look(tmp_path / "disk")
    gone.unlink()
    sources, found = look(tmp_path / "disk")

    changes = find_changes(sources, found, before.files)

    assert changes.removed == frozenset()
    assert changes.missing == {str(tmp_path / "disk"): 1}


def test_a_folder_that_is_not_there_keeps_its_entries(tmp_path):
    gone = touch(tmp_path / "disk/a.mp4")
    _, before = look(tmp_path / "disk")
    gone.unlink()
    gone.parent.rmdir()
    sources, found = look(tmp_path / "disk")

    changes = find_changes(sources, found, before.files)

    assert changes.removed == frozenset()
    assert changes.problems == (
        FileProblem(path=tmp_path / "disk", reason="no such file or directory"),
    )


def test_a_file_that_was_named_by_itself_and_deleted_is_removed_without_complaint(tmp_path):
    gone = touch(tmp_path / "a.mp4")
    touch(tmp_path / "b.mp4")
    sources, before = look(gone)
    gone.unlink()
    _, found = look(gone)

    changes = find_changes(sources, found, before.files)

    assert changes.removed == {str(gone)}
    assert changes.problems == ()


def test_a_moved_folder_is_recognised(tmp_path):
    touch(tmp_path / "old/a.mp4")
    _, before = look(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    sources, found = look(tmp_path / "new")

    changes = find_changes(sources, found, before.files)

    new = str(tmp_path / "new/a.mp4")
    assert changes.moved == {str(tmp_path / "old/a.mp4"): found.files[new]}
    assert changes.to_embed == ()


def test_a_copy_is_not_taken_for_a_moved_video(tmp_path):
    old = touch(tmp_path / "old/a.mp4")
    _, before = look(tmp_path / "old")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/a.mp4").hardlink_to(old)
    sources, found = look(tmp_path / "new")

    changes = find_changes(sources, found, before.files)

    assert changes.moved == {}
    assert [file.path for file in changes.to_embed] == [str(tmp_path / "new/a.mp4")]


def test_a_file_that_was_named_and_whose_folder_is_empty_now_is_missing(tmp_path):
    gone = touch(tmp_path / "share/a.mp4")
    sources, before = look(gone)
    gone.unlink()
    _, found = look(gone)

    changes = find_changes(sources, found, before.files)

    assert changes.removed == frozenset()
    assert changes.missing == {str(tmp_path / "share"): 1}
    assert changes.problems == ()


@pytest.mark.parametrize("leftover", [None, "NOT MOUNTED.txt", ".hidden.mp4"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_share_inside_a_folder_that_is_not_mounted_keeps_its_videos(tmp_path, leftover, is_there):
    local = touch(tmp_path / "videos/local.mp4")
    for name in ("a.mp4", "deep/b.mp4", "deep/deeper/c.mp4"):
        touch(tmp_path / "videos/nas" / name)
    sources, before = look(tmp_path / "videos")
    (tmp_path / "videos/nas").rename(tmp_path / "away")
    if is_there:
        (tmp_path / "videos/nas").mkdir()
        if leftover:
            touch(tmp_path / "videos/nas" / leftover)
    _, found = look(tmp_path / "videos")

    changes = find_changes(sources, found, before.files)

    assert list(found.files) == [str(local)]
    assert changes.removed == frozenset()
    assert changes.missing == {str(tmp_path / "videos/nas"): 3}


def test_one_deleted_video_among_others_is_removed_beside_a_missing_share(tmp_path):
    for name in ("a.mp4", "b.mp4", "nas/c.mp4"):
        touch(tmp_path / name)
    sources, before = look(tmp_path)
    (tmp_path / "a.mp4").unlink()
    shutil.rmtree(tmp_path / "nas")
    _, found = look(tmp_path)

    changes = find_changes(sources, found, before.files)

    assert changes.removed == {str(tmp_path / "a.mp4")}
    assert changes.missing == {str(tmp_path / "nas"): 1}


def test_a_share_behind_a_link_that_leads_nowhere_keeps_its_videos(tmp_path):
    touch(tmp_path / "disk/a.mp4")
    touch(tmp_path / "videos/b.mp4")
    (tmp_path / "videos/link").symlink_to(tmp_path / "disk")
    sources, before = look(tmp_path / "videos")
    shutil.rmtree(tmp_path / "disk")
    _, found = look(tmp_path / "videos")

    changes = find_changes(sources, found, before.files)

    assert len(before.files) == 2
    assert changes.removed == frozenset()
    assert changes.missing == {str(tmp_path / "videos/link"): 1}


def test_a_renamed_folder_inside_a_folder_is_moved_and_not_missing(tmp_path):
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "old/b.mp4")
    sources, before = look(tmp_path)
    (tmp_path / "old").rename(tmp_path / "new")
    _, found = look(tmp_path)

    changes = find_changes(sources, found, before.files)

    assert changes.moved.keys() == {str(tmp_path / "old/b.mp4")}
    assert (changes.removed, changes.missing) == (frozenset(), {})


def test_a_name_in_another_spelling_of_its_accents_is_the_same_video(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Café.mp4") for form in ("NFC", "NFD"))
    touch(tmp_path / composed)
    sources, before = look(tmp_path)
    (tmp_path / composed).rename(tmp_path / decomposed)
    _, found = look(tmp_path)

    changes = find_changes(sources, found, before.files)

    assert changes.moved.keys() == {str(tmp_path / composed)}
    assert changes.to_embed == ()


def test_a_folder_with_nothing_but_sources_of_typescript_holds_no_videos(tmp_path):
    film = touch(tmp_path / "films/film.mp4")
    _, before = look(tmp_path)
    film.unlink()
    touch(tmp_path / "films/index.ts", "export const frames = [];")
    touch(tmp_path / "films/.hidden.mp4")
    sources, found = look(tmp_path)

    changes = find_changes(sources, found, before.files)

    assert changes.removed == frozenset()
    assert changes.missing == {str(tmp_path): 1}


@pytest.mark.parametrize("name", ["@eaDir/thumbnail.mp4", ".hidden/film.mp4", "index.ts"])
def test_indexed_files_that_are_not_looked_for_any_more_are_reported(tmp_path, name):
    left_out, film = touch(tmp_path / name), touch(tmp_path / "film.mp4")
    # An earlier version looked for them; so does who names them.
    _, before = look(left_out, film)
    sources, found = look(tmp_path)

    changes = find_changes(sources, found, before.files)

    (problem,) = changes.left_out
    assert problem.path == left_out
    assert "'mvadapter remove' removes it" in problem.reason
    assert (changes.num_unchanged, changes.removed, changes.missing) == (1, frozenset(), {})
    assert not find_changes(
        [*sources, str(left_out)], look(left_out, film)[1], before.files
    ).left_out
