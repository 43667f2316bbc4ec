"""References with random unit vectors at random places, and what a search over them must find, by plain numpy."""

from collections.abc import Sequence

import numpy as np
from g3_geography import Coordinates, Place
from g3_retrieval.references import ImageVectors, Reference, ReferenceVectors, RetrievalVector, Vectors

MODEL = "a" * 64
OTHER_MODEL = "b" * 64
COUNTRIES = (("France", "FR"), ("Fiji", "FJ"), ("Chile", "CL"), ("", ""))


def unit(rows: np.ndarray) -> Vectors:  # type: ignore[type-arg]
    """Rows of length 1, float32."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def vectors(seed: int, dimension: int = 8) -> ImageVectors:
    """The three vectors of one photo."""
    generator = np.random.default_rng(seed)
    clip, text, gps = unit(generator.normal(size=(3, dimension)))
    return ImageVectors(clip, text, gps)


def reference(name: str, *, at: tuple[float, float] = (0.0, 0.0), code: str = "", author: str = "") -> Reference:
    """One reference with little said about it."""
    return Reference(name, Coordinates(*at), Place("", "", "", code), author)


def references(count: int, *, seed: int = 0, dimension: int = 8, prefix: str = "r") -> ReferenceVectors:
    """`count` of them, spread over the world, four countries and five authors."""
    generator = np.random.default_rng(seed)
    clip, text, gps = unit(generator.normal(size=(3, count, dimension)))
    latitudes = np.degrees(np.arcsin(generator.uniform(-1, 1, count)))
    longitudes = generator.uniform(-180, 180, count)
    made = []
    for number in range(count):
        country, code = COUNTRIES[number % 4]
        where = Coordinates(float(latitudes[number]), float(longitudes[number]))
        author = f"author {number % 5}" if number % 5 else ""
        made.append(Reference(f"{prefix}{number:05d}", where, Place(f"city {number}", "", country, code), author))
    return ReferenceVectors(tuple(made), clip, text, gps)


def paired(items: Sequence[tuple[Reference, ImageVectors]]) -> ReferenceVectors:
    """Single ones together."""
    return ReferenceVectors.of(list(items), items[0][1].dimension)


def similarities(asked: ImageVectors, stored: ReferenceVectors, compared: RetrievalVector) -> np.ndarray:  # type: ignore[type-arg]
    """The mean of the cosines over the compared vectors, float64 [n]: the definition, with no trick in it."""
    cosines = {
        "clip": stored.clip.astype(np.float64) @ asked.clip.astype(np.float64),
        "text": stored.text_aligned.astype(np.float64) @ asked.text_aligned.astype(np.float64),
        "gps": stored.gps_aligned.astype(np.float64) @ asked.gps_aligned.astype(np.float64),
    }
    taken = {
        RetrievalVector.ALL: ("clip", "text", "gps"),
        RetrievalVector.CLIP: ("clip",),
        RetrievalVector.CLIP_GPS: ("clip", "gps"),
    }[compared]
    return np.asarray(np.mean([cosines[name] for name in taken], axis=0))
