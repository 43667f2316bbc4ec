"""The recall gate: what is measured is true, and an index that lies does not pass."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from g3_kit.errors import Late, Missing, Rejected, Unmet
from g3_retrieval.faiss_index import FaissIndex
from g3_retrieval.kinds import IndexKind, Wish
from g3_retrieval.listing import Page
from g3_retrieval.recall import MAX_K, MAX_SAMPLE, Question
from g3_retrieval.references import Filter, Found, Match, Search, Version
from g3_retrieval.service import Retrieval

from tests.servers.references import DIMENSION, MODEL, clustered, sample, taken

COUNT, QUESTION = 2_500, Question(sample=30, k=8)
OTHERS = clustered(COUNT, dimension=DIMENSION).references


class Index(FaissIndex):
    """Exact, with what it answers bent by `bend`; counts the pages that are read of it."""

    bend: Callable[[Search, Found], Found] = staticmethod(lambda search, found: found)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "cpu")
        self.vector_pages: list[str] = []

    def search(self, search: Search) -> Found:
        return self.bend(search, super().search(search))

    def listed(self, version: Version, after: str, limit: int, wanted: Filter, with_vectors: bool) -> Page:
        if with_vectors and limit > 1:
            self.vector_pages.append(after)
        return super().listed(version, after, limit, wanted, with_vectors)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with closing(Index(tmp_path_factory.mktemp("index"))) as made:
        for name in ("v1", "v2"):
            made.create(name, DIMENSION, MODEL)
            drawn = clustered(COUNT, dimension=DIMENSION)
            for start in range(0, COUNT, 1_000):
                made.upsert(name, MODEL, taken(drawn, slice(start, start + 1_000)))
        made.publish("v1", "references")
        yield made


@pytest.fixture
def retrieval(index: Index) -> Retrieval:
    index.bend = lambda search, found: found
    index.vector_pages.clear()
    return Retrieval(index)


def random_neighbours(search: Search, found: Found) -> Found:
    """What a broken GPU index gives: any references, in good order, with similarities that look right."""
    generator = np.random.default_rng(abs(hash(search.vectors.clip.tobytes())))

    def any_of(matches: tuple[Match, ...]) -> tuple[Match, ...]:
        drawn = generator.choice(COUNT, size=len(matches), replace=False)
        return tuple(Match(OTHERS[row], match.similarity) for row, match in zip(drawn, matches, strict=True))

    return replace(found, similar=any_of(found.similar), dissimilar=any_of(found.dissimilar))


def test_an_exact_index_has_all_of_it(retrieval: Retrieval, index: Index) -> None:
    measured = retrieval.measure("v2", QUESTION, lambda: False)
    for recall in (measured.similar, measured.hard, measured.farthest):
        assert (recall.mean, recall.worst, recall.perfect) == (1.0, 1.0, 1.0)
    assert (measured.collection, measured.references, measured.sample, measured.k) == ("v2", COUNT, 30, 8)
    # Everything was read, once.
    assert index.vector_pages == ["", "photo-00999", "photo-01999"]


def test_an_index_of_random_neighbours_is_not_published(retrieval: Retrieval, index: Index) -> None:
    index.bend = random_neighbours
    with pytest.raises(Unmet, match=r"recall@8 of 'v2' over 30 queries is 0\.0\d\d similar, 0\.0\d\d hard"):
        retrieval.publish("v2", "", 0.9, QUESTION)
    assert index.describe("references").name == "v1"
    measured = retrieval.measure("v2", QUESTION, lambda: False)
    assert max(measured.similar.mean, measured.hard.mean, measured.farthest.mean) < 0.1
    # Not asked for, it is not measured: the caller answers for it.
    assert retrieval.publish("v2", "unguarded") == ("", None)


def test_a_good_index_is_published_with_its_figures(retrieval: Retrieval, index: Index) -> None:
    previous, measured = retrieval.publish("v2", "gated", 0.99, QUESTION)
    assert previous == ""
    assert measured is not None
    assert measured.similar.mean == 1.0
    assert index.describe("gated").name == "v2"


@pytest.mark.parametrize("spoilt", ["similar", "hard", "farthest"])
def test_each_kind_is_judged_by_itself(retrieval: Retrieval, index: Index, spoilt: str) -> None:
    def bend(search: Search, found: Found) -> Found:
        wanted = "similar" if search.similar else str(search.dissimilar_kind)
        if wanted != spoilt:
            return found
        # The best match stays, so that hard negatives keep their anchor.
        bent = random_neighbours(search, found)
        return replace(bent, similar=(*found.similar[:1], *bent.similar[1:]))

    index.bend = bend
    measured = retrieval.measure("v2", QUESTION, lambda: False)
    for name in ("similar", "hard", "farthest"):
        recall = getattr(measured, name)
        assert recall.mean < 0.3 if name == spoilt else recall.mean == 1.0, (name, measured)
    with pytest.raises(Unmet):
        measured.check(0.5)
    measured.check(min(measured.similar.mean, measured.hard.mean, measured.farthest.mean))


def test_half_an_answer_is_half_of_it_and_saying_it_twice_is_no_more(retrieval: Retrieval, index: Index) -> None:
    def halved(search: Search, found: Found) -> Found:
        half = found.similar[:4] * 2
        return replace(found, similar=half, dissimilar=found.dissimilar[:4])

    index.bend = halved
    measured = retrieval.measure("v2", QUESTION, lambda: False)
    for recall in (measured.similar, measured.hard, measured.farthest):
        assert (recall.mean, recall.worst, recall.perfect) == (0.5, 0.5, 0.0)


def test_hard_negatives_near_the_best_match_count_for_nothing(retrieval: Retrieval, index: Index) -> None:
    """An index that gives the most similar ones as hard negatives, wherever they were taken."""

    def bend(search: Search, found: Found) -> Found:
        if search.dissimilar_kind != "hard":
            return found
        plain = replace(search, similar=search.dissimilar, dissimilar=0)
        return replace(found, dissimilar=index._with_collection("v2", lambda there: there.search(plain))[0])

    index.bend = bend
    measured = retrieval.measure("v2", QUESTION, lambda: False)
    assert measured.similar.mean == 1.0
    # The most similar of all, the photo that the query was moved from, lies where the best match lies.
    assert measured.hard.worst < 1.0
    assert measured.hard.mean < 1.0


def test_queries_are_photos_near_stored_ones_and_chosen_by_the_seed(retrieval: Retrieval, index: Index) -> None:
    asked: list[Search] = []

    def noting(search: Search, found: Found) -> Found:
        asked.append(search)
        return found

    index.bend = noting
    queries = []
    for question in (QUESTION, QUESTION, replace(QUESTION, seed=1)):
        asked.clear()
        retrieval.measure("v2", question, lambda: False)
        queries.append([search.vectors.clip.tobytes() for search in asked if search.similar])
    assert queries[0] == queries[1]
    assert not set(queries[0]) & set(queries[2])
    stored = clustered(COUNT, dimension=DIMENSION).clip
    best = [float((stored @ search.vectors.clip).max()) for search in asked]
    assert min(best) > 0.9
    assert max(best) < 1.0 - 1e-6


def test_a_measurement_that_was_cut_off_goes_on(retrieval: Retrieval, index: Index) -> None:
    whole = retrieval.measure("v2", QUESTION, lambda: False)
    index.vector_pages.clear()
    checks, cuts = 0, 0

    def stopped() -> bool:
        nonlocal checks
        checks += 1
        return checks % 9 == 0

    again = None
    while again is None:
        with suppress(Late):
            again = retrieval.measure("v2", QUESTION, stopped)
        cuts += 1
    assert cuts > 6
    assert again == whole
    assert index.vector_pages == ["", "photo-00999", "photo-01999"]


def test_what_was_written_meanwhile_begins_it_anew(retrieval: Retrieval, index: Index) -> None:
    def stopped() -> bool:
        return bool(index.vector_pages)

    with pytest.raises(Late, match="ask the same again"):
        retrieval.measure("v2", QUESTION, stopped)
    assert index.vector_pages == [""]
    retrieval.upsert("v2", MODEL, taken(clustered(COUNT, dimension=DIMENSION), range(3)))
    index.vector_pages.clear()
    assert retrieval.measure("v2", QUESTION, lambda: False).similar.mean == 1.0
    assert index.vector_pages[0] == ""


def test_few_references_are_measured_whole(retrieval: Retrieval, index: Index) -> None:
    index.create("few", DIMENSION, MODEL)
    with pytest.raises(Unmet, match="holds no reference"):
        retrieval.publish("few", "", 0.5, QUESTION)
    index.upsert("few", MODEL, sample(3))
    measured = retrieval.measure("few", QUESTION, lambda: False)
    assert (measured.references, measured.sample) == (3, 3)
    assert (measured.similar.mean, measured.farthest.mean, measured.hard.mean) == (1.0, 1.0, 1.0)


def test_an_approximate_index_is_built_before_it_is_measured(retrieval: Retrieval, index: Index) -> None:
    index.create("graph", DIMENSION, MODEL, Wish(IndexKind.HNSW_SQ, COUNT))
    index.upsert("graph", MODEL, clustered(900, dimension=DIMENSION))
    measured = retrieval.measure("graph", QUESTION, lambda: False)
    assert measured.similar.mean > 0.9
    there = index._collection("graph")
    assert there._approximate is not None
    assert len(there._approximate) == 900


def test_bad_questions_say_what_to_mend(retrieval: Retrieval) -> None:
    for bad in (
        Question(sample=0),
        Question(sample=MAX_SAMPLE + 1),
        Question(k=0),
        Question(k=MAX_K + 1),
        Question(noise=-0.1),
        Question(noise=float("nan")),
    ):
        with pytest.raises(Rejected):
            retrieval.measure("v2", bad, lambda: False)
    for minimum in (-0.1, 1.1, float("nan")):
        with pytest.raises(Rejected):
            retrieval.publish("v2", "", minimum)
    with pytest.raises(Missing):
        retrieval.measure("nobody", QUESTION, lambda: False)
    with pytest.raises(Missing):
        retrieval.publish("references", "", 0.9)
