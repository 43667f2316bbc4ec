"""One photo made ready: its clean bytes, its coordinates and the name of its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from g3_geography import Coordinates, Gazetteer, Place
from g3_kit.errors import Missing, Rejected, TooLarge
from g3_photo import Limits, clean, coordinates_of

from g3_ingest.rows import Row
from g3_ingest.sources import Entry


@dataclass(frozen=True)
class Photo:
    """Ready to embed: `jpeg` carries no metadata."""

    entry: Entry
    jpeg: bytes
    coordinates: Coordinates


def photo_of(entry: Entry, limits: Limits | None = None) -> Photo:
    """Reads and cleans the photo of `entry`; its coordinates come from EXIF where the entry has none.

    Raises Missing for no such file, TooLarge or Rejected for what is no acceptable photo or says no place.
    """
    limits = limits or Limits()
    try:
        size = entry.path.stat().st_size
        if size > limits.max_bytes:
            raise TooLarge(f"the file has {size} bytes and at most {limits.max_bytes} are taken")
        data = entry.path.read_bytes()
    except FileNotFoundError:
        raise Missing("there is no such file in the folder") from None
    except (OSError, ValueError):
        raise Rejected("the file cannot be read") from None
    coordinates = entry.coordinates
    if coordinates is None:
        found = coordinates_of(data, limits)
        if found is None:
            raise Rejected("the photo has no EXIF coordinates: list it in a CSV with --csv")
        coordinates = Coordinates(*found)
    return Photo(entry, clean(data, limits).jpeg, coordinates)


def places_of(photos: Sequence[Photo], gazetteer: Gazetteer) -> list[Place]:
    """The place of each photo: what its entry says, completed by the nearest place of the gazetteer."""
    if not photos:
        return []
    return completed([photo.entry.place for photo in photos], [photo.coordinates for photo in photos], gazetteer)


def completed(stated: Sequence[Place | None], where: Sequence[Coordinates], gazetteer: Gazetteer) -> list[Place]:
    """Each place as it is stated, completed by the nearest one of the gazetteer."""
    nearest = gazetteer.nearest_many([point.latitude for point in where], [point.longitude for point in where])
    return [_completed(told, near) for told, near in zip(stated, nearest, strict=True)]


def _completed(stated: Place | None, near: Place) -> Place:
    if stated is None:
        return near
    if not stated.country_code and stated.country.casefold() in {near.country.casefold(), ""}:
        # The nearest place may lie across a border: its code is taken only along with its country.
        return replace(stated, country=stated.country or near.country, country_code=near.country_code)
    return stated


@dataclass(frozen=True)
class Named:
    """A row made ready: where it was taken, and its photo without metadata (b"" for ready-made vectors)."""

    coordinates: Coordinates
    jpeg: bytes = b""
    sha256: bytes = b""


class Cleaner:
    """Rows of a run made ready. Thread-safe."""

    def __init__(self, limits: Limits | None = None) -> None:
        """Photos are taken within `limits`."""
        self._limits = limits or Limits()
        self.gazetteer = Gazetteer()

    def clean(self, row: Row) -> Named:
        """Raises Missing, Rejected or TooLarge for what is no acceptable photo or says no place."""
        if row.photo is None:
            if row.coordinates is None:
                raise Rejected("the row says no coordinates")
            return Named(row.coordinates)
        data, where = row.photo(), row.coordinates
        if where is None:
            found = coordinates_of(data, self._limits)
            if found is None:
                raise Rejected("the photo has no EXIF coordinates, and no table was given")
            where = Coordinates(*found)
        photo = clean(data, self._limits, smallest=False)
        return Named(where, photo.jpeg, bytes.fromhex(photo.sha256))
