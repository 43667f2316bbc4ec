"""Places where people take photos: around real cities, by population.

The coordinates are real land near real cities; the photos that `World` renders there are invented.
"""

import functools
from dataclasses import dataclass

import numpy as np
from g3_geography import Cities, Coordinates, Gazetteer, destination
from g3_kit.errors import Rejected
from numpy.typing import NDArray

CITIES = 300
"""Cities of a data set unless told: a few thousand photos then give each city about ten."""

_SMALLEST_CITY = 15_000
# The square root spreads photos over the world: by plain population half of them would lie in forty cities.
_POPULATION_POWER = 0.5


@dataclass(frozen=True, slots=True)
class CitySet:
    """Which cities a data set draws from: `count` of them, after leaving out the first `skip`.

    Sets of one `seed` that do not overlap in (skip, skip + count) share no city: that makes "cities never seen".
    """

    count: int = CITIES
    seed: int = 0
    skip: int = 0

    def rows(self) -> NDArray[np.int64]:
        """The rows of `Gazetteer().cities()`, int64 [count], weighted by the square root of population.

        Raises `Rejected` when there are no such cities.
        """
        if self.count < 1 or self.skip < 0 or self.seed < 0:
            raise Rejected("a set needs at least one city, and neither skip nor seed may be negative")
        order = _city_order(self.seed)
        if self.skip + self.count > len(order):
            raise Rejected(f"there are only {len(order)} cities to draw from", field="cities")
        return order[self.skip : self.skip + self.count]


@functools.lru_cache(maxsize=8)
def _city_order(seed: int) -> NDArray[np.int64]:
    """All cities in the order of a weighted draw without replacement (Efraimidis and Spirakis 2006)."""
    populations = Gazetteer().cities().populations
    rows = np.flatnonzero(populations >= _SMALLEST_CITY)
    draws = np.random.default_rng([seed, 0x636974]).random(len(rows))
    keys = np.log(draws) / populations[rows].astype(np.float64) ** _POPULATION_POWER
    order = rows[np.argsort(-keys, kind="stable")]
    order.setflags(write=False)
    return order


def places(n: int, seed: int, cities: CitySet | None = None) -> list[Coordinates]:
    """`n` coordinates around the cities of the set, the same for the same arguments.

    A larger `n` only adds to the end, and two seeds of one set share cities but no spot: references of one and
    queries of another meet. Around a city distances are Rayleigh-distributed, wider where more people live.
    Raises `Rejected` for a negative n or seed, or a set without cities.
    """
    return [spot.coordinates for spot in spots(n, seed, cities)]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one photo is taken, the gazetteer row of the city it belongs to, and a share in [0, 1) for its author."""

    coordinates: Coordinates
    city_row: int
    author_share: float


def spots(n: int, seed: int, cities: CitySet | None = None) -> list[Spot]:
    """What `places` gives, with the city of each. Raises `Rejected` as `places` does."""
    if n < 0 or seed < 0:
        raise Rejected("neither the number of places nor the seed may be negative")
    rows = (cities or CitySet()).rows()
    table = Gazetteer().cities()
    # One row of numbers a place, so that the first places do not depend on how many follow.
    draws = np.random.default_rng([seed, 0x706C61]).random((n, 4))
    return [_spot(table, rows, *draw) for draw in draws.tolist()]


def _spot(table: Cities, rows: NDArray[np.int64], which: float, bearing: float, far: float, author: float) -> Spot:
    row = int(rows[int(which * len(rows))])
    city = table[row]
    spread_km = min(max(2.5 * (city.population / 1e5) ** 0.35, 1.0), 12.0)
    distance_km = spread_km * float(np.sqrt(-2.0 * np.log1p(-far)))
    return Spot(destination(city.coordinates, 360.0 * bearing, distance_km), row, author)
