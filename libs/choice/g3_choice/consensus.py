"""The listwise model (softmax over the candidates of one photo) and the places that its probabilities add up to."""

from collections.abc import Sequence

import numpy as np
from g3_geography import clusters

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


def central(group: Sequence[int], shares: Floats, distances: Floats) -> int:
    """The medoid of a cluster, weighted by probability: the member with the least weighted sum of distances to all.

    `distances` float64 [n, n] km between all candidates. Ties: the earliest member. The same as `g3_geography.medoid`,
    from distances that are known already.
    """
    if len(group) == 1:
        return group[0]
    weights = shares[list(group)]
    if not weights.sum() > 0:
        # a cluster far below the best may have no mass left in double precision
        weights = np.ones(len(group))
    costs = distances[np.ix_(group, group)] @ weights
    # sums of equal distances in another order differ in the last bits: a nanometre is a tie
    return group[int(np.flatnonzero(costs <= costs.min() * (1 + 1e-12) + 1e-12)[0])]
