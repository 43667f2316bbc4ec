"""The services' roles without services: they answer at once and the same for the same question.

For tests and for measuring what the orchestrator itself costs; no setting wires them in.
"""

import hashlib
import struct
import threading
from collections.abc import Iterator, Sequence
from uuid import UUID

import numpy as np
from g3_geography import Coordinates, Place
from g3_kit.errors import G3Error, Mismatch, Missing, Unavailable
from numpy.typing import ArrayLike, NDArray

from g3_orchestrator.hints import search_box
from g3_orchestrator.model import GalleryPoint, Match, OutboxRow
from g3_orchestrator.parameters import Parameters
from g3_orchestrator.ports import Found, GalleryFound, PhotoVectors, Scores

MODEL, GPS, COLLECTION = "fake-model", "fake-gps", "fake_v1"


class MemoryBlobs:
    """Photos in memory."""

    def __init__(self) -> None:
        self._blobs: dict[tuple[UUID, str], bytes] = {}

    def put(self, tenant_id: UUID, sha256: str, data: bytes) -> None:
        """See Blobs.put."""
        self._blobs[tenant_id, sha256] = data

    def get(self, tenant_id: UUID, sha256: str) -> bytes:
        """See Blobs.get."""
        try:
            return self._blobs[tenant_id, sha256]
        except KeyError:
            raise Missing("no such photo") from None


class Faulty:
    """Raises the errors queued in `faults`, one a call, before answering again. Thread-safe."""

    def __init__(self) -> None:
        self.faults: list[G3Error] = []
        self.calls = 0
        self._lock = threading.Lock()

    def called(self) -> None:
        """Counts the call and raises the next fault."""
        with self._lock:
            self.calls += 1
            if self.faults:
                raise self.faults.pop(0)


class FakeEmbedder(Faulty):
    """Vectors of width 4 that depend on nothing but the photo's bytes. Not of unit length: nobody compares them."""

    def __init__(self, model: str = MODEL, gps: str = GPS) -> None:
        super().__init__()
        self.model, self.gps = model, gps

    def embed(self, photo: bytes) -> PhotoVectors:
        """See Embedder.embed."""
        self.called()
        digest = hashlib.sha256(photo).digest()
        vector = struct.pack("<4f", *(byte / 255 for byte in digest[:4]))
        return PhotoVectors(vector, vector, vector, 4, self.model, self.gps)


class FakeSearcher(Faulty):
    """`count` references along a meridian, the nearest at (10, 20); dissimilar ones on the other side of the Earth."""

    def __init__(self, count: int = 100, model: str = MODEL, collection: str = COLLECTION) -> None:
        super().__init__()
        self.count, self.model, self.collection = count, model, collection
        self._near = [_reference(f"near-{row}", 10 + row / 10, 20.0, 0.9 - row / 1000) for row in range(count)]
        self._far = [_reference(f"far-{row}", -10 - row / 10, -160.0, 0.1 + row / 1000) for row in range(count)]

    def search(self, vectors: PhotoVectors, parameters: Parameters, similar: int, dissimilar: int) -> Found:
        """See Searcher.search."""
        self.called()
        if vectors.model != self.model:
            raise Mismatch("the collection was made by another model")
        box = search_box(parameters.hints)
        kept = [
            [
                match
                for match in matches
                if match.reference_id not in parameters.excluded_references
                and match.author not in parameters.excluded_authors
                and (box is None or match.coordinates in box)
            ]
            for matches in (self._near[: self.count], self._far[: self.count])
        ]
        return Found(tuple(kept[0][:similar]), tuple(kept[1][:dissimilar]), self.collection, self.model)


def _reference(name: str, latitude: float, longitude: float, similarity: float) -> Match:
    place = Place("Nowhere", "", "Neverland", "NL")
    return Match(name, Coordinates(latitude, longitude), place, f"author of {name}", similarity)


class FakeScorer(Faulty):
    """Higher for points nearer to `truth`: 1 there, -1 on the other side."""

    def __init__(self, truth: Coordinates | None = None, model: str = MODEL, gps: str = GPS) -> None:
        super().__init__()
        self.truth = truth or Coordinates(10.0, 20.0)
        self.model, self.gps = model, gps

    def score(self, gps_aligned: bytes, candidates: Sequence[Coordinates], model: str) -> Scores:
        """See Scorer.score."""
        self.called()
        if model != self.model:
            raise Mismatch("the vector was made by another model")
        return Scores(tuple(self._score(point) for point in candidates), self.model, self.gps)

    def _score(self, point: Coordinates) -> float:
        east = abs(point.longitude - self.truth.longitude)
        return 1 - (abs(point.latitude - self.truth.latitude) + min(east, 360 - east)) / 180


class FakeGallery(Faulty):
    """`points`, most similar first; with none, the gallery is not there."""

    def __init__(self, points: Sequence[GalleryPoint] = (), model: str = MODEL, gps: str = GPS) -> None:
        super().__init__()
        self.points, self.model, self.gps = tuple(points), model, gps

    def nearest(self, gps_aligned: bytes, collection: str, count: int, model: str) -> GalleryFound:
        """See GallerySearcher.nearest."""
        self.called()
        if model != self.model:
            raise Mismatch("the vector was made by another model")
        if not self.points:
            raise Unavailable("the gallery is not there yet")
        return GalleryFound(self.points[:count], "fake-gallery", self.model, self.gps)


class FakeReferenceList(Faulty):
    """A collection of `points`, float64 [n, 2] degrees, each by an author of its own place: "author of 1.0 2.0"."""

    def __init__(self, points: Sequence[tuple[float, float]] = (), page: int = 2) -> None:
        super().__init__()
        self.points, self.page = list(points), page

    def count(self, collection: str) -> int:
        """See ReferenceList.count."""
        self.called()
        return len(self.points)

    def coordinates(self, collection: str) -> Iterator[NDArray[np.float64]]:
        """See ReferenceList.coordinates."""
        for start in range(0, len(self.points), self.page):
            yield np.array(self.points[start : start + self.page], dtype=np.float64)

    def allowed_at(self, collection: str, point: Coordinates, parameters: Parameters) -> bool:
        """See ReferenceList.allowed_at."""
        return f"author of {point.latitude} {point.longitude}" not in parameters.excluded_authors


class FakeNamer:
    """Every place has the same name."""

    def nearest_many(self, latitudes: ArrayLike, longitudes: ArrayLike) -> list[Place]:
        """See Namer.nearest_many."""
        return [Place("Nowhere", "", "Neverland", "NL") for _ in np.atleast_1d(latitudes)]


class FakeBells:
    """Remembers what was rung."""

    def __init__(self) -> None:
        self.rung: list[OutboxRow] = []
        self.faults: list[G3Error] = []
        self._lock = threading.Lock()

    def ring_all(self, rows: Sequence[OutboxRow]) -> Iterator[OutboxRow]:
        """See Bells.ring_all."""
        for row in rows:
            with self._lock:
                if self.faults:
                    raise self.faults.pop(0)
                self.rung.append(row)
            yield row
