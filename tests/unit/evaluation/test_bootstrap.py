import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvadapter.errors import DataError
from mvadapter.evaluation.bootstrap import (
    Difference,
    Interval,
    bootstrap_interval,
    paired_bootstrap,
    paired_bootstrap_over_seeds,
)


def hits(seed, size, share=0.5):
    return 100.0 * (np.random.default_rng(seed).random(size) < share)


def test_an_interval_of_a_constant_is_a_point():
    assert bootstrap_interval(np.full(10, 7.0)) == Interval(mean=7.0, low=7.0, high=7.0)


def test_an_interval_holds_the_mean_and_narrows_with_queries():
    few, many = (bootstrap_interval(hits(0, size)) for size in (30, 3000))

    for interval in (few, many):
        assert interval.low <= interval.mean <= interval.high
    assert many.high - many.low < few.high - few.low


def test_an_interval_is_as_wide_as_the_binomial_says():
    values = np.repeat([0.0, 100.0], 500)

    interval = bootstrap_interval(values, num_resamples=5000)

    # By hand: 1.96 * 100 * sqrt(0.5 * 0.5 / 1000) = 3.1 either side.
    assert interval.low == pytest.approx(50 - 3.1, abs=0.3)
    assert interval.high == pytest.approx(50 + 3.1, abs=0.3)


def test_drawing_equal_values_together_is_resampling_one_by_one():
    values = np.array([0.0, 0.0, 100.0, 50.0, 100.0, 0.0, 100.0] * 30)
    generator = np.random.default_rng(1)
    one_by_one = [generator.choice(values, size=210).mean() for _ in range(10_000)]

    interval = bootstrap_interval(values, num_resamples=10_000)

    assert [interval.low, interval.high] == pytest.approx(
        np.percentile(one_by_one, [2.5, 97.5]), abs=0.5
    )


def test_queries_of_one_group_count_as_one():
    values, group = hits(0, 200), np.arange(200)
    copies = np.repeat(values, 10)

    alone, together = (
        bootstrap_interval(copies, group=groups) for groups in (None, np.repeat(group, 10))
    )

    # Ten copies of a query say no more than one.
    assert together == bootstrap_interval(values)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert paired_bootstrap(copies, np.zeros(2000), group=np.repeat(group, 10)) == paired_bootstrap(
        values, np.zeros(200)
    )


def test_groups_of_different_sizes_weigh_by_their_queries():
    values = np.array([100.0, 0.0, 0.0, 0.0])
    group = np.array([7, 3, 3, 3])

    interval = bootstrap_interval(values, group=group, confidence_percent=100.0)

    # By hand: twice the group of one is 100, twice that of three is 0.
    assert interval == Interval(mean=25.0, low=0.0, high=100.0)


def test_a_wider_interval_is_surer():
    narrow, wide = (bootstrap_interval(hits(0, 50), confidence_percent=c) for c in (50.0, 99.0))

    assert wide.low < narrow.low < narrow.high < wide.high


@given(st.integers(0, 2**16))
def test_equal_systems_do_not_differ(seed):
    values = hits(seed, 20)

    assert paired_bootstrap(values, values, num_resamples=50) == Difference(
        mean=0.0, low=0.0, high=0.0, p_value=1.0, smallest_p_value=2 / 51
    )


def test_a_p_value_is_never_zero():
    # By hand: no resample turns round, so twice (0 + 1) / (999 + 1).
    difference = paired_bootstrap(np.full(9, 100.0), np.zeros(9), num_resamples=999)

    assert difference == Difference(
        mean=100.0, low=100.0, high=100.0, p_value=0.002, smallest_p_value=0.002
    )
    assert difference.p_text == "at most 0.0020"


def test_a_p_value_above_the_smallest_is_printed_as_it_is():
    difference = Difference(mean=1.0, low=-1.0, high=3.0, p_value=0.25, smallest_p_value=0.001)

    assert difference.p_text == "0.2500"


@given(st.integers(0, 2**16))
def test_swapping_the_systems_turns_the_sign(seed):
    first, second = hits(seed, 40, 0.6), hits(seed + 1, 40)

    there, back = paired_bootstrap(first, second), paired_bootstrap(second, first)

    assert there.mean == -back.mean
    assert 0 < there.p_value <= 1


