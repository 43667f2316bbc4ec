"""Kinds of index: which one suits a size, what it is built with, and what a search tells it. docs/retrieval.md has why.

The words are those of Milvus and FAISS: M and efConstruction of a graph (Malkov and Yashunin, 2018), nlist and nprobe
of inverted lists (Jégou, Douze and Schmid, 2011).
"""

import hashlib
import math
from collections.abc import Collection as Several
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from g3_kit.errors import Unmet


class IndexKind(StrEnum):
    """How a collection is searched."""

    AUTO = "AUTO"
    """Chosen by size; no collection has it."""
    FLAT = "FLAT"
    HNSW = "HNSW"
    HNSW_SQ = "HNSW_SQ"
    IVF_FLAT = "IVF_FLAT"
    IVF_SQ8 = "IVF_SQ8"
    IVF_REFINE = "IVF_REFINE"
    GPU_CAGRA = "GPU_CAGRA"

    @property
    def approximate(self) -> bool:
        """Whether a search may miss neighbours."""
        return self is not IndexKind.FLAT

    @property
    def lists(self) -> bool:
        """Whether it is made of inverted lists."""
        return self in (IndexKind.IVF_FLAT, IndexKind.IVF_SQ8, IndexKind.IVF_REFINE)


FLAT_UP_TO = 100_000
"""References that AUTO leaves exact: 0.9 GB at 3 x 768, some 50 ms a search on one core."""
GRAPH_UP_TO = 20_000_000
"""References that AUTO gives a graph; beyond, 8-bit lists, which take a third of the memory and are built sooner."""
USUAL_EXPECTED = 1_000_000
"""References that an approximate index is laid out for when nobody says how many are coming."""
SAMPLE_ROWS = 100_000
"""References, about, that `farthest` is searched among where the index is approximate: a FLAT search of 50 ms."""

_RANKS = 2**63


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a collection's index."""

    kind: IndexKind = IndexKind.FLAT
    expected: int = 0
    """References to come, about; 0 when unknown."""

    def of(self, able: Several[IndexKind], said: str) -> IndexKind:
        """The kind it becomes, among those that `said` is `able` to build. Raises `Unmet`, never gives another kind."""
        if self.kind is IndexKind.AUTO:
            return next(kind for kind in self._preferred() if kind in able)
        if self.kind not in able:
            others = ", ".join(kind for kind in IndexKind if kind in able)
            raise Unmet(f"{said} cannot build {self.kind}; it has {others}", field="kind")
        return self.kind

    @property
    def laid_out_for(self) -> int:
        """References that parameters are chosen for."""
        return self.expected or USUAL_EXPECTED

    def _preferred(self) -> tuple[IndexKind, ...]:
        if self.expected <= FLAT_UP_TO:
            return (IndexKind.FLAT,)
        if self.expected <= GRAPH_UP_TO:
            return (IndexKind.HNSW_SQ, IndexKind.HNSW, IndexKind.FLAT)
        return (IndexKind.IVF_SQ8, IndexKind.FLAT)


WISHED_USUALLY = Wish()


@dataclass(frozen=True, slots=True)
class Plan:
    """How one collection's index is built and searched; kept with the collection."""

    kind: IndexKind
    build: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    sampled_below: int = 0
    """References whose `rank` is below this are in the sample of `farthest`; 0 when there is none."""

    def as_json(self) -> dict[str, Any]:
        """To be kept."""
        kept = {"kind": self.kind.value, "build": dict(self.build), "search": dict(self.search)}
        return {**kept, "sampled_below": self.sampled_below}

    @staticmethod
    def of_json(kept: Mapping[str, Any]) -> "Plan":
        """From what was kept."""
        return Plan(IndexKind(kept["kind"]), kept["build"], kept["search"], int(kept["sampled_below"]))


@dataclass(frozen=True, slots=True)
class Sample:
    """The references of a collection that `farthest` is searched among, by a hash of their ids."""

    below: int
    size: int
    """How many the collection holds."""

    def holds(self, identity: str) -> bool:
        """Whether a reference belongs to it."""
        return rank(identity) < self.below


def rank(identity: str) -> int:
    """A fixed number in [0, 2⁶³) for an id, as good as drawn by lot: the first 63 bits of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "big") >> 1


def sampled_below(expected: int, rows: int = SAMPLE_ROWS) -> int:
    """The rank below which about `rows` of `expected` references lie."""
    return _RANKS if expected <= rows else _RANKS * rows // expected


def graph(expected: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """M and efConstruction, and ef, of a graph over `expected` references.

    M 32: at 2,304 components its links are a tenth of the 8-bit vector; 16 lost recall on clustered vectors here.
    ef grows with the graph's depth, for the same recall.
    """
    ef = 128 if expected <= 1_000_000 else 192 if expected <= 10_000_000 else 256
    return {"M": 32, "efConstruction": 256}, {"ef": ef}


def inverted(rows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """nlist and nprobe over `rows` that lie in one index.

    nlist is the power of two next to 4 √rows, as FAISS advises, with 39 rows a list at least, which k-means asks for;
    one list in 16 is read, at least 32: with 16 of 64 read, 3,000 vectors had a recall@10 of 0.78 here.
    """
    most = max(rows // 39, 1)
    nlist = max(min(2 ** round(math.log2(4 * math.sqrt(max(rows, 1)))), most, 65_536), 1)
    return {"nlist": nlist}, {"nprobe": min(max(nlist // 16, 32), nlist)}
