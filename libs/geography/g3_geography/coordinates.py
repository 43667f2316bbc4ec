"""WGS 84 coordinates in degrees, and the checks that every function of this room applies to its arrays."""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import ArrayLike, NDArray


def wrapped_longitude(longitude: float) -> float:
    """The same meridian in [-180, 180), degrees. A longitude already inside is returned bit for bit."""
    if -180.0 <= longitude < 180.0:
        return longitude
    wrapped = (longitude + 180.0) % 360.0 - 180.0
    # The remainder of a tiny negative number rounds up to 360 itself.
    return wrapped if wrapped < 180.0 else -180.0


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A point on the WGS 84 ellipsoid, degrees: `latitude` in [-90, 90], `longitude` wrapped into [-180, 180).

    Raises `Rejected` when a value is no finite number or the latitude lies outside.
    """

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        latitude = _finite(self.latitude, "latitude")
        if not -90.0 <= latitude <= 90.0:
            raise Rejected(f"latitude must lie between -90 and 90 degrees, not {latitude:g}", field="latitude")
        object.__setattr__(self, "latitude", latitude)
        object.__setattr__(self, "longitude", wrapped_longitude(_finite(self.longitude, "longitude")))

    def __str__(self) -> str:
        return f"{self.latitude:.6f}, {self.longitude:.6f}"


def _finite(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise Rejected(f"{field} must be a number of degrees", field=field)
    try:
        number = float(value)
    except OverflowError as error:
        raise Rejected(f"{field} must be a finite number of degrees", field=field) from error
    if not math.isfinite(number):
        raise Rejected(f"{field} must be a finite number of degrees", field=field)
    return number


def checked(latitudes: ArrayLike, longitudes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two float64 arrays broadcast to one shape, degrees; longitudes are left unwrapped.

    Raises `Rejected` when a value is no finite number, a latitude leaves [-90, 90] or the shapes do not fit.
    """
    try:
        latitude, longitude = np.broadcast_arrays(
            np.asarray(latitudes, dtype=np.float64), np.asarray(longitudes, dtype=np.float64)
        )
    except (TypeError, ValueError) as error:
        raise Rejected("latitudes and longitudes must be numbers of one shape") from error
    if not np.isfinite(latitude).all():
        raise Rejected("every latitude must be a finite number of degrees", field="latitude")
    if not np.isfinite(longitude).all():
        raise Rejected("every longitude must be a finite number of degrees", field="longitude")
    if (np.abs(latitude) > 90.0).any():
        raise Rejected("every latitude must lie between -90 and 90 degrees", field="latitude")
    return latitude, longitude


def unit_vectors(latitudes: ArrayLike, longitudes: ArrayLike) -> NDArray[np.float64]:
    """Points on the unit sphere, float64 [..., 3]: no seam at the antimeridian, no singularity at the poles.

    Raises `Rejected` as `checked` does.
    """
    latitude, longitude = checked(latitudes, longitudes)
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
