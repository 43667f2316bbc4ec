"""Photos in tar archives or a folder, listed in a table; or a folder whose photos have EXIF GPS."""

import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from g3_geography import Coordinates, Place
from g3_kit.errors import Missing, Rejected, TooLarge
from g3_photo import Limits
from numpy.typing import NDArray

from g3_ingest import offsets
from g3_ingest.authors import Authors
from g3_ingest.offsets import PLACEHOLDER_BYTES, ROW, Flaw, archive_key, flag_identical, flag_repeated, key_of
from g3_ingest.references import MAX_ID_BYTES
from g3_ingest.rows import Duplicate, Placeholder, ReadyMade, Row
from g3_ingest.sources import (
    FILE,
    ID,
    coordinates_in,
    file_in,
    first_of,
    is_photo,
    judge_headings,
    located,
    place_in,
    swapped_reason,
)
from g3_ingest.table import Table

Check = Callable[[], None]
_FLAWS: dict[int, Rejected] = {
    Flaw.REPEATED: Rejected("the id stands in an earlier row too"),
    Flaw.DUPLICATE: Duplicate("another photo of the source is the same byte for byte"),
    Flaw.PLACEHOLDER: Placeholder("the photo is a placeholder for one that is no longer available"),
}
# The mark of MP16-Pro's own table, whose rows without a country are not used (FACTS of the data set).
_MP16 = "neighbourhood"


@dataclass(frozen=True)
class Places:
    """Where photos lie: in archives, or as files of a folder."""

    folder: Path
    archives: tuple[Path, ...] = ()

    @classmethod
    def found(cls, source: Path) -> "Places":
        """A tar archive, a folder of them, or a folder of photos. Raises Rejected for anything else."""
        if source.is_file():
            return cls(source.parent, (source,))
        if not source.is_dir():
            raise Rejected(f"there is no file or folder {source}", field="source")
        return cls(source, tuple(sorted(source.glob("*.tar"))))


class PhotoSource:
    """See `Source`. The index in `folder` says where everything lies; only it and what is asked for is read."""

    ready_made: ReadyMade | None = None

    def __init__(
        self, places: Places, table: Table | None, folder: Path, fingerprint: str, authors: Authors | None = None
    ) -> None:
        """`folder` holds what `index` wrote."""
        self.fingerprint = fingerprint
        self._places = places
        self._table = table
        self._authors = authors
        self._rows = np.load(folder / "rows.npy", mmap_mode="r")
        names = folder / "names.txt"
        self._names = names.read_bytes().decode(errors="surrogateescape").split("\0") if names.exists() else []
        self._limits = Limits()

    @property
    def rows(self) -> int:
        """See `Source.rows`."""
        return len(self._rows)

    def read(self, first: int, last: int) -> Iterator[Row]:
        """See `Source.read`."""
        if self._table is None:
            yield from (self._named(number) for number in range(first, last))
            return
        with self._table.path.open("rb") as file:
            for number in range(first, last):
                row = self._rows[number]
                file.seek(int(row["at"]))
                yield self._listed(number, self._table.cells(file.read(int(row["size"]))))

    def _named(self, number: int) -> Row:
        id_ = self._names[number]
        flaw = _FLAWS.get(int(self._rows[number]["flaw"])) or _fault_of(id_)
        return Row(number, id_, fault=flaw, photo=partial(self._bytes, number, id_))

    def _listed(self, number: int, cells: Mapping[str, str]) -> Row:
        id_ = first_of(cells, ID) or first_of(cells, FILE)
        fault: Rejected | None = _FLAWS.get(int(self._rows[number]["flaw"])) or _fault_of(id_)
        where: Coordinates | None = None
        place: Place | None = None
        try:
            file = file_in(cells)
            where, place = coordinates_in(cells), place_in(cells)
            if _MP16 in cells and not (place and place.country):
                raise Rejected("the row has no country, and such rows of MP16-Pro are not used")
        except Rejected as error:
            return Row(number, id_ or f"row {number}", fault=fault or error)
        author = cells.get("author", "") or (self._authors.of(id_) if self._authors else "")
        return Row(number, id_, where, place, author, partial(self._bytes, number, file.as_posix()), fault=fault)

    def _bytes(self, number: int, file: str) -> bytes:
        row = self._rows[number]
        if row["flaw"] == Flaw.MISSING:
            raise Missing("there is no such photo in the source")
        if int(row["bytes"]) > self._limits.max_bytes:
            raise TooLarge(f"the photo has {int(row['bytes'])} bytes and at most {self._limits.max_bytes} are taken")
        return _part(self._places, row, file, 0, int(row["bytes"]))


def _fault_of(id_: str) -> Rejected | None:
    if len(id_.encode(errors="surrogatepass")) > MAX_ID_BYTES:
        return Rejected(f"the id is longer than {MAX_ID_BYTES} bytes")
    if not id_.isprintable():
        return Rejected("the id has characters that cannot be shown")
    return None


