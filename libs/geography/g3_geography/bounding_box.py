"""Boxes of latitude and longitude that may cross the antimeridian."""

import math
from dataclasses import dataclass

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import ArrayLike, NDArray

from g3_geography.coordinates import Coordinates, checked


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """Degrees, edges included: `south` ≤ `north` in [-90, 90], `west` and `east` in [-180, 180].

    `west` > `east` means that the box crosses the antimeridian. The whole world is (-90, -180, 90, 180).
    Raises `Rejected` when an edge is not finite, lies outside, or south lies north of north.
    """

    south: float
    west: float
    north: float
    east: float

    def __post_init__(self) -> None:
        for field, limit in (("south", 90.0), ("west", 180.0), ("north", 90.0), ("east", 180.0)):
            edge = getattr(self, field)
            if not math.isfinite(edge) or abs(edge) > limit:
                raise Rejected(f"{field} must lie between {-limit:g} and {limit:g} degrees", field=field)
        if self.south > self.north:
            raise Rejected("south must not lie north of north", field="south")

    @property
    def crosses_antimeridian(self) -> bool:
        """Whether the box runs eastwards over longitude 180."""
        return self.west > self.east

    @property
    def width_deg(self) -> float:
        """The extent eastwards from `west` to `east`, degrees in [0, 360]."""
        return self.east - self.west + (360.0 if self.crosses_antimeridian else 0.0)

    def __contains__(self, coordinates: object) -> bool:
        return isinstance(coordinates, Coordinates) and bool(
            self.contains(coordinates.latitude, coordinates.longitude)[()]
        )

    def contains(self, latitudes: ArrayLike, longitudes: ArrayLike) -> NDArray[np.bool_]:
        """Which points lie inside, bool of the broadcast shape. Raises `Rejected` as `coordinates.checked` does."""
        latitude, longitude = checked(latitudes, longitudes)
        inside_range = (longitude >= -180.0) & (longitude < 180.0)
        longitude = np.where(inside_range, longitude, (longitude + 180.0) % 360.0 - 180.0)
        eastwards, westwards = longitude >= self.west, longitude <= self.east
        inside = eastwards | westwards if self.crosses_antimeridian else eastwards & westwards
        if 180.0 in (self.west, self.east):
            # -180 and 180 name one meridian, and points always carry the first name.
            inside |= longitude == -180.0
        return np.asarray((latitude >= self.south) & (latitude <= self.north) & inside)
