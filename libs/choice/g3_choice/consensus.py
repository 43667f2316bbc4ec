"""The listwise model (softmax over the candidates of one photo) and the places that its probabilities add up to."""

from collections.abc import Sequence

import numpy as np
from g3_geography import clusters, medoid

from g3_choice.features import Floats
from g3_choice.proposals import Candidate


def probabilities(features: Floats, weights: Floats) -> Floats:
    """softmax(features · weights), float64 [n], summing to 1. `features` [n, f] finite, `weights` [f]."""
    worth = features @ weights
    shares = np.exp(worth - worth.max())
    result: Floats = shares / shares.sum()
    return result


def grouped(candidates: Sequence[Candidate], radius_km: float) -> list[list[int]]:
    """Single-linkage clusters of the candidates as their indices, the largest first."""
    return clusters(
        [candidate.coordinates.latitude for candidate in candidates],
        [candidate.coordinates.longitude for candidate in candidates],
        radius_km,
    )


def best_first(groups: Sequence[list[int]], shares: Floats) -> list[list[int]]:
    """Greatest probability mass first; ties (within rounding) by the earliest member."""
    return sorted(groups, key=lambda group: (-round(float(shares[group].sum()), 12), min(group)))


def central(candidates: Sequence[Candidate], group: Sequence[int], shares: Floats) -> int:
    """The medoid of a cluster, weighted by probability: an index of `candidates`. Ties: the earliest member."""
    weights = shares[list(group)]
    points = [candidates[index].coordinates for index in group]
    latitudes, longitudes = [point.latitude for point in points], [point.longitude for point in points]
    # a cluster far below the best may have no mass left in double precision
    return group[medoid(latitudes, longitudes, weights if weights.sum() > 0 else None)]
