"""Writes small samples of the five datasets, in the layout in which each was published."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mvadapter.datasets.annotations import Captions, Dataset
from mvadapter.datasets.catalog import DATASETS

_LSMDC_TIMES = "00.23.23.000\t00.23.28.886\t00.23.23.000\t00.23.28.886"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A few videos of a dataset."""

    name: str
    write: Callable[[Path], object]
    """Writes the annotation files into a folder."""
    captions: dict[str, Captions]
    """Split -> what a reader must give, in order."""
    files: dict[str, str]
    """Video id -> a name that its file may have."""

    @property
    def dataset(self) -> Dataset:
        return DATASETS[self.name]

    def write_videos(self, folder: Path) -> Path:
        """Write a file without content for every video."""
        for name in self.files.values():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")
        return folder


def write_msrvtt(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["key,vid_key,video_id,sentence", 'ret0,msr8,video8,"eight, as a test"']
    _lines(folder / "MSRVTT_JSFUSION_test.csv", [*rows, "ret1,msr9,video9,nine"])
    lists = {
        "train.9k": (0, 1, 2, 3, 4, 5, 6, 7),
        "train.7k": (0, 1, 2, 3, 4, 5),
        "train.full": (0, 1, 2, 3, 4),
        "val.full": (5,),
        "test.full": (6, 7, 8, 9),
    }
    for name, numbers in lists.items():
        _lines(folder / f"MSRVTT_{name}.csv", ["video_id", *(f"video{n}" for n in numbers)])
    data = {
        "info": {},
        "videos": [{"video_id": f"video{n}", "split": "train", "id": n} for n in range(10)],
        # As in the real file, the captions of a video do not stand together.
        "sentences": [
            {"caption": f" {text} {n} ", "video_id": f"video{n}", "sen_id": 0}
            for text in ("first", "second")
            for n in range(10)
        ],
    }
    (folder / "MSRVTT_data.json").write_text(json.dumps(data))


def _msrvtt_captions() -> dict[str, Captions]:
    def both(*numbers: int) -> Captions:
        return {f"video{n}": (f"first {n}", f"second {n}") for n in numbers}

    return {
        "1k-A": {"video8": ("eight, as a test",), "video9": ("nine",)},
        "train-9k": both(0, 1, 2, 3, 4, 5, 6, 7),
        "train-7k": both(0, 1, 2, 3, 4, 5),
        "train-full": both(0, 1, 2, 3, 4),
        "val-full": both(5),
        "test-full": both(6, 7, 8, 9),
    }


def _write_msvd(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Without a final newline, as published.
    (folder / "train_list.txt").write_text("-4wsuPCjDBc_5_15\nabcdefghijk_0_9")
    _lines(folder / "val_list.txt", ["v_cdefghijk_1_2"])
    _lines(folder / "test_list.txt", ["eyhzdC936uk_15_27"])
    captions = {
        "eyhzdC936uk_15_27": ["a man plays"],
        "-4wsuPCjDBc_5_15": ["a squirrel eats", "a chipmunk eats"],
        "abcdefghijk_0_9": ["a cat"],
        "v_cdefghijk_1_2": ["a dog", "a dog"],
        "of no list": ["nothing"],
    }
    (folder / "captions_msvd.json").write_text(json.dumps(captions))


def _write_lsmdc(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, clips in {
        "annos_training": ("0001_A_00.00.51.926-00.00.54.129", "0001_A_00.00.51.926-00.00.54.886"),
        "annos_val": ("1005_B_00.01.00.000-00.01.03.300",),
        "challenge_1000_publictect": ("3086_UGLY_TRUTH_00.23.23.000-00.23.28.886",),
    }.items():
        lines = [f'{clip}\t{_LSMDC_TIMES}\tSOMEONE "stands" at {clip[-3:]}.' for clip in clips]
        _lines(folder / f"LSMDC16_{part}.csv", lines)


def _write_didemo(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, videos in {
        "train": ("1@N08_9622_c39ac10ea3.mov", "1@N08_9815_b919341a87.mp4"),
        "val": ("2@N00_4841_4eeb6a515a.avi",),
        "test": ("3@N03_7585_5762149bfc.",),
    }.items():
        _lines(folder / f"{part}_list.txt", videos)
        entries = [
            {"description": f"{text} {video[0]}.", "video": video, "times": [[0, 0]]}
            for text in ("the dog runs", " it sits ")
            for video in (*videos, "of no list.mov")
        ]
        (folder / f"{part}_data.json").write_text(json.dumps(entries))


def _write_activitynet(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, videos in {
        "train": ("v_QOlSCBRmfWY", "v_v_HGCYKzyZ8"),
        "val_1": ("v_uqiMw7tQ1Cc",),
    }.items():
        entries = {
            video: {
                "duration": 55.15,
                "timestamps": [[0.28, 55.15], [13.79, 60.0]],
                "sentences": ["A lesson begins.", "  The coach helps."],
            }
            for video in videos
        }
        (folder / f"{name}.json").write_text(json.dumps(entries))


_PARAGRAPH = ("A lesson begins. The coach helps.",)

SAMPLES = {
    sample.name: sample
    for sample in (
        Sample(
            name="msrvtt",
            write=write_msrvtt,
            captions=_msrvtt_captions(),
            files={f"video{n}": f"part{n % 2}/video{n}.mp4" for n in range(10)},
        ),
        Sample(
            name="msvd",
            write=_write_msvd,
            captions={
                "train": {
                    "-4wsuPCjDBc_5_15": ("a squirrel eats", "a chipmunk eats"),
                    "abcdefghijk_0_9": ("a cat",),
                },
                "val": {"v_cdefghijk_1_2": ("a dog", "a dog")},
                "test": {"eyhzdC936uk_15_27": ("a man plays",)},
            },
            files={
                "-4wsuPCjDBc_5_15": "-4wsuPCjDBc_5_15.avi",
                "abcdefghijk_0_9": "abcdefghijk_0_9.avi",
                "v_cdefghijk_1_2": "v_cdefghijk_1_2.avi",
                "eyhzdC936uk_15_27": "eyhzdC936uk_15_27.avi",
            },
        ),
        Sample(
            name="lsmdc",
            write=_write_lsmdc,
            captions={
                "train": {
                    "0001_A_00.00.51.926-00.00.54.129": ('SOMEONE "stands" at 129.',),
                    "0001_A_00.00.51.926-00.00.54.886": ('SOMEONE "stands" at 886.',),
                },
                "val": {"1005_B_00.01.00.000-00.01.03.300": ('SOMEONE "stands" at 300.',)},
                "test": {
                    "3086_UGLY_TRUTH_00.23.23.000-00.23.28.886": ('SOMEONE "stands" at 886.',)
                },
            },
            files={
                "0001_A_00.00.51.926-00.00.54.129": "0001_A/0001_A_00.00.51.926-00.00.54.129.avi",
                "0001_A_00.00.51.926-00.00.54.886": "0001_A/0001_A_00.00.51.926-00.00.54.886.avi",
                "1005_B_00.01.00.000-00.01.03.300": "1005_B/1005_B_00.01.00.000-00.01.03.300.avi",
                "3086_UGLY_TRUTH_00.23.23.000-00.23.28.886": "3086_UGLY_TRUTH/"
                "3086_UGLY_TRUTH_00.23.23.000-00.23.28.886.avi",
            },
        ),
        Sample(
            name="didemo",
            write=_write_didemo,
            captions={
                "train": {
                    "1@N08_9622_c39ac10ea3.mov": ("the dog runs 1. it sits  1.",),
                    "1@N08_9815_b919341a87.mp4": ("the dog runs 1. it sits  1.",),
                },
                "val": {"2@N00_4841_4eeb6a515a.avi": ("the dog runs 2. it sits  2.",)},
                "test": {"3@N03_7585_5762149bfc.": ("the dog runs 3. it sits  3.",)},
            },
            files={
                "1@N08_9622_c39ac10ea3.mov": "1@N08_9622_c39ac10ea3.mov.mp4",
                "1@N08_9815_b919341a87.mp4": "1@N08_9815_b919341a87.mp4",
                "2@N00_4841_4eeb6a515a.avi": "2@N00_4841_4eeb6a515a.mkv",
                "3@N03_7585_5762149bfc.": "3@N03_7585_5762149bfc.m",
            },
        ),
        Sample(
            name="activitynet",
            write=_write_activitynet,
            captions={
                "train": {"v_QOlSCBRmfWY": _PARAGRAPH, "v_v_HGCYKzyZ8": _PARAGRAPH},
                "val1": {"v_uqiMw7tQ1Cc": _PARAGRAPH},
            },
            files={
                "v_QOlSCBRmfWY": "v_QOlSCBRmfWY.mp4",
                "v_v_HGCYKzyZ8": "v_HGCYKzyZ8.webm",
                "v_uqiMw7tQ1Cc": "uqiMw7tQ1Cc.mkv",
            },
        ),
    )
}


def _lines(path: Path, lines) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
