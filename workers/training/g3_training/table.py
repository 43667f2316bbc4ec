"""Photos by columns, read from a CSV whose headings are any of the usual ones.

MP16-Pro heads its columns `IMG_ID, LAT, LON, neighbourhood, city, county, state, region, country, continent`; our own
data sets `img_id, latitude, longitude, city, state, country`. Millions of rows name few places, so every row holds the
number of its place.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from g3_alignment import place_text
from g3_kit.errors import Missing, Rejected
from numpy.typing import NDArray

ID = ("img_id", "image_id", "id", "file", "filename")
LATITUDE = ("lat", "latitude")
LONGITUDE = ("lon", "longitude", "lng", "long")


class PlaceNames(NamedTuple):
    """What the text of a photo is made of; "" is unknown."""

    neighbourhood: str
    city: str
    state: str
    country: str

    def text(self, *, neighbourhood: bool = False) -> str:
        """The reference's sentence, with the neighbourhood in front of the city if asked (the poster's G3-N)."""
        first = ", ".join(name for name in (self.neighbourhood.strip(), self.city.strip()) if name)
        return place_text(first if neighbourhood else self.city, self.state, self.country)


@dataclass(frozen=True)
class Reject:
    """A row or photo that is not used, and why."""

    id: str
    reason: str


@dataclass
class PhotoTable:
    """n photos: `ids`, `coordinates` float64 [n, 2] in degrees, `place` int64 [n] into `places`."""

    ids: list[str]
    coordinates: NDArray[np.float64]
    place: NDArray[np.int64]
    places: list[PlaceNames]
    rejects: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def chosen(self, rows: NDArray[np.int64]) -> "PhotoTable":
        """The table of these rows, in their order; rejects stay."""
        ids = [self.ids[row] for row in rows.tolist()]
        return PhotoTable(ids, self.coordinates[rows], self.place[rows], self.places, self.rejects)


class TableBuilder:
    """Collects rows into a `PhotoTable`, each place once."""

    def __init__(self) -> None:
        """Empty."""
        self._ids: list[str] = []
        self._coordinates: list[tuple[float, float]] = []
        self._place: list[int] = []
        self._number: dict[PlaceNames, int] = {}
        self.rejects: list[Reject] = []

    def add(self, id_: str, latitude: float, longitude: float, names: PlaceNames) -> None:
        """One photo."""
        self._ids.append(id_)
        self._coordinates.append((latitude, longitude))
        self._place.append(self._number.setdefault(names, len(self._number)))

    def table(self) -> PhotoTable:
        """What was added."""
        return PhotoTable(
            self._ids,
            np.array(self._coordinates, dtype=np.float64).reshape(-1, 2),
            np.array(self._place, dtype=np.int64),
            list(self._number),
            self.rejects,
        )


def read_table(path: Path) -> PhotoTable:
    """The usable rows of a CSV; the others are its rejects: no id, an id that came before, coordinates that are none,
    no country. Raises Missing for no such file, Rejected for one that lacks a column or is no UTF-8 CSV.
    """
    builder, seen = TableBuilder(), set[str]()
    for number, row in rows_of(path, {"id": ID, "latitude": LATITUDE, "longitude": LONGITUDE, "country": ("country",)}):
        try:
            id_, latitude, longitude = located(row)
            if id_ in seen:
                raise Rejected("the id came before")
            names = PlaceNames(*(row.get(name, "").strip() for name in PlaceNames._fields))
            if not names.country:
                raise Rejected("no country")
        except Rejected as error:
            builder.rejects.append(Reject(row.get("id", "") or f"row {number}", error.message))
            continue
        seen.add(id_)
        builder.add(id_, latitude, longitude, names)
    return builder.table()


def rows_of(path: Path, wanted: Mapping[str, Iterable[str]]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV by number (the first below the heading is 1), columns in lower case, those of `wanted` under
    its keys too. Raises Missing for no such file, Rejected for a file without those columns or that is no UTF-8 CSV.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            heading = [name.strip().lower() for name in next(reader, [])]
            columns = {key: _column(path, heading, key, names) for key, names in wanted.items()}
            for number, values in enumerate(reader, 1):
                if not values:
                    continue
                row = dict(zip(heading, values, strict=False))
                yield number, row | {key: row.get(column, "") for key, column in columns.items()}
    except FileNotFoundError:
        raise Missing(f"There is no table {path.name}.", field="csv") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise Rejected(f"{path.name} is no UTF-8 CSV: {error}.", field="csv") from None


def located(row: Mapping[str, str]) -> tuple[str, float, float]:
    """Id, latitude and longitude of a row of `rows_of`. Raises Rejected for none."""
    id_ = row["id"].strip()
    if not id_:
        raise Rejected("no id")
    try:
        latitude, longitude = float(row["latitude"]), float(row["longitude"])
    except ValueError:
        raise Rejected("latitude and longitude must be numbers") from None
    if not (math.isfinite(longitude) and abs(latitude) <= 90.0 and abs(longitude) <= 180.0):
        raise Rejected("the coordinates are out of range")
    return id_, latitude, longitude


def _column(path: Path, heading: list[str], key: str, names: Iterable[str]) -> str:
    found = next((name for name in names if name in heading), None)
    if found is None:
        raise Rejected(f"{path.name} has no column for {key}: name it {' or '.join(names)}.", field="csv")
    return found
