"""From distances to figures: accuracy with intervals, medians, paired differences.

A photo counts as placed within a threshold when its geodesic distance (WGS 84, kilometres) is strictly below it. A
photo without an answer has the distance infinity: a failure is a failure at every threshold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import NDArray

THRESHOLDS_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)
"""Street, city, region, country, continent: the thresholds of the field."""
_Z95 = 1.959963984540054  # the normal quantile of 0.975
RESAMPLES = 2_000

Distances = NDArray[np.float64]
"""[n] kilometres, infinity for a photo without an answer."""


@dataclass(frozen=True)
class Share:
    """A share of n with its 95 % interval, all in [0, 1]."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Accuracy:
    """One method on one query set."""

    n: int
    within: tuple[Share, ...]
    """One for each of `THRESHOLDS_KM`."""
    median_km: float
    """Infinity when half of the photos have no answer."""
    failures: int
    """Photos without an answer; they are among the n."""


def wilson(successes: int, n: int) -> Share:
    """The score interval of a proportion (Wilson, 1927), 95 %. Raises Rejected unless 0 ≤ successes ≤ n and n ≥ 1."""
    if n < 1 or not 0 <= successes <= n:
        raise Rejected("an interval needs 0 <= successes <= n and at least one photo")
    share = successes / n
    z2 = _Z95 * _Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # At 0 and n the bound is the share itself; rounding must not take it beyond.
    low = 0.0 if successes == 0 else centre - half
    return Share(share, low, 1.0 if successes == n else centre + half)


def within(distances: Distances) -> NDArray[np.bool_]:
    """Which photos lie within which threshold, bool [n, 5]: strictly below."""
    hits: NDArray[np.bool_] = distances[:, None] < np.array(THRESHOLDS_KM)[None, :]
    return hits


def accuracy(distances: Distances) -> Accuracy:
    """Accuracy at every threshold. Raises Rejected when there is no photo or a distance is NaN or negative."""
    _check(distances)
    counts = within(distances).sum(axis=0).tolist()
    return Accuracy(
        n=len(distances),
        within=tuple(wilson(count, len(distances)) for count in counts),
        median_km=float(np.median(distances)),
        failures=int(np.isinf(distances).sum()),
    )


@dataclass(frozen=True)
class Difference:
    """How much more one method has within each threshold than another, on the same photos, in [-1, 1]."""

    within: tuple[Share, ...]


def difference(
    better: Distances, worse: Distances, authors: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES
) -> Difference:
    """Accuracy of `better` minus that of `worse` with a 95 % percentile bootstrap, paired and clustered by author.

    Photos of one author are drawn together, for they were taken side by side; an empty author stands for itself. The
    same seed gives the same interval. Raises Rejected as `accuracy`, or when the lengths differ.
    """
    _check(better)
    _check(worse)
    if not len(better) == len(worse) == len(authors):
        raise Rejected("paired methods need the same photos")
    gains = within(better).astype(np.float64) - within(worse).astype(np.float64)  # [n, 5]
    _, cluster = np.unique([author or f"\0{row}" for row, author in enumerate(authors)], return_inverse=True)
    sums = np.zeros((int(cluster.max()) + 1, gains.shape[1]))
    np.add.at(sums, cluster, gains)
    sizes = np.bincount(cluster).astype(np.float64)
    # How often each author was drawn, a multinomial, instead of the drawn indices: n small numbers a resample.
    drawn = np.random.default_rng(seed).multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=resamples)
    means = (drawn @ sums) / (drawn @ sizes)[:, None]  # [resamples, 5]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return Difference(tuple(map(Share, gains.mean(axis=0).tolist(), low.tolist(), high.tolist())))


def _check(distances: Distances) -> None:
    if len(distances) == 0:
        raise Rejected("there is no photo to evaluate")
    if np.isnan(distances).any() or (distances < 0).any():
        raise Rejected("a distance is a number of kilometres, zero or more, or infinity for no answer")
