"""Which kind of index suits a size, what it is laid out with, and who belongs to the sample of farthest."""

import pytest
from g3_kit.errors import Unmet
from g3_retrieval import faiss_approximate, milvus_kinds
from g3_retrieval.kinds import IndexKind, Plan, Sample, Wish, inverted, rank, sampled_below
from g3_retrieval.milvus_edition import Edition

LITE, CORE, LATER = Edition("milvus_lite-3.2.2"), Edition("v2.3.5-lite"), Edition("v2.6.1")
WIDTH = 3 * 768


def test_editions_are_told_apart() -> None:
    assert (LITE.lite, CORE.lite, LATER.lite) == (True, False, False)
    assert (CORE.version, LATER.version, Edition("unknown").version) == ((2, 3), (2, 6), (0, 0))
    assert (str(LITE), str(CORE)) == ("milvus-lite", "Milvus 2.3.5-lite")
    assert (LITE.pages, CORE.pages) == (LATER.pages, {})


@pytest.mark.parametrize(
    ("edition", "expected", "kind"),
    [
        (LATER, 0, IndexKind.FLAT),
        (LATER, 100_000, IndexKind.FLAT),
        (LATER, 100_001, IndexKind.HNSW_SQ),
        (LATER, 4_100_000, IndexKind.HNSW_SQ),
        (LATER, 100_000_000, IndexKind.IVF_SQ8),
        (CORE, 4_100_000, IndexKind.HNSW),
        (LITE, 4_100_000, IndexKind.HNSW_SQ),
        (LITE, 100_000_000, IndexKind.IVF_SQ8),
    ],
)
def test_auto_goes_by_size_and_by_what_the_server_has(edition: Edition, expected: int, kind: IndexKind) -> None:
    assert milvus_kinds.plan(Wish(IndexKind.AUTO, expected), WIDTH, edition, 100_000).kind is kind


@pytest.mark.parametrize(
    ("edition", "kind"),
    [
        (LITE, IndexKind.IVF_REFINE),
        (LITE, IndexKind.GPU_CAGRA),
        (CORE, IndexKind.HNSW_SQ),
        (CORE, IndexKind.GPU_CAGRA),
        (Edition("unknown"), IndexKind.IVF_REFINE),
    ],
)
def test_what_a_server_cannot_build_is_refused_with_what_it_can(edition: Edition, kind: IndexKind) -> None:
    with pytest.raises(Unmet, match=f"{edition} cannot build {kind}; it has FLAT, HNSW"):
        milvus_kinds.plan(Wish(kind, 4_100_000), WIDTH, edition, 100_000)


def test_faiss_refuses_what_needs_a_gpu() -> None:
    with pytest.raises(Unmet, match="GPU_CAGRA"):
        faiss_approximate.plan(Wish(IndexKind.GPU_CAGRA, 4_100_000), WIDTH)


@pytest.mark.parametrize("kind", [kind for kind in IndexKind if kind is not IndexKind.AUTO])
@pytest.mark.parametrize("expected", [0, 1, 200, 4_100_000, 100_000_000])
def test_plans_can_be_kept_and_asked(kind: IndexKind, expected: int) -> None:
    plan = milvus_kinds.plan(Wish(kind, expected), WIDTH, LATER, 100_000)
    assert Plan.of_json(plan.as_json()) == plan
    assert bool(plan.sampled_below) is kind.approximate
    for widest in (False, True):
        told = milvus_kinds.told(plan, 5_000, widest=widest).get("params", {})
        assert told.get("nprobe", 1) <= plan.build.get("nlist", 1)
        for least in ("ef", "reorder_k", "itopk_size"):
            assert told.get(least, 5_000) >= 5_000
    assert milvus_kinds.most(plan, 5_000) == (1_024 if kind is IndexKind.GPU_CAGRA else 5_000)


def test_lists_are_laid_out_for_the_rows_that_lie_in_one_index() -> None:
    assert inverted(1_000_000) == ({"nlist": 4096}, {"nprobe": 256})
    assert inverted(0) == inverted(1) == ({"nlist": 1}, {"nprobe": 1})
    for rows in (10, 500, 58_254, 10**9):
        [nlist] = inverted(rows)[0].values()
        assert rows < 39 or nlist * 39 <= rows
        assert nlist <= 65_536
    # On Milvus a segment is an index of its own: half a GiB, 58,254 rows of 2,304 components.
    assert milvus_kinds.plan(Wish(IndexKind.IVF_SQ8, 4_100_000), WIDTH, CORE, 100_000).build == {"nlist": 1024}


def test_the_sample_is_a_matter_of_ids_alone() -> None:
    ids = [f"photo-{number}" for number in range(20_000)]
    below = sampled_below(20_000, 1_000)
    sample = Sample(below, 0)
    held = [identity for identity in ids if sample.holds(identity)]
    assert 900 < len(held) < 1_100
    assert held == [identity for identity in ids if rank(identity) < below]
    assert rank("photo-1") == 801_357_088_460_814_416
    # Half of it is half of the same.
    narrower = Sample(below // 2, 0)
    assert {identity for identity in ids if narrower.holds(identity)} < set(held)
    everything = Sample(sampled_below(900, 1_000), 0)
    assert all(everything.holds(identity) for identity in ids)
