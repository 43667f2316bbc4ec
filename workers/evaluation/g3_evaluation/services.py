"""The ports: what the evaluation asks of the services that it measures."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from g3_kit.errors import G3Error
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""[3, d]: the clip, text_aligned and gps_aligned vectors of one photo, of unit length."""
CLIP, TEXT_ALIGNED, GPS_ALIGNED = 0, 1, 2
MAX_TOGETHER = 128
"""Photos of one `nearest` or `search_gallery`."""


@dataclass(frozen=True)
class Model:
    """What embeds: fingerprint, width d, configuration, photos a call, and whether anybody trained it."""

    fingerprint: str
    dimension: int
    configuration: str
    max_items: int
    trained: bool


@dataclass(frozen=True)
class Collection:
    """A collection version: its name (never an alias), model fingerprint, number of references and kind of index."""

    name: str
    model: str
    count: int
    index: str


class Compared(StrEnum):
    """Which of the vectors retrieval compares."""

    CLIP = "clip"
    CLIP_GPS = "clip_gps"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A found place, and how similar (cosine or mean cosine)."""

    latitude: float
    longitude: float
    similarity: float


@dataclass(frozen=True)
class Listed:
    """A page of references: latitude and longitude, float64 [n] each, and their authors ("" when unknown)."""

    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    authors: list[str]


@dataclass(frozen=True)
class Recall:
    """Share of the true k nearest that the collection's own search found: of all queries, and of the worst one."""

    mean: float
    worst: float
    k: int
    sample: int


@dataclass(frozen=True)
class GalleryState:
    """A gallery: how many places it has and how many of them can be searched already."""

    fingerprint: str
    count: int
    embedded: int
    precision: str
    problem: str


class Embedder(Protocol):
    """Photos to vectors."""

    def model(self) -> Model:
        """Which model is served. Raises Unavailable when nobody answers."""
        ...

    def embed(self, photos: Sequence[bytes], model: str) -> list[Vectors | G3Error]:
        """Vectors of each photo (JPEG bytes, at most `Model.max_items`), or what is wrong with that one.

        Raises Mismatch when the served model is not `model`, Exhausted when the queue is full, Unavailable.
        """
        ...


class References(Protocol):
    """A collection of references. Every method raises Unavailable when nobody answers, Missing for no collection."""

    def reachable(self) -> None:
        """Returns when the service answers."""
        ...

    def describe(self, collection: str) -> Collection:
        """The version, or the one that an alias names."""
        ...

    def listed(self, collection: str) -> Iterator[Listed]:
        """All references, page by page, in a fixed order."""
        ...

    def nearest(
        self,
        collection: Collection,
        vectors: Sequence[Vectors],
        compared: Compared,
        count: int,
        excluded_author: str = "",
    ) -> list[list[Neighbour] | G3Error]:
        """For each photo (at most `MAX_TOGETHER`) the `count` most similar references, best first.

        None by `excluded_author`. Raises Mismatch for vectors of another model.
        """
        ...

    def recall(self, collection: Collection, seed: int, sample: int) -> Recall:
        """Measures the collection's search of similar references against an exact one, by `sample` stored photos.

        Raises NotYet.
        """
        ...


class Verifier(Protocol):
    """Coordinates against photos. Every method raises Unavailable when nobody answers, Mismatch for other models."""

    def reachable(self) -> None:
        """Returns when the service answers."""
        ...

    def put_gallery(self, name: str, pages: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> GalleryState:
        """Keeps a gallery of (latitudes, longitudes); harmless when it is there already."""
        ...

    def gallery(self, name: str) -> GalleryState:
        """How it stands. Raises Missing."""
        ...

    def search_gallery(
        self, name: str, vectors: Sequence[Vectors], count: int, model: str
    ) -> list[list[Neighbour] | G3Error]:
        """For each photo (at most `MAX_TOGETHER`) the `count` best places of the gallery, at most 1,000."""
        ...

    def similarities(
        self, vectors: Vectors, places: Sequence[tuple[float, float]], model: str
    ) -> list[float | G3Error]:
        """The cosine of a photo with each place (latitude, longitude)."""
        ...