def test_pairing_sees_what_two_intervals_hide():
    first = hits(0, 1000)
    second = first.copy()
    second[np.flatnonzero(first)[:15]] = 0

    difference = paired_bootstrap(first, second)

    assert bootstrap_interval(first).low < bootstrap_interval(second).mean
    assert difference.low > 0
    assert difference.p_value < 0.01


def test_equally_good_systems_are_told_apart_as_rarely_as_promised():
    generator = np.random.default_rng(0)
    p_values = [
        paired_bootstrap(*(100.0 * generator.integers(0, 2, (2, 200))), num_resamples=400).p_value
        for _ in range(300)
    ]

    # By hand: of 300, 5 % within three standard deviations (1.3 % each).
    assert 0.01 < np.mean(np.array(p_values) < 0.05) < 0.09


def test_seeds_alone_are_students_t():
    # By hand: no query differs from another, so that the seeds' means 3, 6 and 9 are all there is:
    # mean 6, standard error 3 / sqrt(3), two degrees of freedom, t = 3.464; the table's 4.303.
    first = np.repeat([[3.0], [6.0], [9.0]], 20, axis=1)

    difference = paired_bootstrap_over_seeds(first, np.zeros((1, 20)))

    assert difference.mean == 6
    assert difference.low == pytest.approx(6 - 4.303 * 3**0.5, abs=1e-3)
    assert difference.high == pytest.approx(6 + 4.303 * 3**0.5, abs=1e-3)
    assert difference.p_value == pytest.approx(0.0742, abs=1e-4)


def test_one_seed_each_is_the_paired_bootstrap():
    first, second = hits(0, 400), hits(1, 400)

    plain = paired_bootstrap(first, second)
    over_seeds = paired_bootstrap_over_seeds(first[None], second[None])

    assert over_seeds.mean == plain.mean
    assert over_seeds.low == pytest.approx(plain.low, abs=0.5)
    assert over_seeds.p_value == pytest.approx(plain.p_value, abs=0.02)


def test_a_difference_without_any_variance_is_sure():
    same = np.ones((2, 5))

    assert paired_bootstrap_over_seeds(same, same).p_value == 1
    assert 0 < paired_bootstrap_over_seeds(same, 0 * same).p_value < 0.001


def test_a_wavering_training_is_no_difference_between_systems():
    generator = np.random.default_rng(0)

    def system():
        # Each seed finds a different share of the queries: by 5 points, one standard deviation.
        shares = generator.normal(0.5, 0.05, (3, 1))
        return 100.0 * (generator.random((3, 200)) < shares)

    over_queries, over_both = [], []
    for _ in range(300):
        first, second = system(), system()
        plain = paired_bootstrap(first.mean(axis=0), second.mean(axis=0), num_resamples=200)
        over_queries.append(plain.p_value < 0.05)
        both = paired_bootstrap_over_seeds(first, second, num_resamples=200)
        over_both.append(both.p_value < 0.05)

    # Over other queries alone it is found in about a third; of 300, 5 % within three deviations.
    assert np.mean(over_queries) > 0.2
    assert 0.01 < np.mean(over_both) < 0.09


def test_seeds_do_not_hide_a_clear_difference():
    generator = np.random.default_rng(0)
    first = 100.0 * (generator.random((3, 200)) < 0.7)
    second = 100.0 * (generator.random((3, 200)) < 0.5)

    assert paired_bootstrap_over_seeds(first, second).p_value < 0.01


def test_queries_of_one_group_are_one_over_seeds_too():
    generator = np.random.default_rng(0)
    first, second = (100.0 * (generator.random((2, 30)) < 0.5) for _ in range(2))
    doubled = [np.repeat(system, 2, axis=1) for system in (first, second)]

    together = paired_bootstrap_over_seeds(*doubled, group=np.repeat(np.arange(30), 2))

    assert together == paired_bootstrap_over_seeds(first, second)


def test_one_group_of_queries_knows_of_no_other():
    with pytest.raises(DataError, match="all queries are in one group"):
        paired_bootstrap_over_seeds(
            np.ones((1, 4)), np.zeros((1, 4)), group=np.zeros(4, dtype=np.int64)
        )


def test_no_query_is_refused():
    with pytest.raises(DataError, match="no query to resample"):
        bootstrap_interval(np.zeros(0))
