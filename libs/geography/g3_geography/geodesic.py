"""Distances in kilometres: geodesics on the WGS 84 ellipsoid (the default everywhere), and the sphere for speed.

The two disagree by up to 0.6 %; reports must say which one they used.
Geodesics are Karney's (2013, "Algorithms for geodesics") through PROJ, which converge for antipodes too.
"""

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import ArrayLike, NDArray
from pyproj import Geod

from g3_geography.coordinates import Coordinates, checked

EARTH_RADIUS_KM = 6371.0088
"""Mean radius R1 of WGS 84 (IUGG): the sphere of every haversine here."""

_WGS84 = Geod(ellps="WGS84")


def distance_km(a: Coordinates, b: Coordinates) -> float:
    """The geodesic distance between two points, kilometres."""
    _, _, metres = _WGS84.inv(a.longitude, a.latitude, b.longitude, b.latitude)
    return float(metres) / 1000.0


def distances_km(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> NDArray[np.float64]:
    """Geodesic distances, kilometres, float64 of the broadcast shape of the four arguments (degrees).

    Raises `Rejected` when a value is no finite number, a latitude leaves [-90, 90] or the shapes do not fit.
    """
    first, second, third, fourth = _together(lat1, lon1, lat2, lon2)
    _, _, metres = _WGS84.inv(second.ravel(), first.ravel(), fourth.ravel(), third.ravel())
    return np.asarray(metres, dtype=np.float64).reshape(first.shape) / 1000.0


def haversine_km(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike) -> NDArray[np.float64]:
    """Great-circle distances on the sphere of radius 6371.0088 km, kilometres, float64 of the broadcast shape.

    Raises `Rejected` when a value is no finite number, a latitude leaves [-90, 90] or the shapes do not fit.
    """
    phi1, lam1, phi2, lam2 = (np.radians(part) for part in _together(lat1, lon1, lat2, lon2))
    half = np.sin((phi2 - phi1) / 2) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin((lam2 - lam1) / 2) ** 2
    # Rounding can push antipodes a hair past 1, where arcsin has no value.
    distances: NDArray[np.float64] = 2.0 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half, 1.0)))
    return distances


def destination(origin: Coordinates, bearing_deg: float, distance_km: float) -> Coordinates:
    """The point reached from `origin` along the geodesic that starts at `bearing_deg` (clockwise from north).

    Raises `Rejected` when bearing or distance is not finite, or the distance is negative.
    """
    if not np.isfinite(bearing_deg):
        raise Rejected("bearing must be a finite number of degrees", field="bearing_deg")
    _check_length(distance_km, "distance_km")
    longitude, latitude, _ = _WGS84.fwd(origin.longitude, origin.latitude, bearing_deg, distance_km * 1000.0)
    return Coordinates(float(latitude), float(longitude))


def circle(center: Coordinates, radius_km: float, points: int = 72) -> list[Coordinates]:
    """`points` points at `radius_km` from `center`, clockwise from north; the ring is not closed.

    Raises `Rejected` when there are fewer than three points or the radius is negative or not finite.
    """
    if points < 3:
        raise Rejected("a circle needs at least 3 points", field="points")
    _check_length(radius_km, "radius_km")
    return [destination(center, 360.0 * point / points, radius_km) for point in range(points)]


def _check_length(kilometres: float, field: str) -> None:
    if not np.isfinite(kilometres) or kilometres < 0:
        raise Rejected(f"{field} must be a finite number of kilometres, zero or more", field=field)


def _together(
    lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    first, second = checked(lat1, lon1)
    third, fourth = checked(lat2, lon2)
    try:
        parts = np.broadcast_arrays(first, second, third, fourth)
    except ValueError as error:
        raise Rejected("both ends must have shapes that fit") from error
    return parts[0], parts[1], parts[2], parts[3]
