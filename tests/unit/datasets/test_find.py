import pytest

from mvadapter.datasets.find import VideoFiles
from mvadapter.errors import DataError

LSMDC = "3086_UGLY_TRUTH_00.23.23.000-00.23.28.886"
DIDEMO = "10052357@N03_7585070382_5762149bfc"


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return VideoFiles(folder)


@pytest.mark.parametrize(
    ("video_id", "name"),
    [
        ("video7020", "video7020.mp4"),
        ("video7020", "a/b c/video7020.webm"),
        ("video7020", "video7020.MP4"),
        ("video7020", "video7020"),
        ("-4wsuPCjDBc_5_15", "-4wsuPCjDBc_5_15.avi"),
        (LSMDC, f"3086_UGLY_TRUTH/{LSMDC}.avi"),
        (LSMDC, f"{LSMDC}.mkv"),
        ("v_uqiMw7tQ1Cc", "v_uqiMw7tQ1Cc.mp4"),
        ("v_uqiMw7tQ1Cc", "uqiMw7tQ1Cc.mkv"),
        ("uqiMw7tQ1Cc", "v_uqiMw7tQ1Cc.mkv"),
        ("v_v_Miw7tQ1Cc", "v_Miw7tQ1Cc.mp4"),
        (f"{DIDEMO}.mov", f"{DIDEMO}.mov"),
        (f"{DIDEMO}.mov", f"{DIDEMO}.mov.mp4"),
        (f"{DIDEMO}.mov", f"{DIDEMO}.mp4"),
        (f"{DIDEMO}.3gpp", f"{DIDEMO}.3g2"),
        (f"{DIDEMO}.null", f"{DIDEMO}.null.mp4"),
        (f"{DIDEMO}.", f"{DIDEMO}."),
        (f"{DIDEMO}.", f"{DIDEMO}..mp4"),
        (f"{DIDEMO}.", f"{DIDEMO}.mov"),
        (f"{DIDEMO}.mov", f"{DIDEMO}.mo"),
    ],
)
def test_a_file_is_found_under_any_name_that_its_id_may_have(tmp_path, video_id, name):
    assert put(tmp_path, name).find(video_id) == tmp_path / name


@pytest.mark.parametrize(
    ("video_id", "name"),
    [
        ("video70", "video7020.mp4"),
        ("video7020", "VIDEO7020.mp4"),
        ("video7020", "video7020.jpg"),
        ("video7020", "video7020.txt"),
        ("video7020", "video7020.mp4.part"),
        ("video7020", ".video7020.mp4"),
        ("video7020", ".hidden/video7020.mp4"),
        (LSMDC, f"{LSMDC.removesuffix('.886')}.avi"),
        (LSMDC, f"{LSMDC.removesuffix('886')}129.avi"),
    ],
)
def test_a_file_that_stands_for_something_else_is_not_taken(tmp_path, video_id, name):
    assert put(tmp_path, name).find(video_id) is None


@pytest.mark.parametrize(
    "names",
    [("a/x.mp4", "b/x.mp4"), ("x.mov", "x.mov.mp4"), ("x.avi", "x.mp4"), ("v_x.mp4", "x.mp4")],
)
def test_two_files_for_one_id_are_both_named(tmp_path, names):
    files = put(tmp_path, *names)

    with pytest.raises(DataError, match="remove or rename one") as caught:
        files.find("x")
    assert all(str(tmp_path / name) in str(caught.value) for name in names)


def test_links_are_followed_once(tmp_path):
    put(tmp_path / "real", "x.mp4")
    (tmp_path / "real" / "again").symlink_to(tmp_path / "real")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "link").symlink_to(tmp_path / "real")

    files = VideoFiles(tmp_path / "videos")

    assert files.find("x") == tmp_path / "videos" / "link" / "x.mp4"


def test_a_name_that_no_table_can_hold_is_refused(tmp_path):
    files = put(tmp_path, "caf\udce9/x.mp4")

    with pytest.raises(DataError, match=r"caf\\udce9/x\.mp4: its name is not valid UTF-8"):
        files.find("x")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder; expected one with video files"):
        VideoFiles(tmp_path / "nowhere")
