"""What is cut from recordings whose clock breaks is decoded: pictures and sound of one moment."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from made_videos import number_in, video_info, write_video
from mvadapter.video.cut import cut_segment

KINDS = {
    "copied.ts": {"sound": "aac", "num_b_frames": 2},
    "encoded.ts": {"codec": "mpeg2video", "sound": "mp2", "num_b_frames": 2},
    "encoded.mpg": {"codec": "mpeg2video", "sound": "mp2", "num_b_frames": 2},
}
TICK = Fraction(1, 25)


@pytest.fixture(scope="module", params=KINDS)
def joined(request, tmp_path_factory):
    """Three parts of 3 s and 75 frames, each of which has loud sound from its frame 25 on."""
    folder = tmp_path_factory.mktemp("joined")
    name = request.param
    part = write_video(
        folder / f"part-{name}", 75, tick=TICK, keyframe_every=12, loud_second=1, **KINDS[name]
    )
    path = folder / name
    path.write_bytes(3 * part.read_bytes())
    return path


def pictures_of(path):
    with av.open(str(path)) as file:
        return [
            (float(frame.pts * frame.time_base), number_in(frame.to_ndarray(format="rgb24")))
            for frame in file.decode(video=0)
        ]


def loud_seconds(path):
    """Find when the sound becomes loud."""
    loudness = []
    with av.open(str(path)) as file:
        for frame in file.decode(audio=0):
            wave = np.abs(frame.to_ndarray().astype(float)).reshape(-1)
            step = 10 * len(wave) // frame.samples * frame.sample_rate // 1000
            for at in range(0, len(wave), step):
                time = float(frame.pts * frame.time_base) + at / step / 100
                loudness.append((time, wave[at : at + step].max()))
    bound = max(loud for _, loud in loudness) / 4
    return [b[0] for a, b in pairwise(loudness) if a[1] < bound <= b[1]]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_cut_from_a_part_has_its_pictures_and_its_sound_at_one_moment(joined, tmp_path, part):
    begin = video_info(joined).start_seconds + part * 3

    cut = cut_segment(joined, begin + 0.72, begin + 1.6, tmp_path / "cut.mp4")

    pictures = pictures_of(cut.path)
    numbers = [number for _, number in pictures]
    assert set(range(18, 40)) <= set(numbers)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    moment = next(seconds for seconds, number in pictures if number == 25)
    assert loud_seconds(cut.path) == [pytest.approx(moment, abs=0.03)]


def test_a_cut_over_a_break_has_both_parts(joined, tmp_path):
    begin = video_info(joined).start_seconds

    cut = cut_segment(joined, begin + 2.8, begin + 4.4, tmp_path / "cut.mp4")

    pictures = pictures_of(cut.path)
    assert [number for _, number in pictures][-40:] == [*range(70, 75), *range(35)]
    moment = next(seconds for seconds, number in pictures if number == 25)
    assert loud_seconds(cut.path) == [pytest.approx(moment, abs=0.03)]


def test_a_cut_after_the_clock_overflows_has_its_pictures(tmp_path):
    # A transport stream's clock has 33 bits of 1/90000 s.
    start = 2**33 // 3600 - 30
    source = write_video(tmp_path / "late.ts", range(start, start + 75), tick=TICK, num_b_frames=2)

    cut = cut_segment(
        source, *(video_info(source).start_seconds + s for s in (1.6, 2.4)), tmp_path / "cut.mp4"
    )

    assert set(range(40, 60)) <= {number for _, number in pictures_of(cut.path)}
