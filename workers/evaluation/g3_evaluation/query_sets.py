"""Query sets: photos whose place is known, as a folder of files and a table.

The public sets head their columns differently (IM2GPS3K and YFCC4K: IMG_ID, AUTHOR, LAT, LON; ours: img_id, latitude,
longitude, author), so that columns are known by any of their usual names, in either case.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from g3_geography import Coordinates
from g3_kit.errors import Rejected

from g3_evaluation.swapping import possible_only_swapped, require_possible, require_unswapped

_ID = ("img_id", "image_id", "id", "file", "filename", "file_name", "path", "photo", "image")
_LATITUDE = ("latitude", "lat")
_LONGITUDE = ("longitude", "lon", "lng", "long")
_MAX_ID_BYTES = 200


@dataclass(frozen=True, slots=True)
class Query:
    """A photo, where it was really taken, and by whom ("" when unknown).

    `scene`: "indoor", "natural" or "urban" where the table states their probabilities, else "".
    """

    id: str
    path: Path
    coordinates: Coordinates
    author: str = ""
    scene: str = ""


@dataclass(frozen=True, slots=True)
class Excluded:
    """A row that states no truth to compare with, and why: it is not among the n."""

    id: str
    reason: str


@dataclass
class QuerySet:
    """The queries in the order of the table, and the rows left out."""

    name: str
    queries: list[Query] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)


def read(folder: Path, table: Path | None = None, *, limit: int = 0) -> QuerySet:
    """The query set of a folder and its table; by default the one CSV file in it. `limit` takes the first rows only.

    Raises Rejected when there is no table, it cannot be read or lacks a column, its coordinates are swapped, or none
    of its photos is there.
    """
    table = table or _table_in(folder)
    listed, swapped = QuerySet(folder.resolve().name), 0
    seen: set[str] = set()
    for number, row in _rows(table):
        label = _first(row, _ID)[:_MAX_ID_BYTES] or f"row {number}"
        try:
            query = _query(folder, row)
            if query.id in seen:
                raise Rejected("the id stands in an earlier row too")
        except Rejected as error:
            swapped += error.field == "swapped"
            listed.excluded.append(Excluded(_shown(label), error.message))
        else:
            seen.add(query.id)
            listed.queries.append(query)
    _require_unswapped(table, listed, swapped)
    if not listed.queries:
        raise Rejected(f"{table.name} has no row with a photo and its coordinates.", field="table")
    listed.queries = listed.queries[: limit or None]
    if not any(query.path.is_file() for query in listed.queries):
        raise Rejected(f"None of the photos of {table.name} is in {folder}: give their folder.", field="folder")
    return listed


def _table_in(folder: Path) -> Path:
    tables = sorted(folder.glob("*.csv"))
    if len(tables) != 1:
        found = ", ".join(table.name for table in tables[:3]) or "none"
        raise Rejected(f"Say which table lists the photos with --csv: {folder} holds {found}.", field="table")
    return tables[0]


def _rows(table: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(line number, row by lower-case heading)."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=heading.count))
            _judge(table, [name.strip().lower() for name in reader.fieldnames or []])
            for row in reader:
                cells = {key.strip().lower(): (value or "").strip() for key, value in row.items() if key is not None}
                if any(cells.values()):
                    yield reader.line_num, cells
    except FileNotFoundError:
        raise Rejected(f"There is no file {table}.", field="table") from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise Rejected(f"{table.name} cannot be read as a CSV file in UTF-8.", field="table") from None


def _judge(table: Path, headings: list[str]) -> None:
    for what, names in (("id or file", _ID), ("latitude", _LATITUDE), ("longitude", _LONGITUDE)):
        if not set(names) & set(headings):
            raise Rejected(f"{table.name} has no {what} column: head it {' or '.join(names[:2])}.", field="table")


def _query(folder: Path, row: Mapping[str, str]) -> Query:
    name = _first(row, _ID)
    if not name:
        raise Rejected("the row names no photo")
    if len(name.encode(errors="surrogatepass")) > _MAX_ID_BYTES or not name.isprintable():
        raise Rejected(f"an id has at most {_MAX_ID_BYTES} bytes, all of them printable")
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise Rejected("the photo lies outside the folder")
    where = _coordinates(_first(row, _LATITUDE), _first(row, _LONGITUDE))
    return Query(name, _located(folder, relative), where, row.get("author", ""), _scene(row))


def _scene(row: Mapping[str, str]) -> str:
    """The likeliest of the scenes that IM2GPS3K and YFCC4K state."""
    stated = {scene: row.get(f"prob_{scene}", "") for scene in ("indoor", "natural", "urban")}
    try:
        return max(stated, key=lambda scene: float(stated[scene]))
    except ValueError:
        return ""


def _located(folder: Path, relative: PurePosixPath) -> Path:
    """The photo's path. The archives of the field spell the slashes of their ids as underscores."""
    plain = folder / relative
    flat = folder / "_".join(relative.parts)
    return flat if len(relative.parts) > 1 and not plain.is_file() and flat.is_file() else plain


def _coordinates(latitude: str, longitude: str) -> Coordinates:
    try:
        north, east = float(latitude), float(longitude)
    except ValueError:
        raise Rejected("latitude or longitude is no number of degrees") from None
    if not (math.isfinite(north) and math.isfinite(east)):
        raise Rejected("latitude or longitude is no finite number")
    if possible_only_swapped(north, east):
        raise Rejected(f"latitude {north:g} is out of range: are the columns swapped?", field="swapped")
    if abs(north) > 90:
        raise Rejected(f"latitude {north:g} is out of range")
    if abs(east) > 180:
        raise Rejected(f"longitude {east:g} is out of range")
    if north == 0 and east == 0:
        raise Rejected("coordinates 0, 0 stand for an unknown place")
    return Coordinates(north, east)


def _require_unswapped(table: Path, listed: QuerySet, swapped: int) -> None:
    require_possible(table.name, swapped, len(listed.queries) + swapped)
    places = np.array([(query.coordinates.latitude, query.coordinates.longitude) for query in listed.queries])
    if len(places):
        require_unswapped(table.name, places[:, 0], places[:, 1])


def _first(row: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((row[name] for name in names if row.get(name)), "")


def _shown(text: str) -> str:
    return text if text.isprintable() else ascii(text)
