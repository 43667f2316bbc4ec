"""An approximate index beside the exact rows of a FAISS collection, and how it is searched.

It knows rows by their number in the exact index, which compares the best of what it finds once more.
"""

import math

import faiss
import numpy as np
from g3_kit import logs
from numpy.typing import NDArray

from g3_retrieval.kinds import IndexKind, Plan, Wish, graph, inverted
from g3_retrieval.references import Vectors

ABLE = frozenset(IndexKind) - {IndexKind.AUTO, IndexKind.GPU_CAGRA}
_TRAINED_ON = 100_000
"""Rows that lists and codes are learned from, at most."""
_SEED = 20_090_916
_log = logs.get("g3_retrieval.faiss")


def plan(wish: Wish, width: int) -> Plan:
    """How vectors of `width` components are indexed. Raises `Unmet` for a kind that FAISS has none of here."""
    kind = wish.of(ABLE, "FAISS")
    if kind is IndexKind.FLAT:
        return Plan(kind)
    if not kind.lists:
        build, search = graph(wish.laid_out_for)
    else:
        build, search = inverted(wish.laid_out_for)
        if kind is IndexKind.IVF_REFINE:
            # One byte for eight components; FAISS wants equal parts.
            build = {**build, "m": width // math.gcd(width, 8)}
    return Plan(kind, build, {**search, "refine_k": 4})


class FaissApproximate:
    """Covers the first `len` rows of an exact index. Not thread-safe; the collection's lock sees to it."""

    def __init__(self, exact: faiss.IndexFlat, plan: Plan) -> None:
        """Learn from the rows of `exact` and take them in."""
        self._plan = plan
        self._index = _empty(exact.d, exact.ntotal, plan)
        if not self._index.is_trained:
            chosen = np.random.default_rng(_SEED).permutation(exact.ntotal)[:_TRAINED_ON]
            self._index.train(exact.reconstruct_batch(np.sort(chosen)))
        self.extend(exact)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def extend(self, exact: faiss.IndexFlat) -> None:
        """Take in the rows that came since, block by block."""
        for start in range(self._index.ntotal, exact.ntotal, 20_000):
            self._index.add(exact.reconstruct_n(start, min(20_000, exact.ntotal - start)))
            _log.info("index is being built", kind=self._plan.kind, rows=self._index.ntotal, of=exact.ntotal)

    def candidates(self, query: Vectors, count: int, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Rows, int64 [≤ refine_k · count], among which the best `count` that pass `mask` (bool [len]) probably are."""
        asked = min(self._plan.search["refine_k"] * count, len(self))
        everything = bool(mask.all())
        bits = np.packbits(mask, bitorder="little")
        selector = None if everything else faiss.IDSelectorBitmap(bits)
        if self._plan.kind.lists:
            params = faiss.SearchParametersIVF(sel=selector, nprobe=self._plan.search["nprobe"])
        else:
            params = faiss.SearchParametersHNSW(sel=selector, efSearch=max(self._plan.search["ef"], asked))
        _, rows = self._index.search(query[None, :], asked, params=params)
        found = rows[0]
        return np.asarray(found[found >= 0], np.int64)


def _empty(width: int, rows: int, plan: Plan) -> faiss.Index:
    metric, eight_bits = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_8bit
    if plan.kind is IndexKind.HNSW:
        index = faiss.IndexHNSWFlat(width, plan.build["M"], metric)
    elif plan.kind is IndexKind.HNSW_SQ:
        index = faiss.IndexHNSWSQ(width, eight_bits, plan.build["M"], metric)
    else:
        # Fewer rows came than were expected: no more lists than k-means can learn from them.
        lists = max(min(plan.build["nlist"], rows // 39), 1)
        quantizer = faiss.IndexFlatIP(width)
        if plan.kind is IndexKind.IVF_FLAT:
            index = faiss.IndexIVFFlat(quantizer, width, lists, metric)
        elif plan.kind is IndexKind.IVF_SQ8:
            index = faiss.IndexIVFScalarQuantizer(quantizer, width, lists, eight_bits, metric)
        else:
            index = faiss.IndexIVFPQ(quantizer, width, lists, plan.build["m"], 8, metric)
        index.own_fields = True
        quantizer.this.disown()
        index.cp.seed = _SEED
        return index
    index.hnsw.efConstruction = plan.build["efConstruction"]
    return index
