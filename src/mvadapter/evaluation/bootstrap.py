"""Per-query values in, intervals out."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with the bounds between which it would fall for other queries of the same kind."""

    mean: float
    low: float
    high: float


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
    """
    generator = np.random.default_rng(seed)
    means = np.array(
        [generator.choice(values, size=len(values)).mean() for _ in range(num_resamples)]
    )
    tail = (100 - confidence_percent) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(mean=float(values.mean()), low=float(low), high=float(high))
