"""One collection version in memory: an exact FAISS index and what is known of each of its rows."""

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import faiss
import numpy as np
from g3_geography import Coordinates
from g3_kit.errors import Missing
from numpy.typing import NDArray

from g3_retrieval.answers import answer, answers
from g3_retrieval.faiss_approximate import FaissApproximate
from g3_retrieval.faiss_segments import FaissSegments, Segment
from g3_retrieval.kinds import Plan
from g3_retrieval.listing import Page
from g3_retrieval.ranking import Ranked
from g3_retrieval.references import (
    Filter,
    ManySearch,
    Match,
    Reference,
    ReferenceVectors,
    Search,
    Vectors,
    Version,
    similarity,
)

_GPU_MOST = 2_048
"""The most neighbours that FAISS finds on a GPU at once."""
_GRAPH_MOST = 4_096
"""Neighbours beyond which comparing every row costs no more than walking an approximate index."""
_SHARE_FOR_A_GRAPH = 0.1
"""When a filter lets less than this share of the rows pass, a graph is mostly walked in vain: they are compared all."""
_Nearest = Callable[[Vectors, int, NDArray[np.bool_]], tuple[NDArray[np.float32], NDArray[np.int64]]]


class FaissCollection:
    """Rows are appended; a replaced one is marked dead, and the index is made anew when a quarter is dead."""

    def __init__(self, version: Version, plan: Plan, folder: Path, device: int | None) -> None:
        """Replay what `folder` holds. `device` is the number of a GPU, None for the CPU."""
        self.version = version
        self.plan = plan
        self.dropped = False
        self.lock = threading.RLock()
        self._device = device
        self._gpu: faiss.Index | None = None
        self._approximate: FaissApproximate | None = None
        self._in_order: list[str] | None = None
        self._segments = FaissSegments(folder)
        self._clear()
        for segment in self._segments.replay():
            self._add(segment)
        if self._segments.many:
            self._segments.snapshot(self._living())

    def __len__(self) -> int:
        return len(self._row_of)

    def upsert(self, references: ReferenceVectors) -> int:
        """See `Index.upsert`; on disk first, in memory afterwards."""
        segment = Segment(references.references, references.stored())
        with self.lock:
            self._alive()
            self._segments.append(segment)
            self._add(segment)
        return len(segment.references)

    def search(self, search: Search) -> tuple[tuple[Match, ...], tuple[Match, ...]]:
        """The similar and the dissimilar references, both of one moment."""
        with self.lock:
            self._alive()
            mask = self._passing(search.filter)
            nearest = self._search_of(mask)
            return answer(
                search,
                lambda query: self._ranked(query, mask, nearest),
                lambda query: self._ranked(query, mask, self._nearest),
            )

    def seal(self) -> None:
        """See `Index.seal`. Searches and writes wait meanwhile."""
        with self.lock:
            self._alive()
            if not self.plan.kind.approximate or not self._index.ntotal:
                return
            if self._approximate is None:
                self._approximate = FaissApproximate(self._index, self.plan)
            else:
                self._approximate.extend(self._index)

    def search_many(self, search: ManySearch) -> tuple[tuple[Match, ...], ...]:
        """The similar references of each photo, all of one moment."""
        with self.lock:
            self._alive()
            mask = self._passing(search.filter)
            nearest = self._search_of(mask)
            return answers(
                search,
                lambda queries, limit: self._best(queries, limit, mask, nearest),
                lambda query: self._ranked(query, mask, nearest),
            )

    def held(self, ids: Sequence[str]) -> Sequence[str]:
        """Those of `ids` that are here, in the order asked."""
        with self.lock:
            self._alive()
            return [asked for asked in ids if asked in self._row_of]

    def listed(self, after: str, limit: int, wanted: Filter, with_vectors: bool) -> Page:
        """See `Index.listed`."""
        with self.lock:
            self._alive()
            if self._in_order is None:
                self._in_order = sorted(self._row_of)
            mask = self._passing(wanted)
            coming = (self._row_of[asked] for asked in self._in_order[bisect_right(self._in_order, after) :])
            rows = list(islice((row for row in coming if mask[row]), limit))
            stored = self._index.reconstruct_batch(np.array(rows, np.int64)) if with_vectors and rows else None
            if with_vectors and not rows:
                stored = np.zeros((0, 3 * self.version.dimension), np.float32)
            return Page(tuple(self._references[row] for row in rows), stored)

    def _alive(self) -> None:
        if self.dropped:
            raise Missing(f"there is no collection {self.version.name!r}", field="collection")

    def _clear(self) -> None:
        self._index = faiss.IndexFlatIP(3 * self.version.dimension)
        self._references: list[Reference] = []
        self._row_of: dict[str, int] = {}
        self._live: list[bool] = []
        self._in_order = None
        self._gpu = None
        # Rows get new numbers: what is approximate is made again when next sealed, and searches are exact until then.
        self._approximate = None

    def _add(self, segment: Segment) -> None:
        for reference in segment.references:
            replaced = self._row_of.get(reference.id)
            if replaced is not None:
                self._live[replaced] = False
            else:
                self._in_order = None
            self._row_of[reference.id] = len(self._references)
            self._references.append(reference)
            self._live.append(True)
        self._index.add(np.ascontiguousarray(segment.vectors))
        self._gpu = None
        if len(self._references) > 1_000 and len(self._row_of) < 0.75 * len(self._references):
            living = self._living()
            self._clear()
            self._add(living)

    def _living(self) -> Segment:
        rows = np.flatnonzero(self._live)
        vectors = self._index.reconstruct_n(0, self._index.ntotal) if self._index.ntotal else np.zeros((0, 0))
        return Segment(tuple(self._references[row] for row in rows), np.asarray(vectors, np.float32)[rows])

    def _passing(self, wanted: Filter) -> NDArray[np.bool_]:
        """Which rows may be found, bool [rows]."""
        mask = np.array(self._live, dtype=bool)
        if wanted.passes_all:
            return mask
        for identity in wanted.excluded_ids:
            if (row := self._row_of.get(identity)) is not None:
                mask[row] = False
        if wanted.country_codes:
            codes = set(wanted.country_codes)
            mask &= self._each(lambda reference: reference.place.country_code in codes)
        if wanted.excluded_authors:
            authors = set(wanted.excluded_authors)
            mask &= self._each(lambda reference: reference.author not in authors)
        if wanted.bounding_box is not None and len(mask):
            places: list[Coordinates] = [reference.coordinates for reference in self._references]
            mask &= wanted.bounding_box.contains(
                [place.latitude for place in places], [place.longitude for place in places]
            )
        return mask

    def _each(self, passes: Callable[[Reference], bool]) -> NDArray[np.bool_]:
        return np.fromiter((passes(reference) for reference in self._references), bool, len(self._references))

    def _search_of(self, mask: NDArray[np.bool_]) -> _Nearest:
        """How the rows that pass are searched: by the approximate index where that pays."""
        walked = self._approximate is not None and mask.mean() >= _SHARE_FOR_A_GRAPH
        return self._near if walked else self._nearest

    def _ranked(self, query: Vectors, mask: NDArray[np.bool_], nearest: _Nearest) -> Ranked:
        return lambda limit: self._best(query[None, :], limit, mask, nearest)[0]

    def _best(self, queries: Vectors, limit: int, mask: NDArray[np.bool_], nearest: _Nearest) -> list[list[Match]]:
        """The best `limit` of each query, float32 [q, 3d]."""
        count = min(limit, int(mask.sum()))
        if count == 0:
            return [[] for _ in queries]
        products, rows = nearest(np.ascontiguousarray(queries), count, mask)
        return [
            [
                Match(self._references[row], similarity(float(product)))
                for product, row in zip(*found, strict=True)
                if row >= 0
            ]
            for found in zip(products, rows, strict=True)
        ]

    def _nearest(
        self, asked: Vectors, count: int, mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if mask.all():
            index = self._on_gpu() if self._device is not None and count <= _GPU_MOST else self._index
            products, rows = index.search(asked, count)
        else:
            # FAISS on a GPU knows no selectors, so what is filtered is searched on the CPU, exactly as well.
            bits = np.packbits(mask, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
            products, rows = self._index.search(asked, count, params=faiss.SearchParameters(sel=selector))
        return products, rows

    def _near(
        self, asked: Vectors, count: int, mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """As `_nearest`, probably: candidates of the approximate index and every row it does not cover, compared."""
        approximate = self._approximate
        if approximate is None or count > _GRAPH_MOST:
            return self._nearest(asked, count, mask)
        found = [self._near_one(approximate, one, count, mask) for one in asked]
        return np.concatenate([products for products, _ in found]), np.concatenate([rows for _, rows in found])

    def _near_one(
        self, approximate: FaissApproximate, asked: Vectors, count: int, mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        covered = len(approximate)
        near = approximate.candidates(asked, count, mask[:covered])
        rows = np.concatenate([near, covered + np.flatnonzero(mask[covered:])])
        if len(rows) < count:
            return self._nearest(asked[None, :], count, mask)
        products = self._index.reconstruct_batch(rows) @ asked
        best = np.argsort(-products, kind="stable")[:count]
        return products[best][None, :], rows[best][None, :]

    def _on_gpu(self) -> faiss.Index:
        if self._gpu is None:
            self._gpu = faiss.index_cpu_to_gpu(_gpu_resources(), self._device, self._index)
        return self._gpu


_resources: list["faiss.StandardGpuResources"] = []
_resources_lock = threading.Lock()


def _gpu_resources() -> "faiss.StandardGpuResources":
    """One scratch space for every collection of the process: it is large."""
    with _resources_lock:
        if not _resources:
            _resources.append(faiss.StandardGpuResources())
        return _resources[0]
