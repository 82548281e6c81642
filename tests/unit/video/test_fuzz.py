"""Damaged video files: each gives frames, or says in one line what is wrong."""

import json
import random
import subprocess
import sys
from fractions import Fraction

import pytest

from made_videos import write_video

TV = {"codec": "mpeg2video", "tick": Fraction(1, 25), "keyframe_every": 6}
SOURCES = {
    "h264.mp4": {"num_b_frames": 2},
    "fast.mp4": {"is_index_first": True, "sound": "aac"},
    "h264.mkv": {"num_b_frames": 2, "sound": "aac"},
    "h264.ts": {"num_b_frames": 2, "sound": "mp2"},
    "h264.flv": {},
    "h264.h264": {"num_b_frames": 2},
    "hevc.mp4": {"codec": "libx265"},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg4.avi": {"codec": "mpeg4", "num_b_frames": 2},
    "mpeg2.mpg": TV,
    "mpeg2.mxf": TV,
    "mpeg2.ts": TV,
    "wmv2.wmv": {"codec": "wmv2"},
    "all.gif": {"codec": "gif", "pixels": "rgb8", "tick": Fraction(1, 25)},
    "ten bits.mp4": {"codec": "libx265", "pixels": "yuv420p10le"},
}
READ_ALL = """
import json, sys
from mvadapter.errors import VideoError
from mvadapter.video.decode import VideoReader
for path in sys.stdin.read().splitlines():
    answers = []
    for start, end in ((None, None), (0.3, 0.8), (1.1, 1.2)):
        try:
            with VideoReader(path) as reader:
                answers.append(reader.read(3, start, end).images.shape[0])
                reader.info, reader.real_end_seconds
        except VideoError as error:
            answers.append(str(error))
    print(json.dumps(answers), flush=True)
"""


def flipped(data, chance):
    for _ in range(chance.choice((1, 4, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def header_edited(data, chance):
    for _ in range(chance.choice((1, 2, 8))):
        place = chance.randrange(min(len(data), 600))
        data[place : place + 4] = chance.choice(
            (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff")
        )


def cut(data, chance):
    del data[chance.randrange(len(data)) :]


def shortened(data, chance):
    place = chance.randrange(len(data))
    del data[place : place + chance.randrange(1, 4000)]


def lengthened(data, chance):
    place = chance.randrange(len(data))
    data[place:place] = chance.randbytes(chance.randrange(1, 4000))


def repeated(data, chance):
    begin, end = sorted(chance.sample(range(len(data) + 1), 2))
    data[end:end] = data[begin:end]


def overwritten(data, chance):
    place, length = chance.randrange(len(data)), chance.randrange(1, 4000)
    data[place : place + length] = bytes(min(length, len(data) - place))


MUTATIONS = (flipped, header_edited, cut, shortened, lengthened, repeated, overwritten)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return [write_video(folder / name, 40, **kind) for name, kind in SOURCES.items()]


def assert_frames_or_one_line(folder, sources, num_files, seed):
    chance, paths = random.Random(seed), []
    for number in range(num_files):
        source = sources[number % len(sources)]
        data = bytearray(source.read_bytes())
        for mutate in chance.choices(MUTATIONS, k=chance.choice((1, 1, 2))):
            if data:
                mutate(data, chance)
        paths.append(folder / f"{number}{source.suffix}")
        paths[-1].write_bytes(data)

    # In another process, so that a crash or a hang fails this test only.
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )

    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (len(answers), paths[len(answers)], done.stderr[-2000:])
    assert done.stderr == ""
    assert len(answers) == num_files
    for path, found in zip(paths, answers, strict=True):
        for answer in found:
            is_one_line = isinstance(answer, str) and "\n" not in answer and "; " in answer
            assert answer in {1, 2, 3} or (is_one_line and answer.startswith(f"{path}: ")), answer
    # Both happen, so that the files are neither untouched nor beyond recognition.
    num_read = sum(isinstance(answer, int) for found in answers for answer in found)
    assert num_files / 2 < num_read < 2.5 * num_files


def test_a_hundred_damaged_files_give_frames_or_one_line(tmp_path, sources):
    assert_frames_or_one_line(tmp_path, sources, 100, seed=13)


@pytest.mark.slow
def test_two_thousand_damaged_files_give_frames_or_one_line(tmp_path, sources):
    assert_frames_or_one_line(tmp_path, sources, 2000, seed=2026)
