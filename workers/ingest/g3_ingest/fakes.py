"""The ports without a network, for tests."""

import hashlib
import random
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from g3_kit.errors import Conflict, G3Error, Mismatch, Missing, NotYet, Rejected

from g3_ingest.embedder import Model, PhotoVectors
from g3_ingest.references import Collection, Recall, Reference


@dataclass
class FakeEmbedder:
    """Vectors drawn from the photo's bytes. `errors` come first, one a call, None for a call that goes well;
    a photo whose SHA-256 is in `refused` is an error of its item.
    """

    name: str = "fake"
    dimension: int = 4
    max_items: int = 64
    trained: bool = False
    errors: list[G3Error | None] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    calls: list[list[bytes]] = field(default_factory=list)

    def model(self) -> Model:
        fingerprint = hashlib.sha256(self.name.encode()).hexdigest()
        return Model(fingerprint, self.dimension, self.max_items, self.trained)

    def embed(self, photos: Sequence[bytes], model: str) -> list[PhotoVectors | G3Error]:
        self.calls.append(list(photos))
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        if model != self.model().fingerprint:
            raise Mismatch("another model is served")
        if not 0 < len(photos) <= self.max_items:
            raise Rejected(f"send 1 to {self.max_items} photos")
        return [self._vectors(photo) for photo in photos]

    def _vectors(self, photo: bytes) -> PhotoVectors | G3Error:
        digest = hashlib.sha256(photo).hexdigest()
        if digest in self.refused:
            return Rejected("the photo cannot be decoded")
        drawn = random.Random(digest)  # noqa: S311
        return PhotoVectors(self.dimension, *(self._unit(drawn) for _ in range(3)))

    def _unit(self, drawn: random.Random) -> bytes:
        values = [drawn.gauss(0, 1) for _ in range(self.dimension)]
        length = sum(value * value for value in values) ** 0.5
        return struct.pack(f"<{self.dimension}f", *(value / length for value in values))


class FakeReferences:
    """Collections in memory. `errors` come first, one an upsert, None for one that goes well."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, tuple[int, str]] = {}
        self.stored: dict[str, dict[str, Reference]] = {}
        self.aliases: dict[str, str] = {}
        self.errors: list[G3Error | None] = []
        self.refused: set[str] = set()
        self.measured: Recall | None = Recall(1.0, 1.0)

    def create(self, collection: str, dimension: int, model: str, *, index: str = "", expected: int = 0) -> Collection:
        with self._lock:
            if self._made.setdefault(collection, (dimension, model)) != (dimension, model):
                raise Conflict(f"collection {collection} exists for another model")
            self.stored.setdefault(collection, {})
        return self.describe(collection)

    def describe(self, collection: str) -> Collection:
        name = self.aliases.get(collection, collection)
        self._require(name)
        dimension, model = self._made[name]
        aliases = tuple(sorted(alias for alias, target in self.aliases.items() if target == name))
        return Collection(name, dimension, model, len(self.stored[name]), aliases)

    def nearest(self, collection: str, model: str, vectors: PhotoVectors, excluded_id: str) -> float:
        self._require(collection)
        asked = _whole(vectors)
        held = [other for id_, other in self.stored[collection].items() if id_ != excluded_id]
        return max((_cosine(asked, _whole(other.vectors)) for other in held), default=-1.0)

    def recall(self, collection: str, sample: int) -> Recall:
        self._require(collection)
        if self.measured is None:
            raise NotYet("recall cannot be measured")
        return self.measured

    def held(self, collection: str, ids: Sequence[str]) -> set[str]:
        self._require(collection)
        return {id_ for id_ in ids if id_ in self.stored[collection]}

    def upsert(self, collection: str, model: str, references: Sequence[Reference]) -> Mapping[int, G3Error]:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self._require(collection)
        if model != self._made[collection][1]:
            raise Mismatch(f"collection {collection} is of another model")
        faulty = {index: reference for index, reference in enumerate(references) if reference.id in self.refused}
        with self._lock:
            for index, reference in enumerate(references):
                if index not in faulty:
                    self.stored[collection][reference.id] = reference
        return {index: Rejected("the reference is refused") for index in faulty}

    def publish(self, collection: str, alias: str) -> str:
        self._require(collection)
        previous = self.aliases.get(alias, "")
        self.aliases[alias] = collection
        return previous

    def _require(self, collection: str) -> None:
        if collection not in self._made:
            raise Missing(f"there is no collection {collection}")


def _whole(vectors: PhotoVectors) -> list[float]:
    three = vectors.clip + vectors.text_aligned + vectors.gps_aligned
    return list(struct.unpack(f"<{3 * vectors.dimension}f", three))


def _cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / 3
