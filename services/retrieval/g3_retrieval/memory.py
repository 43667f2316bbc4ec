"""Memory that a collection takes, by formula: `python -m g3_retrieval memory --rows 4100000 --dimension 768`.

Bytes a reference, with w = 3d components, M links a layer, nlist lists over s segments:

    exact vectors          4w
    8-bit codes            w
    16-bit refinement      2w
    product codes          w/4 (Milvus, SCANN: 4 bits for 2 components), w/8 (FAISS: a byte for 8)
    graph                  8M on the ground layer, 4M/(M-1) above, 16 for its level and offset
    graph on a GPU         4 · graph_degree
    lists                  8 for the row's number, and 4w · nlist · s/n for the centroids
    what is known of it    METADATA_MILVUS or METADATA_FAISS: id, coordinates, names, author

Measured against: `tests/load/retrieval_recall.py` prints the same for the indexes it builds.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from g3_retrieval.kinds import SAMPLE_ROWS, IndexKind, Wish, graph, inverted

Technology = Literal["milvus", "faiss"]

METADATA_MILVUS = 200
"""Bytes of the scalar fields of a reference: an id of 30, six texts of 10, two doubles, and what keeps them apart."""
METADATA_FAISS = 500
"""Bytes of a `Reference` as Python objects, with its entries in the tables of ids, as measured."""
SEGMENT_BYTES = 512 * 1024 * 1024
GB = 1e9


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one collection."""

    index: int
    """What is searched, on the CPU or, for GPU_CAGRA, on the GPU."""
    exact: int
    """Exact vectors beside it: FAISS keeps them all, Milvus those of the sample of farthest."""
    metadata: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.index + self.exact + self.metadata


def memory(kind: IndexKind, rows: int, dimension: int, technology: Technology = "milvus") -> Memory:
    """What `rows` references of three vectors of width `dimension` take once loaded."""
    width, faiss = 3 * dimension, technology == "faiss"
    exact = 4 * width
    build: Mapping[str, Any] = graph(rows)[0]
    links = 8 * build["M"] + 4 * build["M"] // (build["M"] - 1) + 16
    in_segment = rows if faiss else min(rows, max(SEGMENT_BYTES // exact, 1))
    segments = -(-rows // in_segment) if rows else 0
    centroids = exact * inverted(in_segment)[0]["nlist"] * segments
    # FAISS refines by the exact vectors that it keeps anyway.
    each, once = {
        IndexKind.FLAT: (exact, 0),
        IndexKind.HNSW: (exact + links, 0),
        IndexKind.HNSW_SQ: (width + links + (0 if faiss else 2 * width), 0),
        IndexKind.IVF_FLAT: (exact + 8, centroids),
        IndexKind.IVF_SQ8: (width + 8, centroids),
        IndexKind.IVF_REFINE: (width // 8 + 8 if faiss else exact + width // 4 + 8, centroids),
        IndexKind.GPU_CAGRA: (exact + 4 * 64, 0),
    }[kind]
    beside = 0
    if kind.approximate:
        beside = exact * (rows if faiss else min(rows, SAMPLE_ROWS))
    return Memory(each * rows + once, beside, (METADATA_FAISS if faiss else METADATA_MILVUS) * rows)


def command(arguments: Sequence[str]) -> None:
    """Print the memory of each kind, in 10⁹ bytes."""
    parser = argparse.ArgumentParser(prog="python -m g3_retrieval memory", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, required=True, help="references")
    parser.add_argument("--dimension", type=int, default=768, help="width d of each of the three vectors")
    parser.add_argument("--technology", choices=["milvus", "faiss"], default="milvus")
    told = parser.parse_args(arguments)
    if told.rows < 1 or told.dimension < 1:
        parser.error("--rows and --dimension must be 1 or more")
    kinds = [kind for kind in IndexKind if kind is not IndexKind.AUTO]
    if told.technology == "faiss":
        kinds.remove(IndexKind.GPU_CAGRA)
    auto = Wish(IndexKind.AUTO, told.rows).of(kinds, told.technology)
    lines = [f"{told.rows:,} references of 3 x {told.dimension}, {told.technology}, GB"]
    lines.append(f"{'kind':12}{'index':>10}{'exact':>10}{'metadata':>10}{'total':>10}")
    for kind in kinds:
        took = memory(kind, told.rows, told.dimension, told.technology)
        figures = "".join(f"{each / GB:10.2f}" for each in (took.index, took.exact, took.metadata, took.total))
        note = "  AUTO" if kind is auto else "  on the GPU" if kind is IndexKind.GPU_CAGRA else ""
        lines.append(f"{kind:12}{figures}{note}")
    sys.stdout.write("\n".join(lines) + "\n")
