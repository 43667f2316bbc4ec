"""Fitting the weights of the listwise model to photos whose places are known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from g3_geography import distances_km
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]

from g3_choice.consensus import grouped
from g3_choice.features import FEATURES, Floats, of_candidates, pool_of
from g3_choice.model import DEFAULT
from g3_choice.pool import WITHIN_KM, merged
from g3_choice.pool_file import PooledPhoto
from g3_choice.ranking import Weighed

SCALES_KM = (10.0, 100.0, 500.0)
"""A candidate at distance d from the truth is right by the mean of exp(-d / scale): city, region, country."""

# Towards the default weights: what the data do not speak of keeps them, the rest hardly feels it
_PULL = 1e-4
_SMALLEST_SPREAD = 0.3
# A pool without any candidate nearer than this can teach little about choosing
_LESSON_KM = 200.0


@dataclass(frozen=True, slots=True)
class Lesson:
    """One photo made ready once for all fits: its pool with clusters (shares not known yet), its features float64
    [n, f], and how far each candidate is from the truth, geodesic km float64 [n].
    """

    photo: PooledPhoto
    weighed: Weighed
    features: Floats
    distances: Floats


def lesson(photo: PooledPhoto, cluster_km: float, within_km: float = WITHIN_KM) -> Lesson | None:
    """The lesson of a photo; None for a photo without candidates."""
    candidates = list(merged(photo.proposals, within_km))
    if not candidates:
        return None
    pool = pool_of(candidates)
    distances = distances_km(
        [candidate.coordinates.latitude for candidate in candidates],
        [candidate.coordinates.longitude for candidate in candidates],
        photo.truth.latitude,
        photo.truth.longitude,
    )
    weighed = Weighed(candidates, pool, np.zeros(len(candidates)), grouped(candidates, cluster_km))
    return Lesson(photo, weighed, of_candidates(pool), distances)


def fitted_weights(lessons: Sequence[Lesson]) -> Floats:
    """The weights float64 [f] with the least listwise cross-entropy.

    For a photo with probabilities p and distances d to the truth, and every scale s of SCALES_KM, the loss is
    -log Σ p_i exp(-(d_i - min d) / s): all candidates near the truth may share the probability, which is what a cluster
    of them adds up again. Its gradient is that of the cross-entropy with the soft labels p_i exp(-d_i / s), normalised.
    A photo without a near candidate counts less. L-BFGS on standardised features, with a light pull towards `DEFAULT`.
    """
    features = np.concatenate([one.features for one in lessons])
    distances = np.concatenate([one.distances for one in lessons])
    counts = np.array([len(one.distances) for one in lessons])
    spread = np.maximum(features.std(axis=0), _SMALLEST_SPREAD)
    batch = _Batch(features / spread, distances, counts)
    prior = DEFAULT.vector * spread
    found = minimize(batch.loss, prior, args=(prior,), jac=True, method="L-BFGS-B", options={"maxiter": 400})
    weights: Floats = found.x / spread
    return weights


class _Batch:
    """The candidates of all photos in one array, m photos, n candidates."""

    def __init__(self, features: Floats, distances: Floats, counts: NDArray[np.int64]) -> None:
        self._features, self._counts = features, counts
        self._starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        nearest = np.minimum.reduceat(distances, self._starts)
        self._right = [np.exp(-(distances - self._each(nearest)) / scale) for scale in SCALES_KM]
        lessons = 1.0 / (1.0 + nearest / _LESSON_KM)
        self._worth = lessons / lessons.sum()

    def loss(self, weights: Floats, prior: Floats) -> tuple[float, Floats]:
        logits = self._features @ weights
        raised = np.exp(logits - self._each(np.maximum.reduceat(logits, self._starts)))
        shares = raised / self._each(np.add.reduceat(raised, self._starts))
        total, slope = 0.0, np.zeros(len(shares))
        for right in self._right:
            mass = np.add.reduceat(shares * right, self._starts)
            total -= float(self._worth @ np.log(np.maximum(mass, 1e-300)))
            slope += shares - shares * right / self._each(np.maximum(mass, 1e-300))
        scales = len(self._right)
        gradient = self._features.T @ (slope * self._each(self._worth)) / scales
        pull = weights - prior
        return total / scales + _PULL * float(pull @ pull), gradient + 2 * _PULL * pull

    def _each(self, of_photos: Floats) -> Floats:
        return np.repeat(of_photos, self._counts)


def by_name(weights: Floats) -> dict[str, float]:
    """The weights with their names, to six figures."""
    return {name: float(f"{weight:.6g}") for name, weight in zip(FEATURES, weights.tolist(), strict=True)}
