"""Image→GPS search (GeoCLIP, Vivanco et al. 2023): which places of a gallery fit a photo best.

A gallery's vectors are computed once for each model, by one thread, while searches of other galleries and Score go on.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from g3_kit import logs
from g3_kit.errors import G3Error, Late, Rejected, TooLarge, Unavailable
from numpy.typing import NDArray

from g3_verification.gallery import Coordinates, Gallery, check_name, merged, valid
from g3_verification.gallery_search import nearest
from g3_verification.gallery_shelf import Shelf
from g3_verification.gallery_vectors import Shape, VectorFile
from g3_verification.scorer import Scorer
from g3_verification.verification import refusal, require_model, unit_vector

MAX_QUERIES = 256  # SearchGalleryRequest.gps_aligned in verification.proto
MAX_FOUND = 1_000  # SearchGalleryRequest.k
MAX_ERRORS = 1_000  # PutGalleryResponse.errors
MAX_GALLERIES = 64
_AGAIN_S = 5.0
_log = logs.get("g3_verification.galleries")


@dataclass(frozen=True)
class Sizes:
    """What is borne: coordinates a gallery, and bytes of vectors up to which float32 is kept instead of float16."""

    max_coordinates: int = 10_000_000
    float32_bytes: int = 1 << 30


@dataclass
class Put:
    """What became of a stream of coordinates."""

    gallery: Gallery
    received: int = 0
    refused: int = 0
    errors: dict[int, G3Error] = field(default_factory=dict)


Found = list[tuple[float, float, float]]
"""(latitude, longitude, cosine), best first."""


class Galleries:
    """The galleries of one shelf, for one scorer. Thread-safe; `close` it."""

    def __init__(self, scorer: Scorer, shelf: Shelf, sizes: Sizes | None = None) -> None:
        """Goes on with whatever the shelf has not finished for this model."""
        self._scorer = scorer
        self._shelf = shelf
        self._sizes = sizes or Sizes()
        self._writing = threading.Lock()
        # One search at a time: side by side they would share the same cores, and each needs its own block of memory.
        self._searching = threading.Lock()
        self._open: dict[str, NDArray[np.floating]] = {}
        self._problems: dict[str, str] = {}
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._builder = threading.Thread(target=self._build_all, name="galleries", daemon=True)
        self._wanted.set()
        self._builder.start()

    def put(self, name: str, pages: Iterable[Coordinates]) -> Put:
        """Keeps the coordinates of all pages under `name`, instead of what it meant before.

        Raises Rejected for a bad name or when no coordinate is valid, TooLarge for too many coordinates or galleries,
        Unavailable when the disk fails.
        """
        check_name(name)
        kept: list[Coordinates] = []
        received, refused, errors = 0, 0, dict[int, G3Error]()
        for page in pages:
            fits = valid(page)
            for row in np.flatnonzero(~fits)[: MAX_ERRORS - len(errors)]:
                reason = refusal(float(page[row, 0]), float(page[row, 1]), "coordinates")
                errors[received + int(row)] = reason or Rejected("These are no coordinates.", field="coordinates")
            kept.append(page[fits])
            received, refused = received + len(page), refused + int((~fits).sum())
            if received > self._sizes.max_coordinates:
                raise TooLarge(
                    f"A gallery has at most {self._sizes.max_coordinates} coordinates here.", field="coordinates"
                )
        if received == refused:
            raise Rejected("There is no valid coordinate: a gallery needs at least one.", field="coordinates")
        rows = merged(np.concatenate(kept))
        with self._writing:
            names = self._shelf.names()
            if name not in names and len(names) >= MAX_GALLERIES:
                raise TooLarge(f"There are {MAX_GALLERIES} galleries already: drop one first.", field="gallery")
            self._shelf.put(name, rows)
        self._wanted.set()
        return Put(self.describe(name), received, refused, errors)

    def describe(self, name: str) -> Gallery:
        """States a gallery. Raises Missing."""
        meaning = self._shelf.fingerprint(name)
        file = self._file(meaning)
        embedded = file.shape.rows if meaning in self._open else file.embedded
        if meaning not in self._open and embedded == file.shape.rows:
            embedded -= 1  # its checksums have not been compared yet
            self._wanted.set()
        shape = file.shape
        problem = self._problems.get(meaning, "")
        return Gallery(name, meaning, shape.rows, embedded, shape.precision, shape.bytes, problem)

    def galleries(self) -> list[Gallery]:
        """All of them, by name."""
        return [self.describe(name) for name in self._shelf.names()]

    def drop(self, name: str) -> None:
        """Forgets a gallery. Raises Missing."""
        with self._writing:
            meaning = self._shelf.fingerprint(name)
            self._shelf.drop(name)
            if not self._shelf.folder(meaning).exists():
                self._open.pop(meaning, None)

    def search(
        self,
        name: str,
        vectors: Sequence[tuple[bytes, int]],
        k: int,
        model: str,
        remaining_s: Callable[[], float | None] = lambda: None,
    ) -> tuple[str, list[Found | G3Error]]:
        """The gallery's fingerprint and, for each photo, its k best coordinates or what is wrong with its vector.

        `vectors`: (values, dimension) on the wire, as for `Verification.score`; `remaining_s` tells the seconds that
        the caller still waits. Raises Rejected for a bad k or no vectors, TooLarge, Mismatch for another model,
        Missing, Unavailable while the gallery's vectors are computed, Late.
        """
        if not vectors:
            raise Rejected("There are no vectors: send at least one.", field="gps_aligned")
        if len(vectors) > MAX_QUERIES:
            raise TooLarge(f"At most {MAX_QUERIES} vectors a call are taken, not {len(vectors)}.", field="gps_aligned")
        if not 1 <= k <= MAX_FOUND:
            raise Rejected(f"k must lie between 1 and {MAX_FOUND}.", field="k")
        require_model(model, self._scorer.model)
        meaning = self._shelf.fingerprint(name)
        outcomes = [self._query(values, dimension) for values, dimension in vectors]
        queries = [outcome for outcome in outcomes if not isinstance(outcome, G3Error)]
        found = iter(self._found(name, meaning, np.stack(queries), k, remaining_s) if queries else [])
        return meaning, [outcome if isinstance(outcome, G3Error) else next(found) for outcome in outcomes]

    def close(self) -> None:
        """Ends the thread; a gallery half done is gone on with at the next start."""
        self._closing.set()
        self._wanted.set()
        self._builder.join()

    def _query(self, values: bytes, dimension: int) -> NDArray[np.float32] | G3Error:
        try:
            return unit_vector(values, dimension, self._scorer.model.dimension)
        except Rejected as error:
            return error

    def _found(
        self, name: str, meaning: str, queries: NDArray[np.float32], k: int, remaining_s: Callable[[], float | None]
    ) -> list[Found]:
        vectors = self._open.get(meaning)
        if vectors is None:
            self._wanted.set()
            standing = self.describe(name)
            raise Unavailable(
                f"Gallery {name} is being prepared, {standing.embedded} of {standing.count} done: ask again. "
                f"{standing.problem}".strip(),
                retry_after_s=2.0,
            )
        coordinates = self._shelf.coordinates(meaning)

        def check() -> None:
            left_s = remaining_s()
            if left_s is not None and left_s <= 0:
                raise Late("The deadline passed during the search: give it a longer one, or send fewer vectors.")

        with self._searching:
            nearby = nearest(vectors, queries, k, check)
        return [
            [(*coordinates[row].tolist(), cosine) for row, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)]
            for rows, cosines in nearby
        ]

    # --- computing the vectors ----------------------------------------------------------------------------------

    def _file(self, meaning: str) -> VectorFile:
        rows, dimension = len(self._shelf.coordinates(meaning)), self._scorer.model.dimension
        precision = "float32" if 4 * rows * dimension <= self._sizes.float32_bytes else "float16"
        return VectorFile(
            self._shelf.folder(meaning), self._scorer.model.fingerprint, Shape(rows, dimension, precision)
        )

    def _build_all(self) -> None:
        while not self._closing.is_set():
            self._wanted.clear()
            meanings = self._meanings()
            for gone in self._open.keys() - set(meanings):
                self._open.pop(gone, None)
            left = [meaning for meaning in meanings if meaning not in self._open]
            done = [self._built(meaning) for meaning in left]
            # What could not be finished, here or by another process, is looked at again by and by.
            self._wanted.wait(None if all(done) else _AGAIN_S)

    def _meanings(self) -> list[str]:
        try:
            return list(dict.fromkeys(self._shelf.fingerprint(name) for name in self._shelf.names()))
        except (G3Error, OSError) as error:
            _log.warning("the galleries cannot be listed", reason=str(error))
            return []

    def _built(self, meaning: str) -> bool:
        try:
            file = self._file(meaning)
            if not file.build(self._shelf.coordinates(meaning), self._scorer.vectors, self._closing.is_set):
                return False
            self._open[meaning] = file.open()
        except (G3Error, OSError) as error:
            # The thread must live on: the reason is told by DescribeGallery and in the log, and it tries again.
            self._problems[meaning] = str(error)
            _log.warning("a gallery cannot be prepared", gallery=meaning[:12], reason=str(error))
            return False
        self._problems.pop(meaning, None)
        _log.info("a gallery is ready", gallery=meaning[:12], coordinates=file.shape.rows)
        return True
