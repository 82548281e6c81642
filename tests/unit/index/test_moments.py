from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvadapter.errors import ConfigError
from mvadapter.index.moments import Moment, Segments, find_moments


def segments_of(*lengths: int, gap_after: int | None = None) -> Segments:
    """Videos a.mp4, b.mp4, ... with so many segments of one second each."""
    starts = [float(second) for length in lengths for second in range(length)]
    if gap_after is not None:
        starts = [start + (start > gap_after) for start in starts]
    return Segments(
        paths=tuple(f"/{chr(97 + video)}.mp4" for video in range(len(lengths))),
        video=np.repeat(np.arange(len(lengths)), lengths),
        start_seconds=np.array(starts),
        end_seconds=np.array(starts) + 1,
        vectors=np.zeros((len(starts), 2), dtype=np.float32),
    )


def scores_of(*scores: float):
    return np.array(scores, dtype=np.float32)


def spans(moments):
    return [(m.path.name, m.start_seconds, m.end_seconds) for m in moments]


def test_a_moment_holds_the_neighbours_above_half_of_the_peak_over_the_typical_score():
    segments = segments_of(9)
    # The median is 0 and the peak 0.9, so half-way is 0.45.
    scores = scores_of(0, 0, 0.6, 0.9, 0.5, 0.4, -0.1, 0, 0)

    moments = find_moments(segments, scores, top=1)

    assert spans(moments) == [("a.mp4", 2.0, 5.0)]
    assert moments[0].score == pytest.approx(0.9)


def test_a_moment_does_not_reach_over_a_gap_in_a_video():
    segments = segments_of(6, gap_after=2)

    moments = find_moments(segments, scores_of(0, 0, 0.9, 0.9, 0, 0), top=2)

    assert spans(moments) == [("a.mp4", 2.0, 3.0), ("a.mp4", 4.0, 5.0)]


def test_a_moment_does_not_reach_into_the_next_video():
    segments = segments_of(3, 3)

    moments = find_moments(segments, scores_of(0, 0, 0.9, 0.9, 0, 0), top=2)

    assert spans(moments) == [("a.mp4", 2.0, 3.0), ("b.mp4", 0.0, 1.0)]


def test_grouped_by_video_each_video_comes_once_with_its_best_moment():
    segments = segments_of(5, 5)
    scores = scores_of(0.9, 0, 0.8, 0, 0, 0, 0.7, 0, 0, 0)

    moments = find_moments(segments, scores, top=10, group="video")

    assert spans(moments) == [("a.mp4", 0.0, 1.0), ("b.mp4", 1.0, 2.0)]


def test_equal_scores_come_in_the_order_of_path_and_time():
    segments = segments_of(2, 2, 2)
    scores = scores_of(0.1, 0.5, 0.5, 0.1, 0.1, 0.5)

    moments = find_moments(segments, scores, top=3)

    assert spans(moments) == [("a.mp4", 1.0, 2.0), ("b.mp4", 0.0, 1.0), ("c.mp4", 1.0, 2.0)]


def test_moments_below_the_least_score_are_left_out():
    moments = find_moments(segments_of(1, 1), scores_of(0.3, 0.2), top=10, min_score=0.25)

    assert spans(moments) == [("a.mp4", 0.0, 1.0)]


def test_without_segments_there_are_no_moments():
    assert find_moments(segments_of(), scores_of(), top=10) == []


def test_no_moments_at_all_cannot_be_asked_for():
    with pytest.raises(ConfigError, match="top must be at least 1, got 0"):
        find_moments(segments_of(1), scores_of(0.5), top=0)


def test_a_moment_becomes_plain_values():
    moment = Moment(path=Path("/a.mp4"), start_seconds=1.0, end_seconds=2.5, score=0.25)

    assert moment.to_dict() == {
        "path": "/a.mp4",
        "start_seconds": 1.0,
        "end_seconds": 2.5,
        "score": 0.25,
    }


def test_segments_of_a_folder_are_not_those_of_a_folder_whose_name_begins_alike():
    segments = Segments(
        paths=("/a/1.mp4", "/ab/1.mp4"),
        video=np.array([0, 0, 1]),
        start_seconds=np.array([0.0, 1.0, 0.0]),
        end_seconds=np.array([1.0, 2.0, 1.0]),
        vectors=np.zeros((3, 2), dtype=np.float32),
    )

    assert segments.in_places(["/a"]).tolist() == [True, True, False]
    assert segments.in_places(["/ab/1.mp4"]).tolist() == [False, False, True]


def test_a_moment_does_not_grow_over_segments_that_are_no_candidates():
    is_candidate = np.array([True, True, False, True])

    moments = find_moments(
        segments_of(4), scores_of(0.1, 0.9, 0.9, 0.8), top=10, is_candidate=is_candidate
    )

    assert spans(moments) == [("a.mp4", 1.0, 2.0), ("a.mp4", 3.0, 4.0), ("a.mp4", 0.0, 1.0)]


@st.composite
def lengths_and_scores(draw):
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    # Few different scores, so that many are equal.
    score = st.sampled_from([-0.2, 0.0, 0.1, 0.15, 0.2, 0.3])
    return lengths, draw(st.lists(score, min_size=sum(lengths), max_size=sum(lengths)))


@given(lengths_and_scores())
def test_every_segment_is_in_exactly_one_moment(case):
    segments, scores = segments_of(*case[0]), scores_of(*case[1])

    moments = find_moments(segments, scores, top=len(segments))

    seconds = [
        (moment.path, second)
        for moment in moments
        for second in range(int(moment.start_seconds), int(moment.end_seconds))
    ]
    expected = [
        (Path(segments.paths[video]), int(start))
        for video, start in zip(segments.video, segments.start_seconds, strict=True)
    ]
    assert sorted(seconds) == expected


@given(lengths_and_scores())
def test_a_moment_scores_as_its_best_segment_and_the_best_moment_comes_first(case):
    segments, scores = segments_of(*case[0]), scores_of(*case[1])

    moments = find_moments(segments, scores, top=len(segments))

    found = [moment.score for moment in moments]
    assert found == sorted(found, reverse=True)
    assert found[0] == scores.max()
    for moment in moments:
        video = segments.paths.index(str(moment.path))
        is_inside = (
            (segments.video == video)
            & (segments.start_seconds >= moment.start_seconds)
            & (segments.end_seconds <= moment.end_seconds)
        )
        assert moment.score == scores[is_inside].max()


@given(lengths_and_scores(), st.integers(1, 5))
def test_fewer_moments_are_the_first_of_more(case, top):
    segments, scores = segments_of(*case[0]), scores_of(*case[1])

    every = find_moments(segments, scores, top=len(segments))

    assert find_moments(segments, scores, top=top) == every[:top]