def index(places: Places, table: Table | None, folder: Path, check: Check) -> None:
    """Writes the index of a source into `folder`. Raises Rejected when there is nothing in it that could be used."""
    names = [] if table is not None else _photos_below(places.folder)
    if table is not None:
        judge_headings(table.path, table.headings)
        rows, ids = _from_table(places, table, check)
    else:
        rows, ids = _from_names(places, names)
        (folder / "names.txt").write_bytes("\0".join(names).encode(errors="surrogateescape"))
    flag_repeated(rows, ids)
    if table is not None and _MP16 in table.headings:
        # There every photo this small is Flickr's picture for one that is gone, each in its own compression.
        rows["flaw"][(rows["flaw"] == Flaw.NONE) & (rows["bytes"] <= PLACEHOLDER_BYTES)] = Flaw.PLACEHOLDER
    files = _files(table, names, rows)
    flag_identical(rows, lambda row, at, size: _part(places, rows[row], files(row), at, size), check)
    np.save(folder / "rows.npy", rows)


def _photos_below(folder: Path) -> list[str]:
    found = sorted(path for path in folder.rglob("*") if is_photo(path))
    if not found:
        raise Rejected("there are no photos in the folder", field="source")
    return [path.relative_to(folder).as_posix() for path in found]


def _from_table(places: Places, table: Table, check: Check) -> tuple[NDArray[np.void], NDArray[np.uint64]]:
    photos = offsets.photos_in(places.archives, check) if places.archives else None
    at, size, ids, keys = array("Q"), array("I"), array("Q"), array("Q")
    lengths, swapped = array("q"), 0
    for offset, length, cells in table.scan(check):
        at.append(offset)
        size.append(length)
        file = first_of(cells, FILE) or first_of(cells, ID)
        ids.append(key_of(first_of(cells, ID) or file))
        keys.append(archive_key(file))
        if photos is None:
            lengths.append(_length(places.folder, file))
        swapped += _is_swapped(cells)
    if reason := swapped_reason(table.path.name, swapped, len(at)):
        raise Rejected(reason, field="table")
    rows = np.zeros(len(at), ROW)
    if not len(at):
        raise Rejected(f"{table.path.name} has no rows", field="table")
    rows["at"], rows["size"] = np.array(at), np.array(size)
    if photos is None:
        found = np.array(lengths, np.int64)
        rows["bytes"] = np.maximum(found, 0)
        rows["flaw"][found < 0] = Flaw.MISSING
    else:
        wanted = np.array(keys, np.uint64)
        place = np.minimum(np.searchsorted(photos.key, wanted), max(0, len(photos.key) - 1))
        there = photos.key[place] == wanted if len(photos.key) else np.zeros(len(wanted), bool)
        for name in ("archive", "offset", "bytes"):
            rows[name][there] = getattr(photos, name)[place[there]]
        rows["flaw"][~there] = Flaw.MISSING
    return rows, np.array(ids, np.uint64)


def _is_swapped(cells: Mapping[str, str]) -> bool:
    try:
        coordinates_in(cells)
    except Rejected as error:
        return error.field == "swapped"
    return False


def _from_names(places: Places, names: list[str]) -> tuple[NDArray[np.void], NDArray[np.uint64]]:
    rows = np.zeros(len(names), ROW)
    lengths = np.array([_length(places.folder, name) for name in names], np.int64)
    rows["bytes"] = np.maximum(lengths, 0)
    rows["flaw"][lengths < 0] = Flaw.MISSING
    return rows, np.array([key_of(name) for name in names], np.uint64)


def _length(folder: Path, file: str) -> int:
    """Bytes of a file; -1 when there is none, or it lies outside the folder."""
    relative = PurePosixPath(file)
    if not file or relative.is_absolute() or ".." in relative.parts:
        return -1
    try:
        path = located(folder, relative)
        return min(path.stat().st_size, 2**32 - 1) if path.is_file() else -1
    except (OSError, ValueError):
        return -1


def _files(table: Table | None, names: list[str], rows: NDArray[np.void]) -> Callable[[int], str]:
    """The file of a row by its number."""
    if table is None:
        return names.__getitem__
    listing = table

    def file(row: int) -> str:
        with listing.path.open("rb") as lines:
            lines.seek(int(rows["at"][row]))
            cells = listing.cells(lines.read(int(rows["size"][row])))
        return first_of(cells, FILE) or first_of(cells, ID)

    return file


def _part(places: Places, row: np.void, file: str, at: int, size: int) -> bytes:
    """`size` bytes of a photo from `at` on. Raises Missing or Rejected when they cannot be read."""
    path = places.archives[int(row["archive"])] if places.archives else located(places.folder, PurePosixPath(file))
    start = at + (int(row["offset"]) if places.archives else 0)
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return os.pread(descriptor, size, start)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise Missing("there is no such photo in the source any more") from None
    except OSError:
        raise Rejected("the photo cannot be read") from None
