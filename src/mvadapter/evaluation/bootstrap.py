"""Per-query values in, intervals out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtr, stdtrit

from mvadapter.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with a confidence interval over other queries of the same kind."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much higher one system's mean is than another's over the same queries."""

    mean: float
    low: float
    high: float
    p_value: float
    """How often two equally good systems differ at least this clearly."""
    smallest_p_value: float
    """The least that so many resamples can show; a p-value of this size is only an upper bound."""

    @property
    def p_text(self) -> str:
        """The p-value for people, such as ``"0.0315"`` or ``"at most 0.0010"``."""
        at_most = "at most " if self.p_value <= self.smallest_p_value else ""
        return f"{at_most}{self.p_value:.4f}"


def bootstrap_interval(
    values: Float[np.ndarray, " query"],
    *,
    group: Int[np.ndarray, " query"] | None = None,
    seed: int = 0,
    num_resamples: int = 2000,
    confidence_percent: float = 95.0,
) -> Interval:
    """Resample queries with replacement and take the percentiles of the means.

    Args:
        values: One number per query, such as 100 for a hit.
        group: One number per query; queries with the same number are drawn together, such as the
            captions of one video, which is easy or hard for all of them. By default each query is
            drawn alone.
        seed: For the resampling.
        num_resamples: Number of means to draw.
        confidence_percent: Share of them inside the interval.

    Raises:
        DataError: There is no query.
    """
    low, high = _bounds(_resampled_means(values, group, seed, num_resamples), confidence_percent)
    return Interval(mean=float(values.mean()), low=low, high=high)


def paired_bootstrap(
    first: Float[np.ndarray, " query"],
    second: Float[np.ndarray, " query"],
    *,
    group: Int[np.ndarray, " query"] | None = None,
    seed: int = 0,
    num_resamples: int = 2000,
    confidence_percent: float = 95.0,
) -> Difference:
    """Resample the queries of both systems together, and compare their means.

    Pairing removes what is hard for both, so it finds differences that two separate intervals
    would hide. The p-value is two-sided: twice the share of resamples whose difference is 0 or has
    the other sign, one such resample added so that it is never 0 (Davison & Hinkley 1997, section
    4.2). It agrees with the interval: below 0.05 where the 95 % interval leaves out 0, but for
    that one resample.

    Args:
        first: One number per query, such as 100 for a hit.
        second: The same of the other system, in the same order of queries.
        group: Queries with the same number are drawn together; by default each is drawn alone.
        seed: For the resampling.
        num_resamples: Number of mean differences to draw.
        confidence_percent: Share of them inside the interval.

    Raises:
        DataError: There is no query.
    """
    differences = first - second
    means = _resampled_means(differences, group, seed, num_resamples)
    low, high = _bounds(means, confidence_percent)
    turned = min((means <= 0).sum(), (means >= 0).sum())
    return Difference(
        mean=float(differences.mean()),
        low=low,
        high=high,
        p_value=min(1.0, 2 * float(turned + 1) / (num_resamples + 1)),
        smallest_p_value=min(1.0, 2 / (num_resamples + 1)),
    )


def paired_bootstrap_over_seeds(
    first: Float[np.ndarray, "first_seed query"],
    second: Float[np.ndarray, "second_seed query"],
    *,
    group: Int[np.ndarray, " query"] | None = None,
    seed: int = 0,
    num_resamples: int = 2000,
    confidence_percent: float = 95.0,
) -> Difference:
    """Compare two systems, each trained with several seeds, over other queries and other seeds.

    `paired_bootstrap` covers only other queries: where training is noisy, it calls two equally good
    systems different far more often than its p-value allows. Here the variance of its resamples,
    drawn from the mean hits over seeds, is added to the variance of both means over seeds, s^2 / n
    each. The difference is tested by Student's t, with the degrees of freedom of Welch and
    Satterthwaite (Welch 1947). The part of s^2 that single queries explain is subtracted, because
    the resamples contain it already. A system with one row adds no variance of seeds: either it has
    no seed, or the result holds for that run alone.

    Args:
        first: For each seed one number per query, such as 100 for a hit.
        second: The same of the other system, in the same order of queries; its seeds are
            independent of the first's, even where they have the same numbers.
        group: Queries with the same number are drawn together; by default each is drawn alone.
        seed: For the resampling.
        num_resamples: Number of mean differences to draw; the p-value is at least
            1 / (num_resamples + 1).
        confidence_percent: Share of the differences inside the interval.

    Raises:
        DataError: There is no query, or one group of them.
    """
    differences = first.mean(axis=0) - second.mean(axis=0)
    means = _resampled_means(differences, group, seed, num_resamples)
    mean = float(differences.mean())
    group = (
        np.arange(len(differences)) if group is None else np.unique(group, return_inverse=True)[1]
    )
    if not (num_others := int(group.max())):
        raise DataError("all queries are in one group; a comparison needs at least two")
    # Resampling G groups gives (G - 1) / G of the variance.
    of_queries = float(means.var(ddof=1)) * (num_others + 1) / num_others
    variance, uncertainty = of_queries, of_queries**2 / num_others
    for system in (first, second):
        if (num_seeds := len(system)) > 1:
            of_means = float(system.mean(axis=1).var(ddof=1))
            of_seeds = max(0.0, of_means - _query_variance(system, group)) / num_seeds
            variance += of_seeds
            uncertainty += of_seeds**2 / (num_seeds - 1)
    smallest = 1 / (num_resamples + 1)
    if variance == 0:
        return Difference(
            mean=mean,
            low=mean,
            high=mean,
            p_value=smallest if mean else 1.0,
            smallest_p_value=smallest,
        )
    freedom = variance**2 / uncertainty
    error = variance**0.5
    reach = error * float(stdtrit(freedom, (1 + confidence_percent / 100) / 2))
    p_value = 2 * float(stdtr(freedom, -abs(mean) / error))
    return Difference(
        mean=mean,
        low=mean - reach,
        high=mean + reach,
        p_value=max(p_value, smallest),
        smallest_p_value=smallest,
    )


def _query_variance(
    hits: Float[np.ndarray, "seed query"], group: Int[np.ndarray, " query"]
) -> float:
    """The part of the variance of seeds' means that comes from single queries."""
    num_seeds, num_queries = hits.shape
    rest = hits - hits.mean(axis=1, keepdims=True) - hits.mean(axis=0) + hits.mean()
    of_groups = np.array([np.bincount(group, row) for row in rest])
    return float((of_groups**2).sum()) / (num_seeds - 1) / num_queries**2


def _resampled_means(
    values: Float[np.ndarray, " query"],
    group: Int[np.ndarray, " query"] | None,
    seed: int,
    num_resamples: int,
) -> Float[np.ndarray, " resample"]:
    if not len(values):
        raise DataError("there is no query to resample")
    if group is None:
        sums, sizes = values, np.ones(len(values))
    else:
        _, place = np.unique(group, return_inverse=True)
        sums, sizes = np.bincount(place, values), np.bincount(place).astype(np.float64)
    generator = np.random.default_rng(seed)
    # Equal groups are drawn as one: the same distribution, much faster for many queries.
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    shares = counts / len(sums)
    totals = np.array(
        [generator.multinomial(len(sums), shares) @ kinds for _ in range(num_resamples)]
    )
    return totals[:, 0] / totals[:, 1]


def _bounds(
    means: Float[np.ndarray, " resample"], confidence_percent: float
) -> tuple[float, float]:
    tail = (100 - confidence_percent) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
