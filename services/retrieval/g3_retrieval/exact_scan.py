"""The true neighbours of some queries, by reading every stored vector once, block by block, in bounded memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from g3_geography import EARTH_RADIUS_KM, Coordinates, distances_km
from numpy.typing import NDArray

from g3_retrieval.kinds import Sample
from g3_retrieval.listing import Page
from g3_retrieval.ranking import HARD_AWAY_KM, MAX_RANKED
from g3_retrieval.references import Match, Vectors

TIE = 2e-6
"""Inner products this near are a tie: answers are rounded to six decimals."""
_SURE = 0.01
"""Share by which the sphere's distance may differ from the geodesic: 0.6 % at most."""


@dataclass(slots=True)
class Asked:
    """One query, and what the collection's own search answered."""

    query: Vectors
    """float32 [3d]"""
    similar: Sequence[Match]
    hard: Sequence[Match]
    farthest: Sequence[Match]
    truth: dict[str, tuple[float, bool]] = field(default_factory=dict)
    """By id of what was answered: its true inner product, and whether it lies far from the best match."""

    @property
    def anchor(self) -> Coordinates | None:
        """The place of the best match, which hard negatives lie far from."""
        return self.similar[0].reference.coordinates if self.similar else None


class ExactScan:
    """Running best inner products of each query: of all, of all far away, and (negated) of the sample of farthest.

    Memory: 3 · k floats a query, one block, and `MAX_RANKED` floats for queries with fewer than k hard negatives.
    """

    def __init__(self, asked: Sequence[Asked], k: int, sample: Sample | None) -> None:
        """Nothing read yet."""
        self._asked = asked
        self._sample = sample
        self._queries = np.stack([one.query for one in asked])
        self._degrees = _degrees([one.anchor or Coordinates(0.0, 0.0) for one in asked])
        self._answers: dict[str, list[Asked]] = {}
        for one in asked:
            for match in (*one.similar, *one.hard, *one.farthest):
                self._answers.setdefault(match.reference.id, []).append(one)
        self._row_of = {id(one): row for row, one in enumerate(asked)}
        shape = (len(asked), k)
        self.similar, self.hard, self.opposite = (np.full(shape, -np.inf, np.float32) for _ in range(3))
        # A list is walked `MAX_RANKED` deep for hard negatives: what lies deeper is not missed.
        self._deep: dict[int, NDArray[np.float32]] = {
            row: np.zeros(0, np.float32) for row, one in enumerate(asked) if len(one.hard) < k
        }
        self.read = 0

    def add(self, page: Page) -> None:
        """Read one block; it has vectors."""
        if page.stored is None or not page.references:
            return
        products = self._queries @ page.stored.T
        far = self._far(page)
        self.read += len(page.references)
        self.similar = _best(self.similar, products)
        self.hard = _best(self.hard, np.where(far, products, -np.inf))
        opposite = -products
        if self._sample is not None:
            outside = np.array([not self._sample.holds(reference.id) for reference in page.references])
            opposite[:, outside] = -np.inf
        self.opposite = _best(self.opposite, opposite)
        for row, deep in self._deep.items():
            joined = np.concatenate([deep, products[row]])
            kept = min(MAX_RANKED, len(joined))
            self._deep[row] = np.partition(joined, len(joined) - kept)[len(joined) - kept :]
        for column, reference in enumerate(page.references):
            for one in self._answers.get(reference.id, ()):
                row = self._row_of[id(one)]
                one.truth[reference.id] = (float(products[row, column]), bool(far[row, column]))

    def reachable_hard(self, row: int) -> NDArray[np.float32]:
        """The true products of the hard negatives that a walk `MAX_RANKED` deep can reach, best first."""
        deep = self._deep.get(row)
        floor = float(deep.min()) if deep is not None and len(deep) == MAX_RANKED else -np.inf
        return finite(self.hard[row][self.hard[row] >= floor])

    def _far(self, page: Page) -> NDArray[np.bool_]:
        """Whether each reference lies far from the anchor of each query, bool [queries, rows]."""
        degrees = _degrees([reference.coordinates for reference in page.references])
        angles = np.arccos(np.clip(_on_sphere(self._degrees) @ _on_sphere(degrees).T, -1.0, 1.0))
        km = angles * EARTH_RADIUS_KM
        far: NDArray[np.bool_] = km >= HARD_AWAY_KM
        rows, columns = np.nonzero(np.abs(km - HARD_AWAY_KM) < _SURE * HARD_AWAY_KM)
        if len(rows):
            anchors, others = self._degrees[rows], degrees[columns]
            geodesic = distances_km(anchors[:, 0], anchors[:, 1], others[:, 0], others[:, 1])
            far[rows, columns] = geodesic >= HARD_AWAY_KM
        return far


def found(one: Asked, matches: Sequence[Match], true: NDArray[np.float32], *, sign: float, far: bool) -> float:
    """Share of the `true` best products (best first) that `matches` hold, each id once; 1 when there are none."""
    if not len(true):
        return 1.0
    least = float(true[-1]) - TIE
    truths: Mapping[str, tuple[float, bool]] = one.truth
    right = 0
    for identity in {match.reference.id for match in matches}:
        product, away = truths.get(identity, (-sign * np.inf, False))
        right += sign * product >= least and (away or not far)
    return min(right, len(true)) / len(true)


def _best(running: NDArray[np.float32], block: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest k of both, largest first, float32 [queries, k]."""
    k = running.shape[1]
    joined = np.concatenate([running, block], axis=1)
    largest = np.partition(joined, joined.shape[1] - k, axis=1)[:, joined.shape[1] - k :]
    return np.asarray(-np.sort(-largest, axis=1), np.float32)


def finite(products: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without the places that nothing has taken yet."""
    return products[np.isfinite(products)]


def _degrees(places: Sequence[Coordinates]) -> NDArray[np.float64]:
    return np.array([(place.latitude, place.longitude) for place in places], np.float64).reshape(-1, 2)


def _on_sphere(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    latitude, longitude = np.radians(degrees[:, 0]), np.radians(degrees[:, 1])
    flat = np.cos(latitude)
    return np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], axis=1)
