"""A gallery: a set of coordinates that photos are compared with, in one fixed order."""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import NDArray

Coordinates = NDArray[np.float64]
"""[n, 2]: latitude, longitude in WGS 84 degrees, longitude in [-180, 180)."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True)
class Gallery:
    """A gallery as it stands, for one model: see `Gallery` in verification.proto."""

    name: str
    fingerprint: str
    count: int
    embedded: int
    precision: str
    vector_bytes: int
    problem: str = ""

    @property
    def ready(self) -> bool:
        """Whether it can be searched."""
        return self.embedded == self.count


def check_name(name: str) -> None:
    """Raises Rejected for what cannot be the name of a gallery (nor, therefore, of a file outside its folder)."""
    if not _NAME.fullmatch(name):
        raise Rejected(
            "A gallery's name has letters, digits and underscores, at most 100, and does not start with a digit.",
            field="gallery",
        )


def valid(coordinates: Coordinates) -> NDArray[np.bool_]:
    """Which rows are coordinates, bool [n]: finite, latitude in [-90, 90], longitude in [-180, 180]."""
    # NaN and the infinities fail both comparisons
    fits: NDArray[np.bool_] = (np.abs(coordinates[:, 0]) <= 90.0) & (np.abs(coordinates[:, 1]) <= 180.0)
    return fits


def merged(coordinates: Coordinates) -> Coordinates:
    """Valid rows in ascending order of (latitude, longitude), each place once; 180° east is 180° west, -0 is 0."""
    latitude, longitude = coordinates[:, 0] + 0.0, coordinates[:, 1] + 0.0
    longitude = np.where(longitude == 180.0, -180.0, longitude)
    order = np.lexsort((longitude, latitude))
    rows = np.stack([latitude[order], longitude[order]], axis=1)
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return np.ascontiguousarray(rows[first])


def fingerprint(coordinates: Coordinates) -> str:
    """SHA-256, hex, over merged rows as little-endian float64."""
    return hashlib.sha256(np.ascontiguousarray(coordinates, dtype="<f8").data).hexdigest()
