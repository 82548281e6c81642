import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvadapter.errors import ConfigError
from mvadapter.video.segment import Span, fixed_windows


def test_windows_are_equal_and_as_few_as_possible():
    windows = fixed_windows(1.0, 11.0, max_seconds=4.0)

    assert [window.start_seconds for window in windows] == pytest.approx([1, 13 / 3, 23 / 3])
    assert windows[-1].end_seconds == 11.0


def test_a_multiple_of_the_longest_window_costs_no_window_more():
    assert len(fixed_windows(0.0, 0.3, max_seconds=0.1)) == 3


@given(
    start=st.floats(-100, 100),
    seconds=st.floats(0.01, 1000),
    max_seconds=st.floats(0.5, 100),
)
def test_windows_cover_the_whole_without_gaps(start, seconds, max_seconds):
    end = start + seconds

    windows = fixed_windows(start, end, max_seconds=max_seconds)

    edges = [window.start_seconds for window in windows] + [windows[-1].end_seconds]
    assert (edges[0], edges[-1]) == (start, end)
    assert all(
        window.end_seconds == following
        for window, following in zip(windows, edges[1:], strict=True)
    )
    longest = max(window.end_seconds - window.start_seconds for window in windows)
    assert longest <= max_seconds * (1 + 1e-6) + 1e-9
    assert len(windows) == 1 or (end - start) / (len(windows) - 1) > max_seconds * (1 - 1e-6)


@pytest.mark.parametrize("max_seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_window_must_last(max_seconds):
    with pytest.raises(ConfigError, match="max_seconds must be a number above 0"):
        fixed_windows(0.0, 1.0, max_seconds=max_seconds)


@pytest.mark.parametrize(
    ("start", "end"), [(1.0, 1.0), (2.0, 1.0), (0.0, math.nan), (0.0, math.inf)]
)
def test_a_span_ends_after_it_begins(start, end):
    with pytest.raises(ConfigError, match="end_seconds must be a number after start_seconds"):
        Span(start_seconds=start, end_seconds=end)
