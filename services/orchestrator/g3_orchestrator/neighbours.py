"""The strategy `knn`: density of the neighbours' coordinates (Vo, Jacobs, Hays: Revisiting IM2GPS, ICCV 2017).

The authors' published code weighs the 100 nearest neighbours by the tenth power of their inverse squared distance in
feature space, blurs them on a grid of degrees with a Gaussian of sigma = 4, takes the peak and answers with the most
similar neighbour within 100 km of it. Here the same on the sphere, the peak sought among the neighbours' own places:
without a grid nothing is cut off at the antimeridian, and degrees of longitude are as long as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from g3_geography import haversine_km
from numpy.typing import NDArray

from g3_orchestrator.model import Match

SIGMA_DEGREES = 4.0
"""Of the Gaussian kernel, in degrees of arc."""
POWER = 10
"""Of the inverse squared feature distance, which is the weight of a neighbour."""
NEAR_PEAK_KM = 100.0
"""The most similar neighbour so near to the peak is the answer."""
KM_PER_DEGREE = 111.195
"""Of arc on the mean sphere: 2π · 6,371.0088 km / 360."""
# Of the feature distance of unit vectors, 2 (1 - cosine): a neighbour that is the photo itself weighs much, not all.
_LEAST_SQUARED = 1e-6


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A reference and the density of all neighbours at its place, relative to the peak's: in (0, 1]."""

    match: Match
    density: float


def by_density(similar: Sequence[Match]) -> list[Neighbour]:
    """The neighbours, the answer first, then by falling density; ties most similar first.

    `similar` is most similar first.
    """
    if not similar:
        return []
    density = _densities(similar)
    order = np.lexsort((np.arange(len(similar)), -density))
    peak = int(order[0])
    away = haversine_km(*_point(similar[peak]), _latitudes(similar), _longitudes(similar))
    answer = int(np.flatnonzero(away < NEAR_PEAK_KM)[0])
    rows = [answer, *(int(row) for row in order if row != answer)]
    return [Neighbour(similar[row], float(density[row])) for row in rows]


def _densities(similar: Sequence[Match]) -> NDArray[np.float64]:
    squared = 2 * (1 - np.array([match.similarity for match in similar]))
    # In logarithms: the tenth powers of near and far neighbours are too far apart for one float.
    logarithms = -POWER * np.log(np.maximum(squared, _LEAST_SQUARED))
    weights = np.exp(logarithms - logarithms.max())
    latitudes, longitudes = _latitudes(similar), _longitudes(similar)
    km = haversine_km(latitudes[:, None], longitudes[:, None], latitudes[None, :], longitudes[None, :])
    kernel = np.exp(-0.5 * (km / KM_PER_DEGREE / SIGMA_DEGREES) ** 2)
    density: NDArray[np.float64] = kernel @ weights
    relative: NDArray[np.float64] = density / density.max()
    return relative


def _latitudes(similar: Sequence[Match]) -> NDArray[np.float64]:
    return np.array([match.coordinates.latitude for match in similar])


def _longitudes(similar: Sequence[Match]) -> NDArray[np.float64]:
    return np.array([match.coordinates.longitude for match in similar])


def _point(match: Match) -> tuple[float, float]:
    return match.coordinates.latitude, match.coordinates.longitude
