"""What every `Index` keeps to: FAISS, Milvus on milvus-lite, Milvus on a real core."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from g3_geography import BoundingBox, Coordinates, Place, distance_km
from g3_kit.errors import Conflict, Mismatch, Missing
from g3_retrieval.faiss_index import FaissIndex
from g3_retrieval.index import Index
from g3_retrieval.milvus_index import MilvusIndex
from g3_retrieval.ranking import HARD_AWAY_KM
from g3_retrieval.references import (
    Dissimilar,
    Filter,
    Found,
    Match,
    Reference,
    ReferenceVectors,
    RetrievalVector,
    Search,
)

from tests.servers.milvus import milvus_core, milvus_lite
from tests.servers.references import MODEL, OTHER_MODEL, paired, reference, references, similarities, vectors

STORED = references(300)
_numbers = count()


@pytest.fixture(
    scope="module",
    params=["faiss", "milvus-lite", pytest.param("milvus-core", marks=pytest.mark.needs("milvus-core"))],
)
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "faiss":
        with closing(FaissIndex(folder, "cpu")) as opened:
            yield opened
        return
    server = milvus_lite if request.param == "milvus-lite" else milvus_core
    with server(folder) as uri, closing(MilvusIndex(uri)) as connected:
        yield connected


@pytest.fixture(scope="module")
def filled(index: Index) -> str:
    """A collection that the tests only read."""
    index.create("filled", 8, MODEL)
    assert index.upsert("filled", MODEL, STORED) == len(STORED)
    return "filled"


def name(kind: str = "c") -> str:
    return f"{kind}_{next(_numbers)}"


def made(index: Index, stored: ReferenceVectors) -> str:
    collection = name()
    index.create(collection, stored.dimension, MODEL)
    index.upsert(collection, MODEL, stored)
    return collection


def ask(collection: str, **asked: object) -> Search:
    return replace(Search(collection, MODEL, vectors(seed=99)), **asked)  # type: ignore[arg-type]


def ids(matches: tuple[Match, ...]) -> list[str]:
    return [match.reference.id for match in matches]


def expected(scores: np.ndarray, wanted: int) -> list[str]:  # type: ignore[type-arg]
    order = sorted(range(len(STORED)), key=lambda row: (-round(float(scores[row]), 6), STORED.references[row].id))
    return [STORED.references[row].id for row in order[:wanted]]


def passing(index: Index, collection: str, wanted: Filter) -> set[str]:
    return set(ids(index.search(ask(collection, similar=1_000, filter=wanted)).similar))


def stored_ids(keep: "list[bool]") -> set[str]:
    return {r.id for r, kept in zip(STORED.references, keep, strict=True) if kept}


def test_a_new_collection_is_empty_and_says_what_it_is_for(index: Index) -> None:
    collection = name()
    created = index.create(collection, 8, MODEL)
    assert (created.name, created.dimension, created.model) == (collection, 8, MODEL)
    assert (created.count, created.aliases) == (0, ())
    assert created.index in ("faiss/flat", "milvus/FLAT")
    assert index.describe(collection) == created
    assert created in index.collections()
    found = index.search(ask(collection, similar=3, dissimilar=3, dissimilar_kind=Dissimilar.HARD))
    assert found == Found((), (), collection, MODEL)


def test_creating_again_is_harmless_and_changes_nothing(index: Index, filled: str) -> None:
    assert index.create(filled, 8, MODEL).count == len(STORED)


@pytest.mark.parametrize(("dimension", "model"), [(9, MODEL), (8, OTHER_MODEL)])
def test_creating_it_for_other_vectors_is_a_conflict(index: Index, filled: str, dimension: int, model: str) -> None:
    with pytest.raises(Conflict):
        index.create(filled, dimension, model)


def test_a_reference_comes_back_as_it_went_in(index: Index) -> None:
    told = [
        Reference("ab/cd/ef.jpg", Coordinates(-17.7134, 178.065), Place("Suva", "Rewa", "Fiji", "FJ"), "9@N00"),
        Reference("東京 🗼", Coordinates(90.0, -180.0), Place("Île-d'Aix", 'a "b"', "\\", "FR"), "O'Neill\n\t%_\\\""),
        Reference("x" * 200, Coordinates(-90.0, 179.999999), Place("", "", "", ""), ""),
    ]
    collection = made(index, paired([(r, vectors(seed)) for seed, r in enumerate(told)]))
    found = index.search(ask(collection, similar=10)).similar
    assert sorted((m.reference for m in found), key=lambda r: r.id) == sorted(told, key=lambda r: r.id)


def test_writing_again_replaces_by_id_and_counts_once(index: Index) -> None:
    collection = made(index, references(50))
    changed = paired([(reference("r00007", at=(12.5, -3.25), code="CL", author="new"), vectors(seed=99))])
    assert index.upsert(collection, MODEL, changed) == 1
    assert index.upsert(collection, MODEL, changed) == 1
    assert index.describe(collection).count == 50
    best = index.search(ask(collection, similar=1)).similar[0]
    assert best.reference == changed.references[0]
    assert best.similarity == pytest.approx(1.0, abs=1e-6)
    assert "r00007" not in ids(index.search(ask(collection, similar=50, filter=Filter(("FR", "FJ")))).similar)


def test_the_last_of_those_that_share_an_id_is_kept(index: Index) -> None:
    twice = paired([(reference("one", author="first"), vectors(1)), (reference("one", author="last"), vectors(2))])
    collection = name()
    index.create(collection, 8, MODEL)
    assert index.upsert(collection, MODEL, twice) == 1
    [only] = index.search(ask(collection, similar=5, vectors=vectors(2))).similar
    assert (only.reference.author, index.describe(collection).count) == ("last", 1)
    assert only.similarity == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("compared", list(RetrievalVector))
def test_similarity_is_the_mean_cosine_of_the_compared_vectors(
    index: Index, filled: str, compared: RetrievalVector
) -> None:
    scores = similarities(vectors(seed=99), STORED, compared)
    found = index.search(
        ask(filled, retrieval_vector=compared, similar=40, dissimilar=15, dissimilar_kind=Dissimilar.FARTHEST)
    )
    assert ids(found.similar) == expected(scores, 40)
    assert ids(found.dissimilar) == expected(-scores, 15)
    by_id = {r.id: score for r, score in zip(STORED.references, scores, strict=True)}
    for match in (*found.similar, *found.dissimilar):
        assert match.similarity == pytest.approx(by_id[match.reference.id], abs=2e-6)
    assert (found.collection, found.model) == (filled, MODEL)


def test_hard_negatives_look_alike_and_lie_far_away(index: Index, filled: str) -> None:
    asked = ask(filled, similar=10, dissimilar=20, dissimilar_kind=Dissimilar.HARD)
    found = index.search(asked)
    order = expected(similarities(asked.vectors, STORED, RetrievalVector.ALL), len(STORED))
    place = {r.id: r.coordinates for r in STORED.references}
    far = [i for i in order if distance_km(place[order[0]], place[i]) >= HARD_AWAY_KM and i not in order[:10]]
    assert ids(found.dissimilar) == far[:20]


def test_hard_negatives_are_found_deep_in_the_list(index: Index) -> None:
    asked = vectors(seed=99)
    near = [(reference(f"near{n:03d}", at=(48.8, 2.3)), asked) for n in range(90)]
    collection = made(index, paired([*near, (reference("far", at=(-33.9, 151.2)), vectors(5))]))
    found = index.search(ask(collection, dissimilar=3, dissimilar_kind=Dissimilar.HARD))
    assert (found.similar, ids(found.dissimilar)) == ((), ["far"])


def test_ties_go_by_id_also_across_the_cut(index: Index) -> None:
    same = [(reference(f"t{number * 37 % 101:03d}"), vectors(3)) for number in range(101)]
    collection = made(index, paired(same))
    found = index.search(ask(collection, similar=5, dissimilar=4, dissimilar_kind=Dissimilar.FARTHEST))
    assert ids(found.similar) == ["t000", "t001", "t002", "t003", "t004"]
    assert ids(found.dissimilar) == ["t000", "t001", "t002", "t003"]


def test_asking_for_more_than_there_is_gives_what_there_is(index: Index, filled: str) -> None:
    assert len(index.search(ask(filled, similar=1_000)).similar) == len(STORED)


def test_only_references_in_these_countries(index: Index, filled: str) -> None:
    wanted = stored_ids([r.place.country_code in ("FJ", "CL") for r in STORED.references])
    assert passing(index, filled, Filter(country_codes=("FJ", "CL"))) == wanted


@pytest.mark.parametrize(
    "box",
    [
        BoundingBox(-30.5, -20.25, 45.0, 60.0),
        BoundingBox(-90, 150, 90, -120),
        BoundingBox(-60, -180, 60, -100),
        BoundingBox(0, 100, 90, 180),
    ],
    ids=["plain", "antimeridian", "from -180", "to 180"],
)
def test_only_references_inside_the_box(index: Index, filled: str, box: BoundingBox) -> None:
    wanted = stored_ids([r.coordinates in box for r in STORED.references])
    assert 10 < len(wanted) < 290
    assert passing(index, filled, Filter(bounding_box=box)) == wanted


def test_the_edges_of_a_box_are_inside_and_the_antimeridian_has_two_names(index: Index) -> None:
    told = {"corner": (10.1, 20.2), "just outside": (10.1, 20.2000001), "antimeridian": (10.1, -180.0)}
    collection = made(index, paired([(reference(i, at=at), vectors(3)) for i, at in told.items()]))
    assert passing(index, collection, Filter(bounding_box=BoundingBox(10.1, 5, 10.1, 20.2))) == {"corner"}
    assert passing(index, collection, Filter(bounding_box=BoundingBox(0, 170, 20, 180))) == {"antimeridian"}


HOSTILE = [
    'a"b',
    "a'b",
    "a\\",
    '\\"',
    '") or (id != "',
    "a\nb",
    "a\r\tb",
    "%",
    "_",
    "{x}",
    "é東🗼",
    " ",
    "a\\n",
    "\x01\x7f",
    "$1",
    "//",
]


def test_hostile_texts_in_filters_mean_themselves(index: Index) -> None:
    told = [(reference(f"id {text}", author=f"by {text}"), vectors(n)) for n, text in enumerate(HOSTILE)]
    collection = made(index, paired(told))
    everyone = {r.id for r, _ in told}
    assert list(index.held(collection, [f"id {text}" for text in HOSTILE])) == [f"id {text}" for text in HOSTILE]
    for text in HOSTILE:
        kept = everyone - {f"id {text}"}
        assert passing(index, collection, Filter(excluded_ids=(f"id {text}",))) == kept, text
        assert passing(index, collection, Filter(excluded_authors=(f"by {text}",))) == kept, text
    assert passing(index, collection, Filter(excluded_authors=tuple(f"by {text}" for text in HOSTILE))) == set()


def test_filters_hold_together_and_for_dissimilar_ones_too(index: Index, filled: str) -> None:
    wanted = Filter(("FR", "FJ"), BoundingBox(-80, -170, 80, 170), ("r00000", "r00001"), ("author 1", "author 2"))
    keep = stored_ids(
        [
            r.place.country_code in ("FR", "FJ")
            and r.coordinates in BoundingBox(-80, -170, 80, 170)
            and r.id not in ("r00000", "r00001")
            and r.author not in ("author 1", "author 2")
            for r in STORED.references
        ]
    )
    assert passing(index, filled, wanted) == keep
    for kind in (Dissimilar.FARTHEST, Dissimilar.HARD):
        found = index.search(ask(filled, dissimilar=1_000, dissimilar_kind=kind, filter=wanted))
        assert found.dissimilar
        assert set(ids(found.dissimilar)) <= keep


def test_a_thousand_excluded_ids(index: Index, filled: str) -> None:
    excluded = tuple(f"r{number:05d}" for number in range(10, 1_010))
    assert passing(index, filled, Filter(excluded_ids=excluded)) == {f"r{number:05d}" for number in range(10)}


def test_held_answers_in_the_order_asked(index: Index, filled: str) -> None:
    assert list(index.held(filled, ["r00200", "nobody", "r00003", "", "r00200"])) == ["r00200", "r00003", "r00200"]
    assert list(index.held(filled, [])) == []
    many = [f"r{number:05d}" for number in range(9_000)]
    assert list(index.held(filled, many)) == many[:300]


def test_vectors_of_another_model_or_width_are_refused(index: Index, filled: str) -> None:
    with pytest.raises(Mismatch):
        index.search(ask(filled, model=OTHER_MODEL, similar=1))
    with pytest.raises(Mismatch):
        index.search(ask(filled, vectors=vectors(1, dimension=9), similar=1))
    with pytest.raises(Mismatch):
        index.upsert(filled, OTHER_MODEL, references(1))
    with pytest.raises(Mismatch):
        index.upsert(filled, MODEL, references(1, dimension=9))
    assert index.describe(filled).count == len(STORED)


def test_what_is_not_there_is_missing(index: Index) -> None:
    for missing in (
        lambda: index.search(ask("nobody", similar=1)),
        lambda: index.describe("nobody"),
        lambda: index.version("nobody"),
        lambda: index.held("nobody", ["x"]),
        lambda: index.upsert("nobody", MODEL, references(1)),
        lambda: index.publish("nobody", "nobodys_alias"),
        lambda: index.drop("nobody"),
    ):
        with pytest.raises(Missing):
            missing()


def test_publishing_moves_the_alias_and_keeps_what_it_names_from_being_dropped(index: Index) -> None:
    first, second, alias = made(index, references(5, prefix="a")), made(index, references(5, prefix="b")), name("alias")
    with pytest.raises(Missing):
        index.describe(alias)
    assert index.publish(first, alias) == ""
    assert index.search(ask(alias, similar=1)).collection == first
    assert index.describe(alias).aliases == (alias,)
    assert index.publish(second, alias) == first
    assert index.publish(second, alias) == second
    found = index.search(ask(alias, similar=5))
    assert found.collection == second
    assert sorted(ids(found.similar)) == [f"b{number:05d}" for number in range(5)]
    assert list(index.held(alias, ["a00001", "b00001"])) == ["b00001"]
    with pytest.raises(Conflict):
        index.drop(second)
    assert index.describe(second).count == 5
    index.drop(first)
    with pytest.raises(Missing):
        index.describe(first)
    with pytest.raises(Missing):
        index.search(ask(first, similar=1))
    assert first not in [collection.name for collection in index.collections()]
    # A dropped name is free again, for another model too.
    assert index.create(first, 4, OTHER_MODEL).count == 0


def test_a_name_is_a_version_or_an_alias_and_never_both(index: Index) -> None:
    collection, alias = made(index, references(2)), name("alias")
    index.publish(collection, alias)
    with pytest.raises(Conflict):
        index.create(alias, 8, MODEL)
    with pytest.raises(Conflict):
        index.publish(collection, collection)
    with pytest.raises(Missing):
        index.upsert(alias, MODEL, references(1))
    with pytest.raises(Missing):
        index.publish(alias, name("alias"))
    with pytest.raises(Missing):
        index.drop(alias)


def test_concurrent_writers_lose_nothing(index: Index) -> None:
    collection = name()
    index.create(collection, 8, MODEL)
    shared = [reference("shared", author=str(number)) for number in range(6)]

    def write(writer: int) -> None:
        for batch in range(4):
            index.upsert(collection, MODEL, references(25, seed=writer, prefix=f"w{writer}b{batch}_"))
            index.upsert(collection, MODEL, paired([(shared[writer], vectors(writer))]))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert index.describe(collection).count == 6 * 4 * 25 + 1
    wanted = [f"w{w}b{b}_{n:05d}" for w in range(6) for b in range(4) for n in range(25)]
    assert list(index.held(collection, wanted)) == wanted


def test_a_search_during_a_swap_sees_one_version_or_the_other(index: Index) -> None:
    alias = name("alias")
    versions = [made(index, references(30, seed=n, prefix=f"{n}_")) for n in range(3)]
    index.publish(versions[0], alias)
    done = threading.Event()

    def search() -> list[tuple[str, set[str]]]:
        seen = []
        while not done.is_set():
            found = index.search(ask(alias, similar=30))
            seen.append((found.collection, {i.split("_")[0] for i in ids(found.similar)}))
        return seen

    with ThreadPoolExecutor(4) as pool:
        searching = [pool.submit(search) for _ in range(4)]
        for turn in range(12):
            index.publish(versions[turn % 2], alias)
        index.publish(versions[2], alias)
        # The versions that searches may just have resolved go away under them.
        index.drop(versions[0])
        index.drop(versions[1])
        done.set()
        seen = [answer for searched in searching for answer in searched.result()]
    assert seen
    for collection, prefixes in seen:
        assert prefixes == {str(versions.index(collection))}


def test_it_says_that_it_is_well(index: Index) -> None:
    assert index.problem() is None
