"""The port to the reference collections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from g3_geography import Coordinates, Place
from g3_kit.errors import G3Error

from g3_ingest.embedder import PhotoVectors

MAX_ID_BYTES = 200  # Reference.id in retrieval.proto


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference photo with its vectors. `author` is "" when unknown."""

    id: str
    coordinates: Coordinates
    place: Place
    author: str
    vectors: PhotoVectors


@dataclass(frozen=True)
class Collection:
    """A collection version as it stands: width d, model fingerprint, number of references, aliases that name it."""

    name: str
    dimension: int
    model: str
    count: int
    aliases: tuple[str, ...]


class References(Protocol):
    """The reference collections. Every method raises Unavailable when nobody answers."""

    def create(self, collection: str, dimension: int, model: str) -> Collection:
        """Makes a version; harmless when it exists. Raises Conflict if it exists for another model or dimension,
        Rejected for an impossible name.
        """
        ...

    def describe(self, collection: str) -> Collection:
        """The version, or the one that an alias names. Raises Missing."""
        ...

    def held(self, collection: str, ids: Sequence[str]) -> set[str]:
        """Those of `ids` (at most 10,000) that the version holds. Raises Missing."""
        ...

    def upsert(self, collection: str, model: str, references: Sequence[Reference]) -> Mapping[int, G3Error]:
        """Inserts or replaces by id, at most 1,000; returns what was wrong with single ones, by index.

        Raises Missing, and Mismatch for vectors of another model.
        """
        ...

    def publish(self, collection: str, alias: str) -> str:
        """Points the alias at the version; returns the version that it named before, "" if none. Raises Missing."""
        ...
