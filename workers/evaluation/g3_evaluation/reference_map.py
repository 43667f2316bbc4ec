"""Where the references of a collection lie, and whose they are: for ceilings, chance, and leaving out an author."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from g3_geography import distances_km
from g3_geography.coordinates import unit_vectors
from g3_kit.errors import Rejected
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from g3_evaluation.query_sets import Query
from g3_evaluation.services import Listed

_UNKNOWN = 0
_NEAR = 8  # the nearest on the sphere is not always the nearest on the ellipsoid, but it is among these


@dataclass(frozen=True)
class ReferenceMap:
    """n references without their names: 20 bytes each, 82 MB for MP16-Pro."""

    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]
    _authors: NDArray[np.int32]
    _codes: dict[str, int]

    @classmethod
    def of(cls, pages: Iterable[Listed]) -> "ReferenceMap":
        """Raises Rejected when there is no reference."""
        codes: dict[str, int] = {"": _UNKNOWN}
        latitudes, longitudes, authors = [], [], []
        for page in pages:
            latitudes.append(page.latitudes)
            longitudes.append(page.longitudes)
            authors.append(np.array([codes.setdefault(author, len(codes)) for author in page.authors], dtype=np.int32))
        if not sum(len(part) for part in latitudes):
            raise Rejected("The collection holds no references: ingest some first.", field="collection")
        return cls(np.concatenate(latitudes), np.concatenate(longitudes), np.concatenate(authors), codes)

    def __len__(self) -> int:
        return len(self.latitudes)

    def has_author(self, author: str) -> bool:
        """Whether any reference is by this author; an unknown one has none."""
        return bool(author) and author in self._codes

    @property
    def authors_known(self) -> bool:
        """Whether any reference states its author."""
        return len(self._codes) > 1

    def places_of(self, author: str) -> set[tuple[float, float]]:
        """The places where only this author has references: not to be answered with for a query of theirs."""
        if not self.has_author(author):
            return set()
        own = self._authors == self._codes[author]
        theirs = set(zip(self.latitudes[own].tolist(), self.longitudes[own].tolist(), strict=True))
        # Others may stand at the same spot; only rows near enough to matter are looked at.
        rows = np.flatnonzero(~own & np.isin(self.latitudes, self.latitudes[own]))
        others = zip(self.latitudes[rows].tolist(), self.longitudes[rows].tolist(), strict=True)
        return theirs - set(others)

    def nearest_km(self, queries: Sequence[Query]) -> NDArray[np.float64]:
        """How far the nearest reference lies from each query, [n] km: what no retrieval can beat.

        References by the query's own author do not count; infinity when there are no others.
        """
        tree = cKDTree(unit_vectors(self.latitudes, self.longitudes))
        found = np.full(len(queries), np.inf)
        for at, query in enumerate(queries):
            count = min(_NEAR, len(self))
            while not np.isfinite(found[at]):
                rows = self._near(tree, query, count)
                allowed = rows[self._allowed(rows, query.author)]
                if len(allowed):
                    found[at] = self._km(query, allowed).min()
                elif count == len(self):
                    break
                count = min(count * 8, len(self))
        return found

    def random_places(self, queries: Sequence[Query], seed: int) -> list[tuple[float, float] | None]:
        """A reference drawn for each query, not by its author; by its id, so that the others do not matter."""
        return [self._drawn(query, seed) for query in queries]

    def _near(self, tree: cKDTree, query: Query, count: int) -> NDArray[np.int64]:
        point = unit_vectors([query.coordinates.latitude], [query.coordinates.longitude])[0]
        _, rows = tree.query(point, k=count)
        return np.atleast_1d(np.asarray(rows, dtype=np.int64))

    def _allowed(self, rows: NDArray[np.int64], author: str) -> NDArray[np.bool_]:
        if not self.has_author(author):
            return np.ones(len(rows), dtype=bool)
        allowed: NDArray[np.bool_] = self._authors[rows] != self._codes[author]
        return allowed

    def _km(self, query: Query, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        where = query.coordinates
        return distances_km(where.latitude, where.longitude, self.latitudes[rows], self.longitudes[rows])

    def _drawn(self, query: Query, seed: int) -> tuple[float, float] | None:
        dice = np.random.default_rng([seed, zlib.crc32(query.id.encode())])
        if self.has_author(query.author):
            rows = np.flatnonzero(self._authors != self._codes[query.author])
            if not len(rows):
                return None
            row = int(rows[dice.integers(len(rows))])
        else:
            row = int(dice.integers(len(self)))
        return float(self.latitudes[row]), float(self.longitudes[row])
