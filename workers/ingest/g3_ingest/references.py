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
    index: str = ""
    """Index technology and type: "milvus/FLAT"."""

    @property
    def exact(self) -> bool:
        """Whether its index compares every vector."""
        return self.index.rpartition("/")[2].upper() == "FLAT"


@dataclass(frozen=True)
class Recall:
    """Shares in [0, 1] of the true neighbours that an index finds: similar ones, and the worse of the dissimilar
    kinds (hard and farthest).
    """

    similar: float
    dissimilar: float


class References(Protocol):
    """The reference collections. Every method raises Unavailable when nobody answers."""

    def create(self, collection: str, dimension: int, model: str, *, index: str = "", expected: int = 0) -> Collection:
        """Makes a version; harmless when it exists. Raises Conflict if it exists for another model or dimension,
        Rejected for an impossible name or index type. `expected` references, 0 for unknown; `index` "": the service's.
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

    def nearest(self, collection: str, model: str, vectors: PhotoVectors, excluded_id: str) -> float:
        """Mean cosine of the most similar reference but `excluded_id`, in [-1, 1]; -1 when there is none."""
        ...

    def recall(self, collection: str, sample: int) -> Recall:
        """Measured against exact search with `sample` queries. Raises NotYet where it cannot be, and Late before it
        has ended: the same call goes on where it stood.
        """
        ...

    def publish(self, collection: str, alias: str) -> str:
        """Points the alias at the version; returns the version that it named before, "" if none. Raises Missing."""
        ...
