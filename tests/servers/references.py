"""References to fill an index with, and what an exact search over them must find, told by numpy alone."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from g3_geography import Coordinates, Place, distance_km
from g3_retrieval.index import Index
from g3_retrieval.ranking import HARD_AWAY_KM
from g3_retrieval.references import (
    Filter,
    Found,
    ImageVectors,
    Match,
    Reference,
    ReferenceVectors,
    RetrievalVector,
    Search,
)
from numpy.typing import NDArray

MODEL = "a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90"
OTHER_MODEL = MODEL[::-1]
DIMENSION = 8
CODES = ("FR", "DE", "NZ", "FJ", "")

HOSTILE = (
    '"',
    "'",
    "\\",
    'quote"inside',
    "back\\slash",
    "ends in a backslash\\",
    '\\"',
    "\\\\n",
    "\\u0041",
    'x" or id != "',
    '"] or id in ["',
    "x' || 'y",
    "a'b\"c\\d",
    "{placeholder}",
    "%_like%",
    "tab\there",
    "line\nbreak\r\n",
    "bell\x07",
    " spaces at both ends ",
    "Zürich — 北京 Ελλάδα",
    "🗺️ 👩‍🚀",
    "e\u0301 is not \u00e9",
    "\u2028\ufeff\u202e",
)
"""Texts that a careless filter expression breaks on. No two are equal."""


@dataclass(frozen=True)
class Row:
    """One expected answer."""

    id: str
    similarity: float


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows of length 1, float32."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def sample(count: int, *, seed: int = 0, dimension: int = DIMENSION, prefix: str = "photo") -> ReferenceVectors:
    """`count` references with random vectors, places and authors; the same for the same seed."""
    generator = np.random.default_rng(seed)
    clip, text_aligned, gps_aligned = (unit(generator.normal(size=(count, dimension))) for _ in range(3))
    references = tuple(
        Reference(
            f"{prefix}-{row:05}",
            Coordinates(float(generator.uniform(-90, 90)), float(generator.uniform(-180, 180))),
            Place(f"city {row}", "a state", "a country", CODES[row % len(CODES)]),
            f"author {row % 7}",
        )
        for row in range(count)
    )
    return ReferenceVectors(references, clip, text_aligned, gps_aligned)


def clustered(count: int, *, dimension: int = 32, clusters: int = 60, seed: int = 0) -> ReferenceVectors:
    """As `sample`, with vectors about `clusters` centres: what photos look like, and where approximate search errs."""
    drawn, generator = sample(count, seed=seed, dimension=dimension), np.random.default_rng([seed, 1])
    member = generator.integers(clusters, size=count)

    def near() -> NDArray[np.float32]:
        centres = unit(generator.normal(size=(clusters, dimension)))
        return unit(centres[member] + 0.6 * unit(generator.normal(size=(count, dimension))))

    return ReferenceVectors(drawn.references, near(), near(), near())


def named(ids: Sequence[str], *, seed: int = 0, texts: Sequence[str] = ()) -> ReferenceVectors:
    """References with these ids, and with `texts` as authors and names of places."""
    drawn = sample(len(ids), seed=seed)
    words = texts or ids
    references = tuple(
        Reference(name, old.coordinates, Place(word, word, word, "FR"), word)
        for name, word, old in zip(ids, words, drawn.references, strict=True)
    )
    return ReferenceVectors(references, drawn.clip, drawn.text_aligned, drawn.gps_aligned)


def at(places: Sequence[tuple[float, float]], *, seed: int = 0) -> ReferenceVectors:
    """References at these latitudes and longitudes."""
    drawn = sample(len(places), seed=seed)
    references = tuple(
        Reference(old.id, Coordinates(*place), old.place, old.author)
        for old, place in zip(drawn.references, places, strict=True)
    )
    return ReferenceVectors(references, drawn.clip, drawn.text_aligned, drawn.gps_aligned)


def taken(references: ReferenceVectors, rows: slice | Sequence[int]) -> ReferenceVectors:
    """Some rows."""
    numbers = range(len(references))[rows] if isinstance(rows, slice) else rows
    chosen = list(numbers)
    return ReferenceVectors(
        tuple(references.references[row] for row in chosen),
        references.clip[chosen],
        references.text_aligned[chosen],
        references.gps_aligned[chosen],
    )


def photo(references: ReferenceVectors, row: int) -> ImageVectors:
    """The vectors of one row."""
    return ImageVectors(references.clip[row], references.text_aligned[row], references.gps_aligned[row])


def query(seed: int = 99, dimension: int = DIMENSION) -> ImageVectors:
    """A photo that is no reference."""
    return photo(sample(1, seed=seed, dimension=dimension), 0)


def cosines(references: ReferenceVectors, asked: ImageVectors, compared: RetrievalVector) -> NDArray[np.float64]:
    """The mean cosine of each row over the compared vectors, float64 [n], rounded as answers are."""
    names = {
        RetrievalVector.ALL: ("clip", "text_aligned", "gps_aligned"),
        RetrievalVector.CLIP: ("clip",),
        RetrievalVector.CLIP_GPS: ("clip", "gps_aligned"),
    }[compared]
    each = [getattr(references, name).astype(np.float64) @ getattr(asked, name).astype(np.float64) for name in names]
    return np.asarray(np.round(np.mean(each, axis=0), 6), dtype=np.float64)


def passing(references: ReferenceVectors, wanted: Filter) -> list[int]:
    """The rows that a filter lets through."""
    box = wanted.bounding_box
    return [
        row
        for row, reference in enumerate(references.references)
        if (not wanted.country_codes or reference.place.country_code in wanted.country_codes)
        and (box is None or reference.coordinates in box)
        and reference.id not in wanted.excluded_ids
        and reference.author not in wanted.excluded_authors
    ]


def nearest(
    references: ReferenceVectors,
    asked: ImageVectors,
    compared: RetrievalVector = RetrievalVector.ALL,
    wanted: Filter | None = None,
    *,
    sign: float = 1.0,
) -> list[Row]:
    """Every row that passes, most similar first (least with `sign` -1), ties by id."""
    scores = cosines(references, asked, compared)
    rows = [Row(references.references[row].id, float(scores[row])) for row in passing(references, wanted or Filter())]
    return sorted(rows, key=lambda row: (-sign * row.similarity, row.id))


def hard_negatives(references: ReferenceVectors, asked: ImageVectors, count: int, similar: int) -> list[Row]:
    """The most similar ones far from the best, without those already given as similar."""
    ranked = nearest(references, asked)
    coordinates = {reference.id: reference.coordinates for reference in references.references}
    best = coordinates[ranked[0].id]
    far = [row for row in ranked[similar:] if distance_km(best, coordinates[row.id]) >= HARD_AWAY_KM]
    return far[:count]


def rows_of(matches: Sequence[Match]) -> list[Row]:
    """What was found, in the form of what is expected."""
    return [Row(match.reference.id, match.similarity) for match in matches]


def found_ids(found: Found) -> set[str]:
    """The ids of the similar ones."""
    return {match.reference.id for match in found.similar}


def assert_same(found: list[Row], expected: list[Row]) -> None:
    """The same ids in the same order, similarities to 1e-5."""
    assert [row.id for row in found] == [row.id for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert abs(row.similarity - other.similarity) <= 1e-5, (row, other)


def new_name() -> str:
    """A name that no other test uses."""
    return f"v_{uuid.uuid4().hex[:12]}"


def search(index: Index, collection: str, **changes: object) -> Found:
    """Ask for the ten most similar to a fixed photo, or as `changes` say."""
    asked = Search(collection, MODEL, query(), similar=10)
    return index.search(replace(asked, **changes))  # type: ignore[arg-type]
