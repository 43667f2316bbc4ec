"""Which photos there are: the rows of a CSV, or the files of a folder.

The public data sets head their columns differently (MP16-Pro: IMG_ID, LAT, LON; ours: img_id or file, latitude,
longitude), so that columns are known by any of their usual names, in either case.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from g3_geography import Coordinates, Place
from g3_kit.errors import G3Error, Rejected

from g3_ingest.references import MAX_ID_BYTES

ID = ("img_id", "image_id", "id")
FILE = ("file", "filename", "file_name", "path", "photo", "image")
_LATITUDE = ("latitude", "lat")
_LONGITUDE = ("longitude", "lon", "lng", "long")
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
# A world of photos whose headings are swapped shows about two rows in five beyond 90°; slips of the pen are rare.
_SWAPPED_SHARE, _SWAPPED_LEAST = 0.1, 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A photo to ingest. No coordinates: they are in its EXIF. No place: the gazetteer names it."""

    id: str
    path: Path
    coordinates: Coordinates | None = None
    place: Place | None = None
    author: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """A photo that was not ingested: its id (or its row), the code of the error and a sentence."""

    id: str
    code: str
    reason: str

    @classmethod
    def of(cls, id_: str, error: G3Error) -> "Reject":
        """What `error` means for photo `id_`."""
        return cls(id_, error.code, error.message)


@dataclass
class Listing:
    """What a source offers."""

    entries: list[Entry] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def from_folder(folder: Path) -> Listing:
    """Every photo below `folder` by file suffix, in the order of names; ids are relative POSIX paths."""
    listing = Listing()
    for path in sorted(path for path in folder.rglob("*") if is_photo(path)):
        _add(listing, Entry(path.relative_to(folder).as_posix(), path), path.name, set())
    return listing


def from_csv(folder: Path, table: Path) -> Listing:
    """The rows of `table`, whose photos lie in `folder`. Faulty rows are rejects.

    Raises Rejected when the table cannot be read or lacks a column.
    """
    listing, seen, swapped = Listing(), set[str](), 0
    for number, row in _rows(table):
        label = first_of(row, (*ID, *FILE))[:MAX_ID_BYTES] or f"row {number}"
        try:
            entry = _entry(folder, row)
        except Rejected as error:
            swapped += error.field == "swapped"
            listing.rejects.append(Reject.of(label, error))
        else:
            _add(listing, entry, label, seen)
    if reason := swapped_reason(table.name, swapped, len(listing.entries) + swapped):
        listing.rejects += [Reject(entry.id, Rejected.code, reason) for entry in listing.entries]
        listing.entries.clear()
    return listing


def swapped_reason(name: str, swapped: int, rows: int) -> str:
    """Why a table is refused of whose `rows` so many are possible only with its columns swapped; "" if it is not.

    The rows that look right are then wrong too: |latitude| and |longitude| both happen to be under 90.
    """
    if swapped < max(_SWAPPED_LEAST, _SWAPPED_SHARE * rows):
        return ""
    return f"the latitude and longitude columns of {name} look swapped: {swapped} rows are possible only so"


def _add(listing: Listing, entry: Entry, label: str, seen: set[str]) -> None:
    if entry.id in seen:
        listing.rejects.append(Reject(label, Rejected.code, "the id stands in an earlier row too"))
    elif len(entry.id.encode(errors="surrogatepass")) > MAX_ID_BYTES:
        listing.rejects.append(Reject(label, Rejected.code, f"the id is longer than {MAX_ID_BYTES} bytes"))
    elif not entry.id.isprintable():
        listing.rejects.append(Reject(ascii(label), Rejected.code, "the id has characters that cannot be shown"))
    else:
        seen.add(entry.id)
        listing.entries.append(entry)


def _rows(table: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(line number, row by lower-case heading)."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=heading.count))
            judge_headings(table, [name.strip().lower() for name in reader.fieldnames or []])
            for row in reader:
                cells = {key.strip().lower(): (value or "").strip() for key, value in row.items() if key is not None}
                if any(cells.values()):
                    yield reader.line_num, cells
    except FileNotFoundError:
        raise Rejected(f"There is no file {table}.", field="csv") from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise Rejected(f"{table.name} cannot be read as a CSV file in UTF-8.", field="csv") from None


def judge_headings(table: Path, headings: Sequence[str]) -> None:
    """Raises Rejected when a column that every table needs is missing."""
    for what, names in (("id or file", (*ID, *FILE)), ("latitude", _LATITUDE), ("longitude", _LONGITUDE)):
        if not set(names) & set(headings):
            raise Rejected(f"{table.name} has no {what} column: head it {' or '.join(names[:3])}.", field="csv")


def _entry(folder: Path, row: Mapping[str, str]) -> Entry:
    relative = file_in(row)
    return Entry(
        id=first_of(row, ID) or relative.as_posix(),
        path=located(folder, relative),
        coordinates=coordinates_in(row),
        place=place_in(row),
        author=row.get("author", ""),
    )


def file_in(row: Mapping[str, str]) -> PurePosixPath:
    """The photo's file, relative to its folder. Raises Rejected."""
    file = first_of(row, FILE) or first_of(row, ID)
    if not file:
        raise Rejected("the row names no photo")
    relative = PurePosixPath(file)
    if relative.is_absolute() or ".." in relative.parts:
        raise Rejected("the file lies outside the folder")
    return relative


def coordinates_in(row: Mapping[str, str]) -> Coordinates:
    """Where the photo was taken. Raises Rejected as `coordinates`."""
    return coordinates(first_of(row, _LATITUDE), first_of(row, _LONGITUDE))


def place_in(row: Mapping[str, str]) -> Place | None:
    """What the row says of its place; None when it says nothing."""
    city, state, country = (row.get(name, "") for name in ("city", "state", "country"))
    place = Place(city, state, country, _code(row.get("country_code", "")))
    return place if any((place.city, place.state, place.country, place.country_code)) else None


def is_photo(path: Path) -> bool:
    """Whether it is a file with the suffix of a photo."""
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def located(folder: Path, relative: PurePosixPath) -> Path:
    """The photo's path. MP16-Pro's archive spells the slashes of its ids as underscores."""
    plain = folder / relative
    flat = folder / "_".join(relative.parts)
    return flat if len(relative.parts) > 1 and not plain.is_file() and flat.is_file() else plain


def coordinates(latitude: str, longitude: str) -> Coordinates:
    """Two cells as coordinates. Raises Rejected for what is none; its field is "swapped" where swapping would do."""
    try:
        north, east = float(latitude), float(longitude)
    except ValueError:
        raise Rejected("latitude or longitude is no number of degrees") from None
    if not (math.isfinite(north) and math.isfinite(east)):
        raise Rejected("latitude or longitude is no finite number")
    if 90 < abs(north) <= 180 and abs(east) <= 90:
        raise Rejected(f"latitude {north:g} is out of range: are the columns swapped?", field="swapped")
    if abs(north) > 90:
        raise Rejected(f"latitude {north:g} is out of range")
    if abs(east) > 180:
        raise Rejected(f"longitude {east:g} is out of range")
    if north == 0 and east == 0:
        raise Rejected("coordinates 0, 0 stand for an unknown place")
    return Coordinates(north, east)


def _code(text: str) -> str:
    return text.upper() if len(text) == 2 and text.isascii() and text.isalpha() else ""


def first_of(row: Mapping[str, str], names: Sequence[str]) -> str:
    """The first of these cells that is not empty; "" when none is."""
    return next((row[name] for name in names if row.get(name)), "")
