"""One photo made ready: its clean bytes, its coordinates and the name of its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from g3_geography import Coordinates, Gazetteer, Place
from g3_kit.errors import Missing, Rejected, TooLarge
from g3_photo import Limits, clean, coordinates_of

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
    nearest = gazetteer.nearest_many(
        [photo.coordinates.latitude for photo in photos], [photo.coordinates.longitude for photo in photos]
    )
    return [_completed(photo.entry.place, near) for photo, near in zip(photos, nearest, strict=True)]


def _completed(stated: Place | None, near: Place) -> Place:
    if stated is None:
        return near
    if not stated.country_code and stated.country.casefold() in {near.country.casefold(), ""}:
        # The nearest place may lie across a border: its code is taken only along with its country.
        return replace(stated, country=stated.country or near.country, country_code=near.country_code)
    return stated
