"""The lessons: photos with what retrieval finds for each, so that prompts are what the house would put.

The queries are photos that the alignment model was not trained on: of its own training photos it knows the place by
heart, and references found for them would be better than any found in use.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from g3_alignment import AlignmentModel, fingerprint_of
from g3_dialogue import Contrast, Prompt, Reference
from g3_geography import haversine_km
from g3_kit.errors import Missing, Rejected
from numpy.typing import NDArray

from g3_training.measuring import encoded
from g3_training.sources import WorldSource
from g3_training.table import PhotoTable
from g3_training.writing import replacing

MOST = 15
"""References of one kind in a prompt: the most that a profile asks for."""
HARD_AWAY_KM = 750.0
"""A hard negative lies so far from the best match, as in the retrieval service."""
TRUSTED_KM = 25.0
"""A reference so near to the photo's place is a right answer: the "city" threshold of the benchmarks."""
FILE = "lessons.npz"
_BLOCK = 512
# Hard negatives are looked for among so many of the most similar: a world of 3,000 cities has them long before.
_DEEP = 512

Floats = NDArray[np.float16]
Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Lessons:
    """n photos and m references.

    `vectors` float16 [3, n, d] and `reference_vectors` [3, m, d]: what the alignment model gives; `similar`, `hard` and
    `farthest` int32 [n, 15]: rows of the references, -1 where there is none. `stated` says what it was made from.
    """

    photos: PhotoTable
    references: PhotoTable
    vectors: Floats
    reference_vectors: Floats
    similar: Rows
    hard: Rows
    farthest: Rows
    stated: dict[str, Any]

    def __len__(self) -> int:
        return len(self.photos)

    def prompt(self, row: int, count: int, contrast: Contrast) -> Prompt:
        """The prompt of photo `row` with `count` references of each kind."""
        others = self.hard if contrast is Contrast.HARD else self.farthest
        return Prompt(0, 1, self._shown(self.similar[row, :count]), self._shown(others[row, :count]), contrast=contrast)

    def wanted(self, row: int, count: int) -> tuple[float, float]:
        """Latitude and longitude that the lesson teaches as the answer: the nearest of the first `count` similar
        references if it lies within `TRUSTED_KM` of the photo's place, else that place.
        """
        place = self.photos.coordinates[row]
        shown = self.references.coordinates[self.similar[row, :count]]
        if count:
            away = haversine_km(place[0], place[1], shown[:, 0], shown[:, 1])
            if away.min() <= TRUSTED_KM:
                place = shown[int(away.argmin())]
        latitude, longitude = place.tolist()
        return latitude, longitude

    def names(self) -> list[tuple[str, str, str]]:
        """City, state and country of each reference."""
        places = [self.references.places[place] for place in self.references.place.tolist()]
        return [(names.city, names.state, names.country) for names in places]

    def _shown(self, rows: Rows) -> tuple[Reference, ...]:
        table = self.references
        shown = []
        for row in rows.tolist():
            if row < 0:
                break
            names = table.places[int(table.place[row])]
            said = dict.fromkeys(name for name in (names.city, names.state, names.country) if name)
            latitude, longitude = table.coordinates[row].tolist()
            shown.append(Reference(latitude, longitude, ", ".join(said)))
        return tuple(shown)


def make(
    model: AlignmentModel, photos: WorldSource, references: WorldSource, most: int, folder: Path, threads: int = 0
) -> Lessons:
    """Embeds photos and (the first `most`) references, searches exactly and writes `lessons.npz` into `folder`."""
    stated = {
        "alignment": fingerprint_of(model).full,
        "photos": photos.identity(),
        "references": references.identity(),
        "most": most,
    }
    known = encoded(model, references, most, threads).image.astype(np.float16)
    asked = encoded(model, photos, None, threads).image.astype(np.float16)
    if known.shape[1] <= MOST:
        raise Rejected(f"more than {MOST} references are needed.", field="references")
    found = [np.empty((asked.shape[1], MOST), np.int32) for _ in range(3)]
    where = references.table.coordinates[: known.shape[1]]
    for start in range(0, asked.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        for whole, nearest in zip(found, _retrieved(asked[:, part], known, where), strict=True):
            whole[part] = nearest
    rows: dict[str, Any] = dict(zip(("similar", "hard", "farthest"), found, strict=True))
    with replacing(folder / FILE) as draft, draft.open("wb") as file:
        np.savez(file, vectors=asked, reference_vectors=known, stated=np.array(json.dumps(stated)), **rows)
    return opened(folder, photos, references)


def opened(folder: Path, photos: WorldSource, references: WorldSource) -> Lessons:
    """The lessons of `folder`. Raises Missing when there are none, Rejected when they are of other photos."""
    if not (folder / FILE).exists():
        raise Missing(f"There are no lessons in {folder.name}: make them with g3-train lmm lessons.", field="lessons")
    with np.load(folder / FILE) as kept:
        stated = json.loads(str(kept["stated"]))
        if stated["photos"] != photos.identity() or stated["references"] != references.identity():
            raise Rejected("The lessons were made from other arrays: give the same ones.", field="lessons")
        names = ("vectors", "reference_vectors", "similar", "hard", "farthest")
        vectors, reference_vectors, similar, hard, farthest = (kept[name] for name in names)
    table = references.table.chosen(np.arange(reference_vectors.shape[1]))
    return Lessons(photos.table, table, vectors, reference_vectors, similar, hard, farthest, stated)


def key_of(lessons: Lessons) -> str:
    """SHA-256 of what the lessons were made from."""
    return hashlib.sha256(json.dumps(lessons.stated, sort_keys=True).encode()).hexdigest()


def _retrieved(asked: Floats, known: Floats, where: NDArray[np.float64]) -> tuple[Rows, Rows, Rows]:
    """As the retrieval service: by the mean of the three cosines, best first, ties by row."""
    cosines = sum(
        view.astype(np.float32) @ other.astype(np.float32).T for view, other in zip(asked, known, strict=True)
    )
    cosines = np.asarray(cosines)
    ordered = _first(-cosines, min(_DEEP, cosines.shape[1]))
    similar = ordered[:, :MOST]
    best = where[ordered[:, :1]]  # [n, 1, 2]
    places = where[ordered]  # [n, _DEEP, 2]
    away = haversine_km(best[..., 0], best[..., 1], places[..., 0], places[..., 1]) >= HARD_AWAY_KM
    away[:, :MOST] = False  # what was given as similar is not given again
    hard = np.full_like(similar, -1)
    rank = np.cumsum(away, axis=1) - 1
    rows, columns = np.nonzero(away & (rank < MOST))
    hard[rows, rank[rows, columns]] = ordered[rows, columns]
    return similar, hard, _first(cosines, MOST)


def _first(keys: NDArray[np.float32], count: int) -> Rows:
    """The columns with the `count` least keys of each row, least first."""
    part = np.argpartition(keys, count - 1, axis=1)[:, :count]
    part.sort(axis=1)
    order = np.argsort(np.take_along_axis(keys, part, axis=1), axis=1, kind="stable")
    return np.take_along_axis(part, order, axis=1).astype(np.int32)
