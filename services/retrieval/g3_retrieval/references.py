"""The nouns of retrieval: references and their vectors, collections, searches and what they find."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from g3_geography import BoundingBox, Coordinates, Place
from g3_kit.errors import Mismatch, Rejected
from numpy.typing import NDArray

from g3_retrieval.kinds import Plan, Sample

Vectors = NDArray[np.float32]

MAX_TEXT_BYTES = 200
"""Of an id, an author, or a part of a place."""
MAX_DIMENSION = 4096
"""Of each of the three vectors; a store must take three times as many."""
UNIT_TOLERANCE = 1e-3
"""How far from 1 the length of a unit vector may be: float16 features, normalised, stay within it."""
SIMILARITY_DIGITS = 6
"""Similarities are rounded to this many decimals, float32's worth, so that equal photos tie on every index."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_MODEL = re.compile(r"[A-Za-z0-9]{1,64}")
_COUNTRY_CODE = re.compile(r"[A-Z]{2}")


class RetrievalVector(StrEnum):
    """Which of a photo's three vectors are compared."""

    ALL = "all"
    CLIP = "clip"
    CLIP_GPS = "clip_gps"

    @property
    def compared(self) -> tuple[bool, bool, bool]:
        """Whether (clip, text_aligned, gps_aligned) take part."""
        return {
            RetrievalVector.ALL: (True, True, True),
            RetrievalVector.CLIP: (True, False, False),
            RetrievalVector.CLIP_GPS: (True, False, True),
        }[self]


class Dissimilar(StrEnum):
    """How dissimilar references are chosen."""

    NONE = "none"
    FARTHEST = "farthest"
    """The least similar of all, by exact search (G3, section 3.2)."""
    HARD = "hard"
    """Visually near, and geographically far from the best match."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference photo. Unknown texts are empty. Raises `Rejected` on a bad id, author, place or country code."""

    id: str
    coordinates: Coordinates
    place: Place
    author: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            raise Rejected("a reference needs an id", field="id")
        place = self.place
        for name, text in (
            ("id", self.id),
            ("author", self.author),
            ("place.city", place.city),
            ("place.state", place.state),
            ("place.country", place.country),
        ):
            check_text(text, name)
        if place.country_code:
            check_country_code(place.country_code, "place.country_code")


@dataclass(frozen=True, slots=True)
class ImageVectors:
    """The three unit vectors of one photo, float32 [d] each. Raises `Rejected` when they are not that."""

    clip: Vectors
    text_aligned: Vectors
    gps_aligned: Vectors

    def __post_init__(self) -> None:
        for name in ("clip", "text_aligned", "gps_aligned"):
            vector = getattr(self, name)
            if vector.ndim != 1 or not 0 < len(vector) <= MAX_DIMENSION:
                raise Rejected(f"{name} must have 1 to {MAX_DIMENSION} components", field=name)
            if len(vector) != len(self.clip):
                raise Rejected("the three vectors must have one dimension", field=name)
            if not np.isfinite(vector).all():
                raise Rejected(f"{name} must be finite", field=name)
            length = float(np.linalg.norm(vector.astype(np.float64)))
            if abs(length - 1.0) > UNIT_TOLERANCE:
                raise Rejected(f"{name} must have length 1, not {length:.4g}", field=name)

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.clip)

    def stored(self) -> Vectors:
        """What an index keeps, float32 [3d]: the concatenation scaled by 1/√3, a unit vector."""
        joined = np.concatenate([self.clip, self.text_aligned, self.gps_aligned]).astype(np.float32)
        return np.asarray(joined / np.float32(np.sqrt(3.0)), dtype=np.float32)

    def query(self, compared: RetrievalVector) -> Vectors:
        """What is asked of an index, float32 [3d], so that query · stored = mean cosine over the compared vectors.

        A stored block is s/√3. With n vectors compared, the blocks asked are q·√3/n for those and 0 for the others:
        the product is Σ q·s / n. One stored vector so serves every choice, exactly.
        """
        taken = compared.compared
        scale = np.float32(np.sqrt(3.0) / sum(taken))
        parts = zip((self.clip, self.text_aligned, self.gps_aligned), taken, strict=True)
        return np.concatenate([part * scale if used else np.zeros_like(part) for part, used in parts]).astype(
            np.float32
        )


@dataclass(frozen=True, slots=True)
class ReferenceVectors:
    """n references and their vectors, float32 [n, d] each, rows in the order of `references`."""

    references: tuple[Reference, ...]
    clip: Vectors
    text_aligned: Vectors
    gps_aligned: Vectors

    def __post_init__(self) -> None:
        shape = (len(self.references), self.dimension)
        for name in ("clip", "text_aligned", "gps_aligned"):
            if getattr(self, name).shape != shape:
                raise Rejected(f"{name} must have the shape {shape}", field=name)

    def __len__(self) -> int:
        return len(self.references)

    @property
    def dimension(self) -> int:
        """d."""
        return int(self.clip.shape[1]) if self.clip.ndim == 2 else 0

    def stored(self) -> Vectors:
        """What an index keeps, float32 [n, 3d], as `ImageVectors.stored`."""
        joined = np.concatenate([self.clip, self.text_aligned, self.gps_aligned], axis=1).astype(np.float32)
        return np.asarray(joined / np.float32(np.sqrt(3.0)), dtype=np.float32)

    def last_of_each(self) -> "ReferenceVectors":
        """Without the earlier ones of references that share an id: what a store would do with both is undefined."""
        rows = {reference.id: row for row, reference in enumerate(self.references)}
        if len(rows) == len(self.references):
            return self
        kept = sorted(rows.values())
        return ReferenceVectors(
            tuple(self.references[row] for row in kept),
            self.clip[kept],
            self.text_aligned[kept],
            self.gps_aligned[kept],
        )

    @staticmethod
    def of(pairs: "list[tuple[Reference, ImageVectors]]", dimension: int) -> "ReferenceVectors":
        """From pairs of one dimension d; no pair gives arrays of shape [0, d]."""

        def stacked(name: str) -> Vectors:
            rows = [getattr(vectors, name) for _, vectors in pairs]
            return np.stack(rows).astype(np.float32) if rows else np.zeros((0, dimension), np.float32)

        return ReferenceVectors(
            tuple(reference for reference, _ in pairs), stacked("clip"), stacked("text_aligned"), stacked("gps_aligned")
        )


