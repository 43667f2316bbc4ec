"""Kinds of index as Milvus has them: which edition can build which, with what, and how its searches are told."""

from typing import Any

from g3_retrieval.kinds import IndexKind, Plan, Wish, graph, inverted, sampled_below
from g3_retrieval.milvus_edition import Edition

TYPES = {
    IndexKind.FLAT: "FLAT",
    IndexKind.HNSW: "HNSW",
    IndexKind.HNSW_SQ: "HNSW_SQ",
    IndexKind.IVF_FLAT: "IVF_FLAT",
    IndexKind.IVF_SQ8: "IVF_SQ8",
    # 4-bit product codes, the best of which are compared again by the vectors themselves.
    IndexKind.IVF_REFINE: "SCANN",
    IndexKind.GPU_CAGRA: "GPU_CAGRA",
}
_EVERYWHERE = frozenset({IndexKind.FLAT, IndexKind.HNSW, IndexKind.IVF_FLAT, IndexKind.IVF_SQ8})
_SEGMENT_BYTES = 512 * 1024 * 1024
"""Of vectors in one segment, as Milvus is shipped (`dataCoord.segment.maxSize`): each has an index of its own."""
_LITE_SEGMENT_ROWS = 100_000
_CAGRA_MOST = 1_024
"""Neighbours that one GPU_CAGRA search gives at most."""
_WIDEST_EF = 32_768
_YES = "true"
"""Not True, which travels as "True": a core then fails to build the index, tries for ever, and answers without it."""


def able(edition: Edition) -> frozenset[IndexKind]:
    """What an edition can build.

    Asked of no server: milvus-lite takes every name, says that the index is finished and searches without one. What a
    core of the right version was compiled without (GPU_CAGRA), it refuses by itself.
    """
    if edition.lite:
        return _EVERYWHERE | {IndexKind.HNSW_SQ}
    kinds = set(_EVERYWHERE)
    if edition.version >= (2, 3):
        kinds.add(IndexKind.IVF_REFINE)
    if edition.version >= (2, 4):
        kinds.add(IndexKind.GPU_CAGRA)
    if edition.version >= (2, 5):
        kinds.add(IndexKind.HNSW_SQ)
    return frozenset(kinds)


def plan(wish: Wish, width: int, edition: Edition, sample_rows: int) -> Plan:
    """How vectors of `width` components are indexed. Raises `Unmet` when this edition cannot."""
    kind = wish.of(able(edition), str(edition))
    if kind is IndexKind.FLAT:
        return Plan(kind)
    expected = wish.laid_out_for
    in_segment = _LITE_SEGMENT_ROWS if edition.lite else _SEGMENT_BYTES // (4 * width)
    if kind.lists:
        build, search = inverted(min(expected, in_segment))
        if kind is IndexKind.IVF_REFINE:
            build, search = {**build, "with_raw_data": _YES}, {**search, "refine_k": 4}
    elif kind is IndexKind.GPU_CAGRA:
        build = {"intermediate_graph_degree": 128, "graph_degree": 64}
        search = {"itopk_size": 256}
    else:
        build, search = graph(expected)
        if kind is IndexKind.HNSW_SQ and not edition.lite:
            build = {**build, "sq_type": "SQ8", "refine": _YES, "refine_type": "FP16"}
            search = {**search, "refine_k": 2}
    return Plan(kind, build, search, sampled_below(expected, sample_rows))


def told(plan: Plan, limit: int, *, widest: bool = False) -> dict[str, Any]:
    """What a search for `limit` rows tells the index; `widest` looks wherever a row could be."""
    params = dict(plan.search)
    if "ef" in params:
        params["ef"] = _WIDEST_EF if widest else max(params["ef"], limit)
    if "nprobe" in params and widest:
        params["nprobe"] = plan.build["nlist"]
    if plan.kind is IndexKind.IVF_REFINE:
        params["reorder_k"] = params.pop("refine_k") * limit
    if "itopk_size" in params:
        params["itopk_size"] = max(params["itopk_size"], limit)
    return {"metric_type": "IP", "params": params} if params else {"metric_type": "IP"}


def most(plan: Plan, limit: int) -> int:
    """How many rows of `limit` one search can give."""
    return min(limit, _CAGRA_MOST) if plan.kind is IndexKind.GPU_CAGRA else limit


def of_type(index_type: str) -> Plan:
    """The plan of a collection that keeps none: made before there were plans, or half made."""
    kind = next((kind for kind, name in TYPES.items() if name == index_type), IndexKind.FLAT)
    return Plan(kind, {}, {"ef": 128} if kind is IndexKind.HNSW else {})
