"""Clusters of points on the sphere, and the member that stands for a cluster. Haversine, R = 6371.0088 km."""

import math

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import ArrayLike, NDArray

from g3_geography.coordinates import checked, unit_vectors
from g3_geography.geodesic import EARTH_RADIUS_KM, haversine_km

# Unit-sphere chords of one point written as -180 and as 180 degrees differ by rounding; this is 6 micrometres.
_ROUNDING = 1e-12
_ROWS_AT_A_TIME = 1024


def clusters(latitudes: ArrayLike, longitudes: ArrayLike, radius_km: float) -> list[list[int]]:
    """Single-linkage clusters: two points share one when a chain of steps of at most `radius_km` joins them.

    Takes float [n] degrees twice; gives the members' indices ascending, the largest cluster first, ties by the
    smallest index. Works in three dimensions, so the antimeridian and the poles are ordinary places.
    Memory grows with the number of pairs within the radius.
    Raises `Rejected` when the arrays are not of one length, a value is invalid, or the radius is negative.
    """
    # Only now: it takes as long to import as a room's own code, and most that know a coordinate cluster nothing.
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]
    from scipy.spatial import cKDTree  # type: ignore[import-untyped]

    latitude, longitude = _points(latitudes, longitudes)
    if math.isnan(radius_km) or radius_km < 0:
        raise Rejected("radius_km must be zero or more", field="radius_km")
    count = len(latitude)
    if count == 0:
        return []
    # A great-circle distance of r is a chord of 2 sin(r / 2R); half the circumference reaches everything.
    half_angle = min(radius_km / EARTH_RADIUS_KM, math.pi) / 2
    pairs = cKDTree(unit_vectors(latitude, longitude)).query_pairs(
        2.0 * math.sin(half_angle) + _ROUNDING, output_type="ndarray"
    )
    links = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, labels = connected_components(links, directed=False)
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels.tolist()):
        members.setdefault(label, []).append(index)
    return sorted(members.values(), key=lambda group: (-len(group), group[0]))


def medoid(latitudes: ArrayLike, longitudes: ArrayLike, weights: ArrayLike | None = None) -> int:
    """The index of the point with the least weighted sum of distances to all points; ties: the smallest index.

    Takes float [n] degrees twice and optional non-negative weights float [n] (of the points measured to).
    Time grows with n². Raises `Rejected` for no points, invalid values, or weights that do not fit.
    """
    latitude, longitude = _points(latitudes, longitudes)
    if len(latitude) == 0:
        raise Rejected("a medoid needs at least one point")
    weight = _weights(weights, len(latitude))
    costs = np.concatenate(
        [
            haversine_km(
                latitude[start : start + _ROWS_AT_A_TIME, None],
                longitude[start : start + _ROWS_AT_A_TIME, None],
                latitude[None, :],
                longitude[None, :],
            )
            @ weight
            for start in range(0, len(latitude), _ROWS_AT_A_TIME)
        ]
    )
    # Sums of equal distances in another order differ in the last bits: a nanometre is a tie.
    return int(np.flatnonzero(costs <= costs.min() * (1 + 1e-12) + 1e-12)[0])


def _points(latitudes: ArrayLike, longitudes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    latitude, longitude = checked(latitudes, longitudes)
    if latitude.ndim != 1:
        raise Rejected("latitudes and longitudes must be lists of one length")
    return latitude, longitude


def _weights(weights: ArrayLike | None, count: int) -> NDArray[np.float64]:
    if weights is None:
        return np.ones(count)
    weight = np.asarray(weights, dtype=np.float64)
    if weight.shape != (count,) or not np.isfinite(weight).all() or (weight < 0).any():
        raise Rejected("weights must be one finite number, zero or more, for each point", field="weights")
    return weight