@dataclass(frozen=True, slots=True)
class Filter:
    """Which references may be found; empty parts do not filter. Raises `Rejected` on a bad code or text."""

    country_codes: tuple[str, ...] = ()
    bounding_box: BoundingBox | None = None
    excluded_ids: tuple[str, ...] = ()
    excluded_authors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for code in self.country_codes:
            check_country_code(code, "filter.country_codes")
        for name in ("excluded_ids", "excluded_authors"):
            for text in getattr(self, name):
                check_text(text, f"filter.{name}")

    @property
    def passes_all(self) -> bool:
        """Whether nothing is filtered."""
        return not (self.country_codes or self.bounding_box or self.excluded_ids or self.excluded_authors)


@dataclass(frozen=True, slots=True)
class Search:
    """One question to an index."""

    collection: str
    """A version or an alias."""
    model: str
    vectors: ImageVectors
    retrieval_vector: RetrievalVector = RetrievalVector.ALL
    similar: int = 0
    dissimilar: int = 0
    dissimilar_kind: Dissimilar = Dissimilar.NONE
    filter: Filter = field(default_factory=Filter)


@dataclass(frozen=True, slots=True)
class ManySearch:
    """The similar references of many photos: one question for each of `vectors`, otherwise the same."""

    collection: str
    """A version or an alias."""
    model: str
    vectors: tuple[ImageVectors, ...]
    similar: int
    retrieval_vector: RetrievalVector = RetrievalVector.ALL
    filter: Filter = field(default_factory=Filter)


@dataclass(frozen=True, slots=True)
class FoundMany:
    """The answer to a `ManySearch`: for each photo the most similar first, ties by id."""

    similar: "tuple[tuple[Match, ...], ...]"
    collection: str
    """The version that answered."""
    model: str


@dataclass(frozen=True, slots=True)
class Match:
    """A found reference and its mean cosine over the compared vectors, in [-1, 1]."""

    reference: Reference
    similarity: float


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a `Search`: most similar first; farthest or nearest hard negatives first; ties by id."""

    similar: tuple[Match, ...]
    dissimilar: tuple[Match, ...]
    collection: str
    """The version that answered."""
    model: str
    farthest_sample: int = 0
    """References that `farthest` was searched among when that is a sample; else 0."""


@dataclass(frozen=True, slots=True)
class Version:
    """What never changes about a collection version."""

    name: str
    model: str
    dimension: int

    def check(self, model: str, dimension: int | None = None) -> None:
        """Raises `Mismatch` unless vectors of this model (and width) belong into this version."""
        if model != self.model:
            raise Mismatch(f"{self.name!r} holds vectors of model {self.model}, not {model}", field="model")
        if dimension is not None and dimension != self.dimension:
            raise Mismatch(f"{self.name!r} holds vectors of width {self.dimension}, not {dimension}", field="vectors")


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection version as it stands."""

    name: str
    dimension: int
    """Width d of each of the three vectors."""
    model: str
    count: int
    aliases: tuple[str, ...]
    index: str
    """Technology and type: "milvus/FLAT", "faiss/flat"."""
    plan: Plan
    sample: Sample | None = None
    """What `farthest` is searched among; None: every reference."""


def similarity(product: float) -> float:
    """An inner product as a similarity: clamped to [-1, 1] and rounded, so that ties are ties."""
    return round(min(1.0, max(-1.0, product)), SIMILARITY_DIGITS) + 0.0


def check_name(name: str, what: str) -> None:
    """Raises `Rejected` unless `name` may name a collection or an alias."""
    if not _NAME.fullmatch(name):
        raise Rejected(
            f"{what} must be letters, digits and underscores, at most 100, not starting with a digit", field=what
        )


def check_model(model: str) -> None:
    """Raises `Rejected` unless `model` may be a fingerprint (64 hexadecimal digits in earnest)."""
    if not _MODEL.fullmatch(model):
        raise Rejected("model must be a fingerprint: 1 to 64 letters and digits", field="model")


def check_text(text: str, name: str) -> None:
    """Raises `Rejected` unless `text` fits a store's text field."""
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise Rejected(f"{name} must be at most {MAX_TEXT_BYTES} bytes", field=name)
    if "\0" in text:
        raise Rejected(f"{name} must not contain NUL", field=name)


def check_country_code(code: str, name: str) -> None:
    """Raises `Rejected` unless `code` looks like ISO 3166-1 alpha-2."""
    if not _COUNTRY_CODE.fullmatch(code):
        raise Rejected(f"{name} must be two capital letters (ISO 3166-1 alpha-2)", field=name)
