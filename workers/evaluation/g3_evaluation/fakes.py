"""The ports without a network, for tests: photos whose vectors say where they were taken."""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from g3_kit.errors import G3Error, Mismatch, Missing, NotYet, Rejected
from g3_photo import read
from numpy.typing import NDArray

from g3_evaluation.services import (
    GPS_ALIGNED,
    Collection,
    Compared,
    GalleryState,
    Listed,
    Model,
    Neighbour,
    Recall,
    Vectors,
)

FINGERPRINT = hashlib.sha256(b"fake").hexdigest()
_PAGE = 100


def on_sphere(latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]) -> NDArray[np.float32]:
    """The vectors of places: points of the unit sphere, float32 [n, 3], so that near places look alike."""
    phi, lam = np.radians(latitudes), np.radians(longitudes)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1).astype(np.float32)


@dataclass
class FakeEmbedder:
    """Vectors by the colour of the photo's middle pixel, through `places` of (red, green, blue).

    `errors` come first, one a call, None for a call that goes well.
    """

    places: Mapping[tuple[int, int, int], tuple[float, float]]
    trained: bool = True
    errors: list[G3Error | None] = field(default_factory=list)
    photos: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def model(self) -> Model:
        return Model(FINGERPRINT, 3, "fake", 16, self.trained)

    def embed(self, photos: Sequence[bytes], model: str) -> list[Vectors | G3Error]:
        with self._lock:
            error = self.errors.pop(0) if self.errors else None
            self.photos += len(photos)
        if error is not None:
            raise error
        if model != FINGERPRINT:
            raise Mismatch("another model is served")
        vectors: list[Vectors | G3Error] = []
        for photo in photos:
            image = read(photo)
            vectors.append(self._vectors(image.getpixel((image.width // 2, image.height // 2))))
        return vectors

    def _vectors(self, pixel: object) -> Vectors | G3Error:
        colour = np.array(pixel, dtype=np.float64)
        nearest = min(self.places, key=lambda known: float(np.abs(colour - known).sum()))
        if float(np.abs(colour - nearest).sum()) > 24:
            return Rejected("a colour that nobody knows")
        latitude, longitude = self.places[nearest]
        vector = on_sphere(np.array([latitude]), np.array([longitude]))[0]
        return np.stack([vector] * 3)


@dataclass
class FakeReferences:
    """References by (latitude, longitude, author), searched exactly; their vectors are their places."""

    places: Sequence[tuple[float, float, str]]
    recall_: Recall | None = None
    model: str = FINGERPRINT

    def reachable(self) -> None: ...

    def describe(self, collection: str) -> Collection:
        if collection not in ("references", "v1"):
            raise Missing(f"there is no collection {collection}")
        return Collection("v1", self.model, len(self.places), "fake")

    def listed(self, collection: str) -> Iterator[Listed]:
        for start in range(0, len(self.places), _PAGE):
            page = self.places[start : start + _PAGE]
            yield Listed(
                np.array([place[0] for place in page]),
                np.array([place[1] for place in page]),
                [place[2] for place in page],
            )

    def nearest(
        self,
        collection: Collection,
        vectors: Sequence[Vectors],
        compared: Compared,
        count: int,
        excluded_author: str = "",
    ) -> list[list[Neighbour] | G3Error]:
        allowed = [place for place in self.places if not excluded_author or place[2] != excluded_author]
        return [_nearest([place[:2] for place in allowed], photo[0], count) for photo in vectors]

    def recall(self, collection: Collection, seed: int, sample: int) -> Recall:
        if self.recall_ is None:
            raise NotYet("recall cannot be measured yet")
        return self.recall_


@dataclass
class FakeVerifier:
    """Galleries of places, ready after `slowness` looks; similarities on the sphere."""

    slowness: int = 0
    galleries: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    looks: int = 0

    def reachable(self) -> None: ...

    def put_gallery(self, name: str, pages: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> GalleryState:
        places = {
            place
            for latitudes, longitudes in pages
            for place in zip(latitudes.tolist(), longitudes.tolist(), strict=True)
        }
        self.galleries[name] = sorted(places)
        return self.gallery(name)

    def gallery(self, name: str) -> GalleryState:
        if name not in self.galleries:
            raise Missing(f"there is no gallery {name}")
        count = len(self.galleries[name])
        embedded = count if self.looks >= self.slowness else self.looks * count // self.slowness
        self.looks += 1
        return GalleryState("f" * 64, count, embedded, "float32", "")

    def search_gallery(
        self, name: str, vectors: Sequence[Vectors], count: int, model: str
    ) -> list[list[Neighbour] | G3Error]:
        return [_nearest(self.galleries[name], photo[GPS_ALIGNED], count) for photo in vectors]

    def similarities(
        self, vectors: Vectors, places: Sequence[tuple[float, float]], model: str
    ) -> list[float | G3Error]:
        found = on_sphere(np.array([place[0] for place in places]), np.array([place[1] for place in places]))
        return list((found @ vectors[GPS_ALIGNED]).tolist())


def _nearest(places: Sequence[tuple[float, float]], vector: Vectors, count: int) -> list[Neighbour]:
    if not places:
        return []
    found = on_sphere(np.array([place[0] for place in places]), np.array([place[1] for place in places]))
    cosines = found @ vector
    order = np.argsort(-cosines, kind="stable")[:count]
    return [Neighbour(places[row][0], places[row][1], float(cosines[row])) for row in order.tolist()]
