"""Kinds of index on every technology: what it can build answers well, what it cannot is refused and never replaced."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from g3_kit.errors import Conflict, Unmet
from g3_retrieval.index import Index
from g3_retrieval.kinds import IndexKind, Wish, rank
from g3_retrieval.recall import Question
from g3_retrieval.references import Dissimilar, Filter, ReferenceVectors
from g3_retrieval.service import Retrieval

from tests.contract.conftest import SAMPLED
from tests.servers import references as sampled
from tests.servers.references import MODEL, assert_same, new_name, search

DIMENSION, COUNT = 32, 3_000
LISTS = {IndexKind.IVF_FLAT, IndexKind.IVF_SQ8, IndexKind.IVF_REFINE}
ABLE = {
    "faiss": {IndexKind.HNSW, IndexKind.HNSW_SQ, *LISTS},
    "milvus-lite": {IndexKind.HNSW, IndexKind.HNSW_SQ, IndexKind.IVF_FLAT, IndexKind.IVF_SQ8},
    "milvus-core": {IndexKind.HNSW, *LISTS},
}
APPROXIMATE = [kind for kind in IndexKind if kind.approximate and kind is not IndexKind.AUTO]


@pytest.fixture(scope="module")
def drawn() -> ReferenceVectors:
    return sampled.clustered(COUNT, dimension=DIMENSION)


@pytest.fixture
def built(request: pytest.FixtureRequest, index: Index, technology: str, drawn: ReferenceVectors) -> Iterator[str]:
    """A sealed collection of the kind that the test names, if the technology has it."""
    kind: IndexKind = request.param
    if kind not in ABLE[technology]:
        pytest.skip(f"{technology} has no {kind}: see the refusals")
    name = new_name()
    index.create(name, DIMENSION, MODEL, Wish(kind, COUNT))
    for start in range(0, COUNT, 1_000):
        index.upsert(name, MODEL, sampled.taken(drawn, slice(start, start + 1_000)))
    index.seal(name)
    yield name
    # A core slows down with every loaded collection.
    index.drop(name)


@pytest.mark.parametrize("built", APPROXIMATE, indirect=True)
def test_what_it_can_build_finds_what_an_exact_search_finds(
    index: Index, technology: str, built: str, drawn: ReferenceVectors
) -> None:
    described = index.describe(built)
    assert described.count == COUNT
    assert described.plan.kind in ABLE[technology]
    assert described.plan.search
    measured = Retrieval(index).measure(built, Question(sample=12), lambda: False)
    assert measured.similar.mean >= 0.9, measured
    assert measured.hard.mean >= 0.9, measured
    assert measured.farthest.mean == 1.0, measured
    assert (measured.references, measured.sample, measured.k) == (COUNT, 12, 10)

    # Farthest: exact, over everything on FAISS and over the sample on Milvus, which is known from the ids alone.
    sample, asked = index.sample(index.version(built)), sampled.query(dimension=DIMENSION)
    found = search(index, built, vectors=asked, similar=0, dissimilar=12, dissimilar_kind=Dissimilar.FARTHEST)
    if sample is None:
        assert technology == "faiss"
        among, size = drawn, 0
    else:
        rows = [row for row, reference in enumerate(drawn.references) if rank(reference.id) < sample.below]
        among, size = sampled.taken(drawn, rows), len(rows)
        assert 0.7 * SAMPLED < size < 1.3 * SAMPLED
        assert (sample.size, described.sample) == (size, sample)
    assert found.farthest_sample == size
    assert_same(sampled.rows_of(found.dissimilar), sampled.nearest(among, asked, sign=-1.0)[:12])

    # Filters, a narrow and a wide one: nothing that must not, and nearly all that must.
    for wanted in (
        Filter(country_codes=("NZ",), excluded_authors=("author 1",)),
        Filter(excluded_authors=("author 1",)),
    ):
        expected = sampled.nearest(drawn, asked, wanted=wanted)[:20]
        match = search(index, built, vectors=asked, similar=20, filter=wanted).similar
        ids = {row.id for row in sampled.rows_of(match)}
        passing = {drawn.references[row].id for row in sampled.passing(drawn, wanted)}
        assert len(ids) == 20
        assert ids <= passing
        assert len(ids & {row.id for row in expected}) >= 18

    # What is written afterwards is found at once, and so is what replaces.
    fresh = sampled.clustered(5, dimension=DIMENSION, seed=9)
    late = ReferenceVectors(
        tuple(sampled.named([f"photo-0000{n}" if n < 3 else f"late {n}" for n in range(5)]).references),
        fresh.clip,
        fresh.text_aligned,
        fresh.gps_aligned,
    )
    index.upsert(built, MODEL, late)
    assert index.describe(built).count == COUNT + 2
    for row in range(5):
        [best] = search(index, built, vectors=sampled.photo(late, row), similar=1).similar
        assert best.reference == late.references[row]
        assert best.similarity == pytest.approx(1.0, abs=0.02)


def test_what_it_cannot_build_is_refused_and_leaves_nothing(index: Index, technology: str) -> None:
    unable = set(APPROXIMATE) - ABLE[technology]
    assert IndexKind.GPU_CAGRA in unable
    for kind in unable:
        name = new_name()
        with pytest.raises(Unmet, match=kind):
            index.create(name, DIMENSION, MODEL, Wish(kind, COUNT))
        assert name not in {each.name for each in index.collections()}
    assert index.create(name, DIMENSION, MODEL, Wish(IndexKind.FLAT)).plan.kind is IndexKind.FLAT
    index.drop(name)


def test_auto_chooses_by_size_among_what_there_is(index: Index, technology: str) -> None:
    small, large = new_name(), new_name()
    assert index.create(small, DIMENSION, MODEL, Wish(IndexKind.AUTO, 50_000)).plan.kind is IndexKind.FLAT
    made = index.create(large, DIMENSION, MODEL, Wish(IndexKind.AUTO, 4_100_000))
    assert made.plan.kind is (IndexKind.HNSW if technology == "milvus-core" else IndexKind.HNSW_SQ)
    assert made.index.lower().endswith(made.plan.kind.lower())
    index.drop(small)
    index.drop(large)


def test_a_kind_never_changes(index: Index, opened: Callable[[Path], Index], tmp_path: Path) -> None:
    name, wish = new_name(), Wish(IndexKind.HNSW, 200_000)
    with closing(opened(tmp_path)) as first:
        plan = first.create(name, DIMENSION, MODEL, wish).plan
        assert (plan.kind, plan.build["M"] > 0, plan.search["ef"] > 0) == (IndexKind.HNSW, True, True)
        for again in (wish, Wish(IndexKind.AUTO), Wish(IndexKind.HNSW)):
            assert first.create(name, DIMENSION, MODEL, again).plan == plan
        with pytest.raises(Conflict):
            first.create(name, DIMENSION, MODEL, Wish(IndexKind.FLAT))
    with closing(opened(tmp_path)) as second:
        # Kept with the collection: not by the process that made it.
        assert second.describe(name).plan == plan
        second.upsert(name, MODEL, sampled.sample(3, dimension=DIMENSION))
        assert second.describe(name).count == 3
        second.drop(name)


def test_a_drop_takes_the_sample_with_it(index: Index) -> None:
    name, asked = new_name(), sampled.query(dimension=DIMENSION)

    def farthest() -> int:
        kind = Dissimilar.FARTHEST
        return len(search(index, name, vectors=asked, similar=0, dissimilar=9, dissimilar_kind=kind).dissimilar)

    index.create(name, DIMENSION, MODEL, Wish(IndexKind.HNSW, 20))
    index.upsert(name, MODEL, sampled.sample(20, dimension=DIMENSION))
    assert farthest() == 9
    index.drop(name)
    index.create(name, DIMENSION, MODEL, Wish(IndexKind.HNSW, 20))
    assert farthest() == 0
    index.drop(name)
