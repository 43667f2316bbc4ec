"""The port to a source of references whose rows are numbered, so that shards of it can be read side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from g3_geography import Coordinates, Place
from g3_kit.errors import Rejected

from g3_ingest.embedder import PhotoVectors


class Duplicate(Rejected):
    """Another photo of the source is the same."""

    code = "duplicate"


class NearDuplicate(Duplicate):
    """Another photo is nearly the same."""

    code = "near_duplicate"


class Placeholder(Duplicate):
    """The photo is no longer available: many have the same picture in its place."""

    code = "placeholder"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source: `number` from 0, and what is known of it.

    `fault` says why it is not inserted; else there are `vectors`, or `photo()` gives the encoded photo's bytes (and
    raises Missing, Rejected or TooLarge). No coordinates: they are in the photo's EXIF.
    """

    number: int
    id: str
    coordinates: Coordinates | None = None
    place: Place | None = None
    author: str = ""
    photo: Callable[[], bytes] | None = None
    vectors: PhotoVectors | None = None
    fault: Rejected | None = None


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """What ready-made vectors come from: the model's fingerprint and the width d of each of the three."""

    model: str
    dimension: int


class Source(Protocol):
    """A source of references. Thread-safe; memory does not grow with its rows."""

    @property
    def fingerprint(self) -> str:
        """Changes when the source does."""
        ...

    @property
    def rows(self) -> int:
        """How many there are."""
        ...

    @property
    def ready_made(self) -> ReadyMade | None:
        """Of sources of vectors; None when photos are to be embedded."""
        ...

    def read(self, first: int, last: int) -> Iterator[Row]:
        """Rows `first` to `last` (exclusive), in order."""
        ...
