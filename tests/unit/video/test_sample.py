from fractions import Fraction
from inspect import unwrap
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvadapter.errors import ConfigError, UnknownNameError
from mvadapter.video.sample import check_sampling, choose_frames, frame_edges

SAMPLINGS = ["uniform", "left-edge", "head", "tail"]


def chosen_of_constant_rate(available, num_frames, sampling, tick=Fraction(1)):
    *starts, end = frame_edges([round(index / tick) for index in range(available)], available)
    return choose_frames(starts, starts[0], end, num_frames, sampling)


@given(available=st.integers(1, 2000), num_frames=st.integers(1, 64))
def test_uniform_takes_the_middles_of_equal_spans(available, num_frames):
    chosen = chosen_of_constant_rate(available, num_frames, "uniform")

    if num_frames >= available:
        assert chosen == list(range(available))
    else:
        expected = [
            floor(Fraction(2 * i + 1, 2) * available / num_frames) for i in range(num_frames)
        ]
        assert chosen == expected


@given(available=st.integers(1, 2000), num_frames=st.integers(1, 64))
def test_left_edge_is_the_rule_of_the_authors(available, num_frames):
    chosen = chosen_of_constant_rate(available, num_frames, "left-edge")

    if num_frames >= available:
        assert chosen == list(range(available))
    else:
        assert chosen == [i * available // num_frames for i in range(num_frames)]


def test_head_and_tail_take_the_first_and_the_last_frames():
    assert chosen_of_constant_rate(10, 3, "head") == [0, 1, 2]
    assert chosen_of_constant_rate(10, 3, "tail") == [7, 8, 9]


@given(
    gaps=st.lists(st.integers(1, 500), min_size=1, max_size=40),
    num_frames=st.integers(1, 50),
    sampling=st.sampled_from(SAMPLINGS),
)
def test_no_frame_is_chosen_twice_or_out_of_order_at_any_rate(gaps, num_frames, sampling):
    starts = [sum(gaps[:index]) for index in range(len(gaps))]
    *edges, end = frame_edges(starts, sum(gaps))

    chosen = choose_frames(edges, edges[0], end, num_frames, sampling)

    assert chosen == sorted(set(chosen))
    assert 1 <= len(chosen) <= min(num_frames, len(gaps))
    assert set(chosen) <= set(range(len(gaps)))


@given(
    available=st.integers(2, 500),
    num_frames=st.integers(1, 32),
    rate=st.sampled_from([Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(60)]),
    sampling=st.sampled_from(SAMPLINGS),
)
def test_rounding_to_milliseconds_changes_no_choice(available, num_frames, rate, sampling):
    rounded = [round(1000 * index / rate) for index in range(available)]
    *starts, end = frame_edges(rounded, rounded[-1] + floor(1000 / rate))

    chosen = choose_frames(starts, starts[0], end, num_frames, sampling)

    assert chosen == chosen_of_constant_rate(available, num_frames, sampling)


def test_a_variable_rate_keeps_its_own_times():
    assert frame_edges([0, 100, 500], 600) == [0, 100, 500, 600]


def test_a_frame_that_stays_on_display_stands_for_several_spans():
    starts = [Fraction(start) for start in (0, 1, 2, 90)]

    assert choose_frames(starts, Fraction(0), Fraction(100), 3, "uniform") == [2]


def test_the_first_frame_stands_for_the_time_before_it():
    starts = [Fraction(start) for start in (50, 60, 70)]

    assert choose_frames(starts, Fraction(0), Fraction(80), 2, "left-edge") == [0]


def test_no_frames_and_unknown_samplings_are_refused():
    with pytest.raises(ConfigError, match="num_frames must be at least 1, got 0"):
        check_sampling(0, "uniform")
    with pytest.raises(UnknownNameError, match="Did you mean 'uniform'"):
        unwrap(check_sampling)(1, "uniforn")
