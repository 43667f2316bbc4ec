"""How much of the true answer a collection's own search gives: measured, because an index may report success and lie.

A GPU index was seen to return random neighbours without an error. So the queries are photos near stored ones, not the
stored ones themselves; what counts as true is computed here from the stored vectors, never taken from the index; and
what the index found is judged by its true similarity, not by the one that the index states.
"""

import heapq
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from g3_kit import logs
from g3_kit.errors import Conflict, Late, Missing, Rejected, Unavailable, Unmet

from g3_retrieval.exact_scan import Asked, ExactScan, finite, found
from g3_retrieval.index import Index
from g3_retrieval.kinds import Sample, rank
from g3_retrieval.references import Dissimilar, Filter, Found, ImageVectors, RetrievalVector, Search, Vectors, Version

MAX_SAMPLE, MAX_K = 1_000, 100
_IDS_A_PAGE, _VECTORS_A_PAGE = 10_000, 1_000
_SAID_EVERY = 50
_KEPT = 4
"""Measurements that can be gone on with."""
_log = logs.get("g3_retrieval.recall")

Stopped = Callable[[], bool]
"""Whether the caller has gone, or its deadline has passed."""


def never() -> bool:
    """Nothing stops it."""
    return False


@dataclass(frozen=True, slots=True)
class Question:
    """How recall is measured."""

    sample: int = 200
    """Queries."""
    k: int = 10
    """Neighbours compared."""
    seed: int = 0
    noise: float = 0.3
    """Length of the random step that moves each of the three unit vectors; 0.3 leaves a cosine of 0.96."""

    def check(self) -> None:
        """Raises `Rejected` when it cannot be asked."""
        if not 1 <= self.sample <= MAX_SAMPLE:
            raise Rejected(f"sample must lie between 1 and {MAX_SAMPLE}", field="sample")
        if not 1 <= self.k <= MAX_K:
            raise Rejected(f"k must lie between 1 and {MAX_K}", field="k")
        if not 0.0 <= self.noise <= 1.0:
            raise Rejected("noise must lie between 0 and 1", field="noise")


USUAL = Question()


