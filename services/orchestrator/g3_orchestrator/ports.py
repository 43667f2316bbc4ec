"""The roles that other parts play for the domain. Adapters live in `clients`, `blobs` and `fakes`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np
from g3_geography import Coordinates, Place
from numpy.typing import ArrayLike, NDArray

from g3_orchestrator.model import GalleryPoint, Match, OutboxRow
from g3_orchestrator.parameters import Parameters


class Blobs(Protocol):
    """Cleaned photos by tenant and SHA-256 (hex)."""

    def put(self, tenant_id: UUID, sha256: str, data: bytes) -> None:
        """Stores the bytes; a repeat changes nothing. Raises Unavailable."""

    def get(self, tenant_id: UUID, sha256: str) -> bytes:
        """The bytes. Raises Missing or Unavailable."""


@dataclass(frozen=True, slots=True)
class PhotoVectors:
    """The three unit vectors of a photo, each little-endian float32 bytes of `dimension` components.

    `model` and `gps` are the fingerprints of the model that made them.
    """

    clip: bytes
    text_aligned: bytes
    gps_aligned: bytes
    dimension: int
    model: str
    gps: str


class Embedder(Protocol):
    """Makes the vectors of photos."""

    def embed(self, photo: bytes) -> PhotoVectors:
        """The vectors of one encoded photo. Raises Rejected, Unavailable."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave: both lists in the order of the retrieval service, and what answered."""

    similar: tuple[Match, ...]
    dissimilar: tuple[Match, ...]
    collection: str
    model: str


class Searcher(Protocol):
    """Finds similar and dissimilar references."""

    def search(self, vectors: PhotoVectors, parameters: Parameters, similar: int, dissimilar: int) -> Found:
        """At most so many of each, within the hints, without what is excluded.

        Raises Missing, Mismatch, Unavailable.
        """


@dataclass(frozen=True, slots=True)
class Scores:
    """One cosine in [-1, 1] a candidate, None where a candidate could not be scored; fingerprints of the model."""

    similarities: tuple[float | None, ...]
    model: str
    gps: str


class Scorer(Protocol):
    """Compares coordinates with a photo's GPS-aligned vector."""

    def score(self, gps_aligned: bytes, candidates: Sequence[Coordinates], model: str) -> Scores:
        """Scores in the order of the candidates (1 to 10,000). Raises Rejected, Mismatch, Unavailable."""


@dataclass(frozen=True, slots=True)
class GalleryFound:
    """Points of a gallery, most similar first; fingerprints of their set and of the model that compared."""

    points: tuple[GalleryPoint, ...]
    gallery: str
    model: str
    gps: str


class GallerySearcher(Protocol):
    """Finds the places that fit a photo among the coordinates of a whole collection."""

    def nearest(self, gps_aligned: bytes, collection: str, count: int, model: str) -> GalleryFound:
        """The `count` (1 to 1,000) most similar points of the collection's gallery.

        Raises Unavailable while there is none, Mismatch for another model.
        """


class GalleryShelf(Protocol):
    """Galleries by name."""

    def search(self, name: str, gps_aligned: bytes, count: int, model: str) -> GalleryFound:
        """The most similar points. Raises Missing, Unavailable while its vectors are computed, Mismatch."""

    def put(self, name: str, points: NDArray[np.float64]) -> None:
        """Keeps float64 [n, 2] degrees under the name, instead of what it meant. Raises TooLarge, Unavailable."""


class ReferenceList(Protocol):
    """The references of a collection, without their vectors."""

    def count(self, collection: str) -> int:
        """How many there are. Raises Missing, Unavailable."""

    def coordinates(self, collection: str) -> Iterator[NDArray[np.float64]]:
        """Their coordinates, float64 [m, 2] degrees a page. Raises Missing, Unavailable."""

    def allowed_at(self, collection: str, point: Coordinates, parameters: Parameters) -> bool:
        """Whether a reference that is not excluded lies at the point. Raises Missing, Unavailable."""


class Namer(Protocol):
    """Names places without the network: a gazetteer."""

    def nearest_many(self, latitudes: ArrayLike, longitudes: ArrayLike) -> list[Place]:
        """The nearest place of each point (float [n] degrees twice)."""


class Bells(Protocol):
    """Sends messages to the workers of a stage."""

    def ring_all(self, rows: Sequence[OutboxRow]) -> Iterator[OutboxRow]:
        """Yields each row once the broker has its message. Raises Unavailable: the others were not sent, or nobody
        knows."""
