from dataclasses import replace

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
    assert changes.problems == (
        FileProblem(
            path=tmp_path / "disk",
            reason="has no videos; its 1 entries are kept, in case a disk is missing",
        ),
    )


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
