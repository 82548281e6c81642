import json
from pathlib import Path

import av
import pytest

from commands import run_command, run_process
from made_videos import write_video
from mvadapter.adapters.build import build_adapter
from mvadapter.adapters.methods.frozen import FrozenConfig
from mvadapter.encoder.checkpoint import save_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import ConfigError
from mvadapter.index import cut as index_cut


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, random_clip_folder):
    """A folder with videos/ (two good ones and a bad one), and an index/ of them."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "videos").mkdir()
    write_video(folder / "videos/short.mp4", 30)
    write_video(folder / "videos/long.mp4", 90)
    (folder / "videos/bad.mp4").write_text("no video")
    done = run_process(
        "index", "index", "videos", "--backbone", random_clip_folder,
        "--max-segment-seconds", 1, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "skipped videos/bad.mp4: cannot be opened as a video" in done.stderr
    assert "2 added, 1 skipped; index has 2 videos in 4 segments" in done.stderr
    return folder


def test_indexing_again_reads_only_what_is_new(workplace):
    done = run_command("index", workplace / "index", "--json")

    report = json.loads(done.stdout)
    assert (report["num_added"], report["num_unchanged"]) == (0, 2)
    assert [entry["path"] for entry in report["skipped"]] == [str(workplace / "videos/bad.mp4")]
    assert (report["num_videos"], report["num_segments"]) == (2, 4)
    assert done.returncode == 1


def test_a_missing_video_is_named_and_no_index_is_made(tmp_path):
    write_video(tmp_path / "a.mp4", 30)

    done = run_command("index", "index", "a.mp4", "vidoes", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "mvadapter: error: vidoes: no such file or folder; check the path of the videos"
    ]
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("name", [None, "notes.mp4", "notes.txt"])
def test_without_a_video_no_index_is_made(random_clip_folder, tmp_path, name):
    (tmp_path / "videos").mkdir()
    if name is not None:
        (tmp_path / "videos" / name).write_text("no video")

    done = run_command(
        "index", tmp_path / "index", tmp_path / "videos", "--backbone", random_clip_folder
    )

    assert done.returncode == 2, done.stderr
    assert "no index" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "index").exists()


def test_a_missing_video_of_an_index_that_exists_is_skipped(workplace):
    done = run_command("index", workplace / "index", workplace / "vidoes", "--json")

    assert json.loads(done.stdout)["skipped"] == [
        {"path": str(workplace / "vidoes"), "reason": "no such file or directory"}
    ]
    assert done.returncode == 1


def test_an_unknown_view_is_named_with_the_nearest(workplace):
    indexed = run_command("index", workplace / "index", "--adapter", "frozn")
    searched = run_command("search", workplace / "index", "grey", "--adapter", "frozn")

    for done in (indexed, searched):
        assert done.returncode == 2
        assert "view 'frozn' is not known. Did you mean 'frozen'?" in done.stderr


def test_an_index_made_with_other_segments_is_not_mixed_with_these(workplace):
    done = run_command("index", workplace / "index", "--max-segment-seconds", 2)

    assert done.returncode == 2
    assert "--max-segment-seconds must be 1, with which" in done.stderr


def test_search_prints_a_table_for_people(workplace):
    done = run_command("search", "index", "grey squares", "--top", 2, cwd=workplace)

    assert done.returncode == 0
    assert "'grey squares' (view 'frozen')" in done.stdout
    assert "videos/long.mp4" in done.stdout
    assert "0:00.0 - 0:01.0" in done.stdout


def test_search_reports_when_nothing_scores_high_enough(workplace):
    done = run_command("search", workplace / "index", "grey squares", "--min-score", 2)

    assert done.returncode == 0
    assert "reaches this score; use a lower --min-score" in done.stderr


def test_a_video_that_is_gone_is_reported_after_the_table_and_cannot_be_cut(
    workplace, random_clip_folder, tmp_path
):
    write_video(tmp_path / "a.mp4", 30)
    run_command("index", tmp_path / "index", tmp_path / "a.mp4", "--backbone", random_clip_folder)
    (tmp_path / "a.mp4").unlink()

    searched = run_command("search", tmp_path / "index", "grey squares")
    cut = run_command("cut", tmp_path / "index", "grey squares", "-o", tmp_path / "cuts")

    assert "1 of these videos have moved or been deleted" in searched.stderr
    assert cut.returncode == 1
    assert "a.mp4: there is no such file" in cut.stderr


def test_isolated_videos_are_indexed_and_bad_ones_skipped(random_clip_folder, tmp_path):
    write_video(tmp_path / "a.mp4", 30)
    (tmp_path / "bad.mp4").write_text("no video")

    done = run_command(
        "index",
        tmp_path / "index",
        tmp_path,
        "--isolate",
        "--backbone",
        random_clip_folder,
        "--json",
    )

    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["num_added"] == 1
    assert [Path(problem["path"]).name for problem in report["skipped"]] == ["bad.mp4"]


def test_one_cut_that_fails_stops_no_other(workplace, tmp_path, monkeypatch):
    cut_segment = index_cut.cut_segment

    def fail_once(path, *rest):
        monkeypatch.setattr(index_cut, "cut_segment", cut_segment)
        raise ConfigError(f"{path}: name too long")

    monkeypatch.setattr(index_cut, "cut_segment", fail_once)
    done = run_command(
        "cut", workplace / "index", "grey squares", "--top", 2, "-o", tmp_path / "cuts"
    )

    assert done.returncode == 1
    assert "name too long" in done.stderr
    assert len(list((tmp_path / "cuts").glob("*.mp4"))) == 1


def test_several_moments_are_cut_into_a_folder(workplace, tmp_path):
    done = run_command(
        "cut", workplace / "index", "grey squares", "--top", 2, "-o", tmp_path / "cuts"
    )

    assert done.returncode == 0
    assert len(list((tmp_path / "cuts").glob("*.mp4"))) == 2


def test_cuts_of_like_named_videos_and_earlier_files_are_kept(random_clip_folder, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "video.mp4", 30)
    videos = tmp_path / "a", tmp_path / "b"
    run_command("index", tmp_path / "index", *videos, "--backbone", random_clip_folder)
    cuts = tmp_path / "cuts"
    cuts.mkdir()
    (cuts / "video_0.0-1.0s.mp4").write_text("mine")

    done = run_command("cut", tmp_path / "index", "grey", "--top", 2, "-o", cuts, "--json")

    written = json.loads(done.stdout)
    assert {entry["source"] for entry in written} == {str(f / "video.mp4") for f in videos}
    assert [entry["path"] for entry in written] == [
        str(cuts / "video_0.0-1.0s_2.mp4"),
        str(cuts / "video_0.0-1.0s_3.mp4"),
    ]
    assert (cuts / "video_0.0-1.0s.mp4").read_text() == "mine"


def test_a_cut_does_not_replace_a_file(workplace, tmp_path):
    (tmp_path / "mine.mp4").write_text("mine")

    done = run_command("cut", workplace / "index", "grey", "-o", tmp_path / "mine.mp4")

    assert done.returncode == 2
    assert "mine.mp4 already exists; choose another file, or delete it" in done.stderr
    assert (tmp_path / "mine.mp4").read_text() == "mine"


def test_an_adapter_folder_of_any_name_makes_an_index(random_clip, random_clip_folder, tmp_path):
    encoder = Encoder(random_clip, build_adapter(FrozenConfig(), random_clip))
    save_adapter(encoder, tmp_path / "my adapter")
    write_video(tmp_path / "a.mp4", 30)

    done = run_command(
        "index", tmp_path / "index", tmp_path / "a.mp4", "--adapter", tmp_path / "my adapter",
        "--backbone", random_clip_folder,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "(view 'my_adapter-" in done.stderr


def test_several_moments_do_not_go_into_one_file(workplace):
    done = run_command("cut", workplace / "index", "grey squares", "--top", 2, "-o", "all.mp4")

    assert done.returncode == 2
    assert "--output must be a folder for 2 moments" in done.stderr


def test_what_search_finds_is_what_cut_writes(workplace):
    searched = run_process(
        "search", "index", "grey squares", "--group", "video", "--json", cwd=workplace
    )
    cut = run_process("cut", "index", "grey squares", "-o", "best.mp4", "--json", cwd=workplace)

    moments = json.loads(searched.stdout)
    (written,) = json.loads(cut.stdout)
    assert {moment["path"] for moment in moments} == {
        str(workplace / "videos/long.mp4"),
        str(workplace / "videos/short.mp4"),
    }
    assert moments[0]["score"] >= moments[1]["score"]
    assert (written["source"], written["score"]) == (moments[0]["path"], moments[0]["score"])
    with av.open(str(workplace / "best.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 30


def test_a_folder_that_is_no_index_is_one_line_and_exit_code_2(workplace):
    done = run_command("search", "videos", "anything", cwd=workplace)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "mvadapter: error: videos: no index here (index.json is missing); "
        "create one with: mvadapter index videos VIDEOS... (in Python: VideoIndex.create)"
    ]


def test_a_share_that_is_not_mounted_is_reported_and_removed_by_a_command(
    random_clip_folder, tmp_path
):
    (tmp_path / "videos/nas").mkdir(parents=True)
    for name in ("a.mp4", "nas/b.mp4", "nas/c.mp4"):
        write_video(tmp_path / "videos" / name, 30)
    index = tmp_path / "index"
    run_command("index", index, tmp_path / "videos", "--backbone", random_clip_folder)
    (tmp_path / "videos/nas").rename(tmp_path / "away")
    (tmp_path / "videos/nas").mkdir()

    missing = run_command("index", index)
    searched = run_command("search", index, "grey", "--json")
    removed = run_command("remove", index, tmp_path / "videos/nas")
    again = run_command("index", index)

    assert missing.returncode == 1
    assert "the index keeps 2 videos of it, in case a disk is not mounted" in missing.stderr
    assert "1 unchanged, 2 missing; " in missing.stderr
    assert len(json.loads(searched.stdout)) == 3
    assert removed.returncode == 0
    assert "2 videos removed from " in removed.stderr
    assert again.returncode == 0, again.stderr


def test_verify_finds_what_is_damaged_and_index_repairs_it(random_clip_folder, tmp_path):
    write_video(tmp_path / "a.mp4", 30)
    index = tmp_path / "index"
    run_command("index", index, tmp_path / "a.mp4", "--backbone", random_clip_folder)

    sound = run_command("verify", index)
    (data,) = index.rglob("data/*.lance")
    data.write_bytes(data.read_bytes()[:200])
    damaged = run_command("verify", index, "--json")
    searched = run_command("search", index, "grey")
    repaired = run_command("index", index)

    assert sound.returncode == 0, sound.stderr
    assert "5 files and 1 segment checked, nothing damaged" in sound.stderr
    assert damaged.returncode == 1
    assert len(json.loads(damaged.stdout)["damaged"]) == 1
    assert searched.returncode == 2
    assert data.name in searched.stderr
    assert repaired.returncode == 1
    assert "repaired " in repaired.stderr
    assert run_command("verify", index).returncode == 0