@dataclass(frozen=True, slots=True)
class Recall:
    """Over the queries: the mean and the worst share of the true neighbours found, and the share of perfect answers."""

    mean: float
    worst: float
    perfect: float

    @staticmethod
    def of(shares: Sequence[float]) -> "Recall":
        """From the share of each query."""
        return Recall(float(np.mean(shares)), float(np.min(shares)), float(np.mean([share == 1.0 for share in shares])))


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured. `farthest` is among `farthest_sample` references, if that is not 0, else among all."""

    collection: str
    similar: Recall
    hard: Recall
    farthest: Recall
    references: int
    sample: int
    k: int
    farthest_sample: int

    def check(self, minimum: float) -> None:
        """Raises `Unmet` unless each recall is at least `minimum`."""
        if min(self.similar.mean, self.hard.mean, self.farthest.mean) < minimum:
            raise Unmet(f"{self}; the least is {minimum:g}, so it is not published", field="minimum_recall")

    def __str__(self) -> str:
        return (
            f"recall@{self.k} of {self.collection!r} over {self.sample} queries is {self.similar.mean:.3f} similar, "
            f"{self.hard.mean:.3f} hard, {self.farthest.mean:.3f} farthest"
        )


class Gauge:
    """One measurement of one version, which goes on where it stood when it is asked again."""

    def __init__(self, index: Index, version: Version, question: Question) -> None:
        """Nothing done yet."""
        self._index = index
        self._version = version
        self._question = question
        self._lock = threading.Lock()
        # The `sample` ids of lowest rank under this seed, as a heap of (-rank, the id before it in the listing).
        self._chosen: list[tuple[int, str]] = []
        self._listed_to: str | None = ""
        self._references = 0
        self._queries: list[ImageVectors] = []
        self._asked: list[Asked] = []
        self._scan: ExactScan | None = None
        self._scanned_to: str | None = ""
        self._sample: Sample | None = None

    def measure(self, stopped: Stopped) -> Measured:
        """The recall. Raises `Late` when `stopped`, `Conflict` while another call measures it, `Unmet` when empty.

        Writes meanwhile make it lower than it is.
        """
        if not self._lock.acquire(blocking=False):
            raise Conflict("this is being measured by another call", field="collection")
        try:
            if self._listed_to == "":
                self._index.seal(self._version.name)
            self._choose(stopped)
            self._draw(stopped)
            self._ask(stopped)
            self._read(stopped)
            return self._judged()
        finally:
            self._lock.release()

    def _choose(self, stopped: Stopped) -> None:
        while self._listed_to is not None:
            _check(stopped, f"{self._references} ids are listed")
            page = self._index.listed(self._version, self._listed_to, _IDS_A_PAGE, Filter(), False)
            before = self._listed_to
            for reference in page.references:
                mine = (-rank(f"{self._question.seed}:{reference.id}"), before)
                if len(self._chosen) < self._question.sample:
                    heapq.heappush(self._chosen, mine)
                elif mine > self._chosen[0]:
                    heapq.heapreplace(self._chosen, mine)
                before = reference.id
            self._references += len(page.references)
            self._listed_to = before if len(page.references) == _IDS_A_PAGE else None
        if not self._chosen:
            raise Unmet(f"{self._version.name!r} holds no reference: there is no recall", field="collection")

    def _draw(self, stopped: Stopped) -> None:
        for number, (_, before) in enumerate(sorted(self._chosen)):
            if number < len(self._queries):
                continue
            _check(stopped, f"{number} of {len(self._chosen)} queries are drawn")
            page = self._index.listed(self._version, before, 1, Filter(), True)
            if page.stored is None or not len(page.stored):
                raise Missing("references went away while recall was measured", field="collection")
            self._queries.append(self._moved(page.stored[0], number))

    def _moved(self, stored: Vectors, number: int) -> ImageVectors:
        """A photo near a stored one: each of its three vectors takes a random step of length `noise`."""
        generator = np.random.default_rng([self._question.seed, number])
        three = stored.reshape(3, -1).astype(np.float64) * np.sqrt(3.0)
        steps = generator.normal(size=three.shape)
        moved = three + self._question.noise * steps / np.linalg.norm(steps, axis=1, keepdims=True)
        unit = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
        return ImageVectors(*unit)

    def _ask(self, stopped: Stopped) -> None:
        k = self._question.k
        for number in range(len(self._asked), len(self._queries)):
            _check(stopped, f"{number} of {len(self._queries)} queries are asked")
            near = self._search(number, similar=k).similar
            hard = self._search(number, dissimilar=k, dissimilar_kind=Dissimilar.HARD).dissimilar
            far = self._search(number, dissimilar=k, dissimilar_kind=Dissimilar.FARTHEST).dissimilar
            self._asked.append(Asked(self._queries[number].query(RetrievalVector.ALL), near, hard, far))

    def _search(
        self, number: int, similar: int = 0, dissimilar: int = 0, dissimilar_kind: Dissimilar = Dissimilar.NONE
    ) -> Found:
        name, model, query = self._version.name, self._version.model, self._queries[number]
        return self._index.search(Search(name, model, query, RetrievalVector.ALL, similar, dissimilar, dissimilar_kind))

    def _read(self, stopped: Stopped) -> None:
        if self._scan is None:
            self._sample = self._index.sample(self._version)
            self._scan = ExactScan(self._asked, self._question.k, self._sample)
        pages = 0
        while self._scanned_to is not None:
            _check(stopped, f"{self._scan.read} of {self._references} references are read")
            page = self._index.listed(self._version, self._scanned_to, _VECTORS_A_PAGE, Filter(), True)
            self._scan.add(page)
            whole = len(page.references) == _VECTORS_A_PAGE
            self._scanned_to = page.references[-1].id if whole else None
            pages += 1
            if pages % _SAID_EVERY == 0:
                _log.info(
                    "recall is being measured",
                    collection=self._version.name,
                    read=self._scan.read,
                    of=self._references,
                )

    def _judged(self) -> Measured:
        scan = self._scan
        if scan is None:
            raise RuntimeError("nothing was read")
        similar, hard, farthest = [], [], []
        for row, one in enumerate(self._asked):
            true = finite(scan.similar[row])
            similar.append(found(one, one.similar, true, sign=1.0, far=False))
            # With another best match, hard negatives lie far from another place: those answers count for nothing.
            best = one.similar[0].reference.id if one.similar else ""
            anchored = bool(len(true)) and found(one, one.similar[:1], true[:1], sign=1.0, far=False) == 1.0
            share = found(one, one.hard, scan.reachable_hard(row), sign=1.0, far=True)
            hard.append(share if anchored and best else 0.0)
            farthest.append(found(one, one.farthest, finite(scan.opposite[row]), sign=-1.0, far=False))
        size = self._sample.size if self._sample else 0
        kinds = (Recall.of(similar), Recall.of(hard), Recall.of(farthest))
        measured = Measured(self._version.name, *kinds, scan.read, len(self._asked), self._question.k, size)
        _log.info("recall measured", collection=self._version.name, said=str(measured))
        return measured


class Gauges:
    """The measurements under way, or cut off and waiting for their callers to come back. Thread-safe."""

    def __init__(self, index: Index) -> None:
        """Measure what `index` holds."""
        self._index = index
        self._lock = threading.Lock()
        self._kept: dict[tuple[Version, Question], Gauge] = {}

    def measure(self, version: Version, question: Question, stopped: Stopped) -> Measured:
        """See `Gauge.measure`; what was cut off is gone on with unless the version was written to since, from here."""
        asked = (version, question)
        with self._lock:
            gauge = self._kept.pop(asked, None) or Gauge(self._index, version, question)
            self._kept[asked] = gauge
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        try:
            measured = gauge.measure(stopped)
        except (Late, Unavailable, Conflict):
            raise
        except BaseException:
            self._forget(asked, gauge)
            raise
        self._forget(asked, gauge)
        return measured

    def written(self, name: str) -> None:
        """A version is written to: what was read of it says nothing any more."""
        with self._lock:
            self._kept = {asked: gauge for asked, gauge in self._kept.items() if asked[0].name != name}

    def _forget(self, asked: tuple[Version, Question], gauge: Gauge) -> None:
        with self._lock:
            if self._kept.get(asked) is gauge:
                del self._kept[asked]


def _check(stopped: Stopped, done: str) -> None:
    if stopped():
        raise Late(f"{done}; ask the same again to go on")
