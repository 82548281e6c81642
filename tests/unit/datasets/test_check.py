"""The doctor on half-broken copies: each fault is named, and nothing else."""

import dataclasses
import json
import logging
import re
import shutil

import pytest

from made_datasets import SAMPLES
from made_videos import with_hole, write_video
from mvadapter.backbone.clip import Backbone
from mvadapter.datasets.annotations import AnnotationFolder
from mvadapter.datasets.catalog import DATASETS
from mvadapter.datasets.check import check_annotations, check_videos, count_long
from mvadapter.datasets.find import VideoFiles
from mvadapter.errors import UnknownNameError

MSRVTT = dataclasses.replace(DATASETS["msrvtt"], num_frames=4)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Ten videos, each with content of its own."""
    folder = tmp_path_factory.mktemp("sound")
    for number in range(10):
        write_video(folder / f"video{number}.mp4", range(10 * number, 10 * number + 8))
    return folder


@pytest.fixture
def videos(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "videos")


@pytest.fixture
def annotations(tmp_path):
    SAMPLES["msrvtt"].write(tmp_path / "annotations")
    return tmp_path / "annotations"


def problems(annotations, videos=None):
    report, captions = check_annotations(MSRVTT, AnnotationFolder(annotations))
    if videos is not None:
        check_videos(MSRVTT, VideoFiles(videos), captions, report, num_workers=2)
    # That a sample is not the whole dataset is so in every test.
    return [p for p in report.problems if p.kind not in {"changed", "count"}]


def test_a_sound_copy_has_none(annotations, videos):
    assert problems(annotations, videos) == []


def damage_missing(videos):
    (videos / "video8.mp4").unlink()


def damage_ambiguous(videos):
    shutil.copy(videos / "video8.mp4", videos / "video8.avi")


def damage_empty(videos):
    (videos / "video8.mp4").write_bytes(b"")


def damage_text(videos):
    (videos / "video8.mp4").write_text("<html>404</html>")


def damage_cut_off(videos):
    data = (videos / "video8.mp4").read_bytes()
    (videos / "video8.mp4").write_bytes(data[: len(data) // 2])


def damage_inside(videos):
    with_hole(write_video(videos / "whole.mp4", 60), videos / "video8.mp4", 0.5, 1.5)
    (videos / "whole.mp4").unlink()


def damage_short(videos):
    write_video(videos / "video8.mp4", 2)


def damage_duplicate(videos):
    shutil.copy(videos / "video8.mp4", videos / "video9.mp4")


def damage_leak(videos):
    shutil.copy(videos / "video8.mp4", videos / "video0.mp4")


@pytest.mark.parametrize(
    ("damage", "kind", "text"),
    [
        (damage_missing, "missing", r"1k-A: no file for 'video8' in .*videos"),
        (damage_ambiguous, "ambiguous", r"video8: both .*video8\.avi and .*video8\.mp4 match"),
        (damage_empty, "unreadable", r"video8\.mp4: the file is empty"),
        (damage_text, "unreadable", r"video8\.mp4: cannot be opened as a video"),
        (damage_cut_off, "unreadable", r"video8\.mp4: "),
        (damage_inside, "unreadable", r"video8\.mp4: is damaged"),
        (damage_short, "too short", r"video8\.mp4: 2 frames, the model takes 4"),
        (damage_duplicate, "duplicate", r"video8\.mp4 and .*video9\.mp4 have the same content$"),
        (damage_leak, "overlap", r"video0\.mp4 .* content, and are in train-9k and 1k-A"),
    ],
)
def test_each_fault_of_the_videos_is_named(annotations, videos, damage, kind, text):
    damage(videos)

    found = problems(annotations, videos)

    assert {problem.kind for problem in found} == {kind}
    assert re.search(text, found[0].text), found[0].text


def test_a_video_that_trains_and_is_tested_is_named_with_both_splits(annotations):
    path = annotations / "MSRVTT_train.9k.csv"
    path.write_text(path.read_text() + "video8\n")

    assert [str(problem) for problem in problems(annotations)] == [
        "overlap: 'video8' is in train-9k and in 1k-A"
    ]


def test_every_fault_of_a_half_broken_copy_is_named_at_once(annotations, videos):
    damage_leak(videos)
    damage_text(videos)
    (annotations / "MSRVTT_train.7k.csv").unlink()
    path = annotations / "MSRVTT_val.full.csv"
    path.write_text(path.read_text() + "video5\nvideo77\n")
    data = json.loads((annotations / "MSRVTT_data.json").read_text())
    data["sentences"][6]["caption"] = " "
    (annotations / "MSRVTT_data.json").write_text(json.dumps(data))

    found = [str(problem) for problem in problems(annotations, videos)]

    expected = [
        r"annotation: train-9k: .*sentences\[6\]: empty caption for 'video6'",
        "absent: train-7k: .*MSRVTT_train.7k.csv is not here",
        r"annotation: val-full: .*MSRVTT_val.full.csv:3: 'video5' occurs twice",
        r"annotation: val-full: .*MSRVTT_val.full.csv:4: no caption for 'video77'",
        r"annotation: test-full: .*sentences\[6\]: empty caption",
        r"unreadable: .*video8.mp4",
    ]
    assert all(
        re.match(pattern, problem) for pattern, problem in zip(expected, found, strict=True)
    ), found


def test_a_miscount_says_what_was_expected(annotations):
    report, _ = check_annotations(MSRVTT, AnnotationFolder(annotations))

    assert "count: 1k-A: expected 1000 videos with 1000 captions, found 2 with 2" in map(
        str, report.problems
    )


def test_time_and_disk_of_stored_frames_are_estimated(annotations, videos):
    report, captions = check_annotations(MSRVTT, AnnotationFolder(annotations))
    seen = []

    check_videos(
        MSRVTT, VideoFiles(videos), captions, report,
        num_workers=2, on_progress=lambda *counts: seen.append(counts),
    )  # fmt: skip

    assert report.estimate.num_videos == 10
    assert report.estimate.seconds > 0
    assert report.estimate.num_bytes > 10 * 4 * 1000
    assert seen[-1] == (10, 10)


@pytest.mark.parametrize(
    ("caption", "num_tokens"),
    [("a man walks", 5), ("he's 12 years-old.", 10), ("a  b\tc ...", 6), ("größer", 3)],
)
def test_long_captions_are_counted_in_clips_own_words(caption, num_tokens):
    assert count_long([caption], num_tokens) == 0
    assert count_long([caption], num_tokens - 1) == 1


def test_long_captions_are_counted_by_a_tokenizer_of_a_clip():
    tokenizer = Backbone.load("tiny").tokenizer
    _, mask = tokenizer.encode(["a red circle moves"], 30)
    num_tokens = int(mask.sum())

    count_cut = tokenizer.count_cut

    assert count_cut(["a red circle moves", "a"], num_tokens) == 0
    assert count_cut(["a red circle moves", "a"], num_tokens - 1) == 1


def test_captions_that_fit_a_dataset_but_not_the_clip_are_counted_as_cut():
    tokenizer = Backbone.load("tiny").tokenizer
    _, mask = tokenizer.encode(["a " * 100], 77)
    longest = int(mask.sum())
    assert longest < 77

    # Start and end are tokens too.
    assert tokenizer.count_cut(["a " * (longest - 2)], 77) == 0
    assert tokenizer.count_cut(["a " * (longest - 1)], 77) == 1


def test_a_report_as_plain_values_has_the_splits_that_can_be_read(annotations):
    (annotations / "MSRVTT_train.7k.csv").unlink()
    report, captions = check_annotations(MSRVTT, AnnotationFolder(annotations))

    result = report.to_dict()

    assert set(result["splits"]) == set(result["cut_captions"]) == set(captions)
    assert result["splits"]["1k-A"] == {"videos": 2, "captions": 2}
    assert any(problem.startswith("absent: train-7k: ") for problem in result["problems"])
    assert result["frames"] is None


def test_single_splits_can_be_checked(annotations):
    report, captions = check_annotations(MSRVTT, AnnotationFolder(annotations), splits=["1k-A"])

    assert list(report.splits) == list(captions) == ["1k-A"]
    assert not any("train" in problem.text for problem in report.problems)
    with pytest.raises(UnknownNameError, match="msrvtt: split '1kA' is not known"):
        check_annotations(MSRVTT, AnnotationFolder(annotations), splits=["1kA"])


def test_problems_are_counted_by_kind(annotations):
    (annotations / "MSRVTT_val.full.csv").unlink()

    report, _ = check_annotations(MSRVTT, AnnotationFolder(annotations))

    counts = report.to_dict()["problem_counts"]
    assert counts == {kind: len(texts) for kind, texts in report.by_kind().items()}
    assert counts["absent"] == 1
    assert sum(counts.values()) == len(report.problems)


def test_the_columns_that_are_read_are_reported(annotations, caplog):
    with caplog.at_level(logging.INFO, "mvadapter"):
        check_annotations(MSRVTT, AnnotationFolder(annotations), splits=["1k-A"])

    (message,) = caplog.messages
    assert "MSRVTT_JSFUSION_test.csv: columns used: video_id as video, sentence as cap" in message
