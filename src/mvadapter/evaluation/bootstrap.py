"""Per-query values in, intervals out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from mvadapter.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with the bounds between which it would fall for other queries of the same kind."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far one system's mean lies above another's over the same queries."""

    mean: float
    low: float
    high: float
    p_value: float
    """How often a difference at least this clear comes from two systems that are equally good."""


def bootstrap_interval(
    values: Float[np.ndarray, " query"],
    *,
    seed: int = 0,
    num_resamples: int = 2000,
    confidence_percent: float = 95.0,
) -> Interval:
    """Resample queries with replacement and take the percentiles of the means.

    Args:
        values: One number a query, such as 100 where it was a hit.
        seed: For the resampling.
        num_resamples: How many means are drawn.
        confidence_percent: How much of them the interval holds.

    Raises:
        DataError: There is no query.
    """
    low, high = _bounds(_resampled_means(values, seed, num_resamples), confidence_percent)
    return Interval(mean=float(values.mean()), low=low, high=high)


def paired_bootstrap(
    first: Float[np.ndarray, " query"],
    second: Float[np.ndarray, " query"],
    *,
    seed: int = 0,
    num_resamples: int = 2000,
    confidence_percent: float = 95.0,
) -> Difference:
    """Resample the queries of both systems together and look at how much the first has more.

    Pairing takes away what both find hard, so that it sees differences which two intervals side by
    side would hide. The p-value is two-sided: twice the share of resamples in which the difference
    vanishes or turns round, with one more resample of that kind counted in, so that it is never 0
    (Davison & Hinkley 1997, section 4.2). It says what the interval says: below 0.05 where the
    95 % interval leaves out 0, but for the one resample.

    Args:
        first: One number a query, such as 100 where it was a hit.
        second: The same of the other system, in the same order of queries.
        seed: For the resampling.
        num_resamples: How many mean differences are drawn.
        confidence_percent: How much of them the interval holds.

    Raises:
        DataError: There is no query.
    """
    differences = first - second
    means = _resampled_means(differences, seed, num_resamples)
    low, high = _bounds(means, confidence_percent)
    turned = min((means <= 0).sum(), (means >= 0).sum())
    return Difference(
        mean=float(differences.mean()),
        low=low,
        high=high,
        p_value=min(1.0, 2 * float(turned + 1) / (num_resamples + 1)),
    )


def _resampled_means(
    values: Float[np.ndarray, " query"], seed: int, num_resamples: int
) -> Float[np.ndarray, " resample"]:
    if not len(values):
        raise DataError("there is no query to resample")
    generator = np.random.default_rng(seed)
    # Equal values are drawn together: the same distribution, and a million hits cost two draws.
    distinct, counts = np.unique(values, return_counts=True)
    shares = counts / len(values)
    return np.array(
        [generator.multinomial(len(values), shares) @ distinct for _ in range(num_resamples)]
    ) / len(values)


def _bounds(
    means: Float[np.ndarray, " resample"], confidence_percent: float
) -> tuple[float, float]:
    tail = (100 - confidence_percent) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
