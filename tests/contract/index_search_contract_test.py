"""What every `Index` finds: FAISS, milvus-lite and a Milvus core answer alike, and as numpy does."""

from dataclasses import replace

import pytest
from g3_geography import BoundingBox
from g3_retrieval.index import Index
from g3_retrieval.references import Dissimilar, Filter, ManySearch, ReferenceVectors, RetrievalVector

from tests.servers import references as sampled
from tests.servers.references import HOSTILE, MODEL, assert_same, found_ids, search


@pytest.mark.parametrize("compared", list(RetrievalVector))
@pytest.mark.parametrize("seed", [99, 100])
def test_similar_ones_are_those_of_numpy(
    index: Index, filled: str, references: ReferenceVectors, compared: RetrievalVector, seed: int
) -> None:
    asked = sampled.query(seed)
    found = search(index, filled, vectors=asked, retrieval_vector=compared, similar=25)
    assert (found.collection, found.model, found.dissimilar) == (filled, MODEL, ())
    assert_same(sampled.rows_of(found.similar), sampled.nearest(references, asked, compared)[:25])
    by_id = {reference.id: reference for reference in references.references}
    assert all(match.reference == by_id[match.reference.id] for match in found.similar)


@pytest.mark.parametrize("compared", list(RetrievalVector))
@pytest.mark.parametrize("similar", [1, 3, 40])
def test_many_at_once_find_what_each_finds_alone(
    index: Index, filled: str, references: ReferenceVectors, compared: RetrievalVector, similar: int
) -> None:
    # Photos 0 to 19 are ten pairs of equals: ties at the cut.
    asked = (*(sampled.photo(references, row) for row in range(20)), *(sampled.query(seed) for seed in range(50, 80)))
    wanted = Filter(excluded_authors=("author 3",))
    many = index.search_many(ManySearch(filled, MODEL, asked, similar, compared, wanted))
    assert (many.collection, many.model, len(many.similar)) == (filled, MODEL, len(asked))
    for vectors, matches in zip(asked, many.similar, strict=True):
        assert_same(sampled.rows_of(matches), sampled.nearest(references, vectors, compared, wanted)[:similar])


@pytest.mark.parametrize("compared", list(RetrievalVector))
def test_farthest_ones_are_those_of_numpy(
    index: Index, filled: str, references: ReferenceVectors, compared: RetrievalVector
) -> None:
    found = search(
        index, filled, retrieval_vector=compared, similar=0, dissimilar=12, dissimilar_kind=Dissimilar.FARTHEST
    )
    assert found.similar == ()
    expected = sampled.nearest(references, sampled.query(), compared, sign=-1.0)[:12]
    assert_same(sampled.rows_of(found.dissimilar), expected)


def test_ties_are_in_the_order_of_ids_wherever_the_answer_is_cut(
    index: Index, filled: str, references: ReferenceVectors
) -> None:
    asked = sampled.photo(references, 3)
    pair = [references.references[row].id for row in (3, 13)]
    assert [row.id for row in sampled.rows_of(search(index, filled, vectors=asked, similar=1).similar)] == pair[:1]
    assert [row.id for row in sampled.rows_of(search(index, filled, vectors=asked, similar=2).similar)] == pair


def test_a_tie_wider_than_the_answer_is_cut_by_id(index: Index, collection: str) -> None:
    drawn = sampled.sample(90)
    for name in ("clip", "text_aligned", "gps_aligned"):
        getattr(drawn, name)[5:85] = getattr(drawn, name)[5]
    index.upsert(collection, MODEL, drawn)
    found = search(index, collection, vectors=sampled.photo(drawn, 5), similar=4)
    assert [match.reference.id for match in found.similar] == [f"photo-{row:05}" for row in (5, 6, 7, 8)]
    opposite = replace(
        sampled.photo(drawn, 5),
        clip=-drawn.clip[5],
        text_aligned=-drawn.text_aligned[5],
        gps_aligned=-drawn.gps_aligned[5],
    )
    far = search(
        index, collection, vectors=opposite, similar=0, dissimilar=3, dissimilar_kind=Dissimilar.FARTHEST
    ).dissimilar
    assert [match.reference.id for match in far] == [f"photo-{row:05}" for row in (5, 6, 7)]
    assert far[0].similarity == pytest.approx(-1.0, abs=1e-5)


@pytest.mark.parametrize("similar", [0, 15])
def test_hard_negatives_are_near_in_looks_and_far_on_the_map(
    index: Index, filled: str, references: ReferenceVectors, similar: int
) -> None:
    found = search(index, filled, similar=similar, dissimilar=20, dissimilar_kind=Dissimilar.HARD)
    expected = sampled.hard_negatives(references, sampled.query(), 20, similar)
    assert_same(sampled.rows_of(found.dissimilar), expected)
    assert not found_ids(found) & {match.reference.id for match in found.dissimilar}


FILTERS = {
    "one country": Filter(country_codes=("NZ",)),
    "two countries": Filter(country_codes=("FR", "DE")),
    "a country without references": Filter(country_codes=("JP",)),
    "a box": Filter(bounding_box=BoundingBox(south=-30, west=-60.5, north=45.25, east=80)),
    "a box over the antimeridian": Filter(bounding_box=BoundingBox(south=-80, west=120, north=80, east=-130)),
    "the world": Filter(bounding_box=BoundingBox(south=-90, west=-180, north=90, east=180)),
    "an author": Filter(excluded_authors=("author 3", "nobody")),
    "everything at once": Filter(
        ("FR", "NZ", "FJ"), BoundingBox(south=-70, west=20, north=70, east=-20), ("photo-00002",), ("author 1",)
    ),
}


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS.keys())
def test_filters_let_through_what_numpy_lets_through(
    index: Index, filled: str, references: ReferenceVectors, wanted: Filter
) -> None:
    found = search(index, filled, similar=40, dissimilar=5, dissimilar_kind=Dissimilar.FARTHEST, filter=wanted)
    asked = sampled.query()
    assert_same(sampled.rows_of(found.similar), sampled.nearest(references, asked, wanted=wanted)[:40])
    far = sampled.nearest(references, asked, wanted=wanted, sign=-1.0)[:5]
    assert_same(sampled.rows_of(found.dissimilar), far)


def test_excluded_ids_make_room_for_the_next(index: Index, filled: str, references: ReferenceVectors) -> None:
    ranked = sampled.nearest(references, sampled.query())
    excluded = tuple(row.id for row in ranked[:8])
    found = search(index, filled, similar=5, filter=Filter(excluded_ids=(*excluded, "unknown")))
    assert_same(sampled.rows_of(found.similar), ranked[8:13])


def test_edges_belong_to_a_box_and_180_is_minus_180(index: Index, collection: str) -> None:
    places = [
        (10.0, 180.0),
        (10.0, 179.5),
        (10.0, -179.5),
        (10.0, 170.0),
        (10.0, 169.999999),
        (-5.0, 175.0),
        (10.5, 175),
    ]
    drawn = sampled.at(places)
    index.upsert(collection, MODEL, drawn)
    for box in (
        BoundingBox(south=-5, west=170, north=10, east=180),
        BoundingBox(south=-5, west=170, north=10, east=-179.5),
        BoundingBox(south=10, west=-180, north=10, east=-179.5),
        BoundingBox(south=10, west=180, north=10, east=-179.5),
        BoundingBox(south=10, west=180, north=10, east=180),
        BoundingBox(south=-90, west=-180, north=90, east=180),
    ):
        wanted = Filter(bounding_box=box)
        expected = {drawn.references[row].id for row in sampled.passing(drawn, wanted)}
        assert expected, box
        assert found_ids(search(index, collection, filter=wanted)) == expected, box


def test_hostile_texts_are_texts_and_nothing_else(index: Index, collection: str) -> None:
    drawn = sampled.named([f"id {text}" for text in HOSTILE], texts=HOSTILE)
    everything = {reference.id: reference for reference in drawn.references}
    index.upsert(collection, MODEL, drawn)
    index.upsert(collection, MODEL, drawn)
    found = search(index, collection, similar=len(HOSTILE) + 5)
    assert {match.reference.id: match.reference for match in found.similar} == everything
    assert list(index.held(collection, list(everything))) == list(everything)
    assert list(index.held(collection, [*HOSTILE, "id"])) == []
    # Each text once as an id and once as an author; one search for both, for a core takes its time.
    for reference, neighbour in zip(drawn.references, (*drawn.references[1:], drawn.references[0]), strict=True):
        wanted = Filter(excluded_ids=(reference.id,), excluded_authors=(neighbour.author,))
        found = search(index, collection, similar=len(HOSTILE) + 5, filter=wanted)
        assert found_ids(found) == set(everything) - {reference.id, neighbour.id}, wanted
    nothing = Filter(excluded_ids=tuple(everything), excluded_authors=HOSTILE)
    assert search(index, collection, filter=nothing).similar == ()


def test_an_empty_collection_gives_nothing(index: Index, collection: str) -> None:
    for kind in Dissimilar:
        found = search(index, collection, dissimilar=5, dissimilar_kind=kind)
        assert (found.similar, found.dissimilar) == ((), ())
    assert list(index.held(collection, ["x"])) == []


def test_asking_for_more_than_there_is_gives_all(index: Index, collection: str) -> None:
    drawn = sampled.sample(12)
    index.upsert(collection, MODEL, drawn)
    found = search(index, collection, similar=1_000, dissimilar=1_000, dissimilar_kind=Dissimilar.FARTHEST)
    assert_same(sampled.rows_of(found.similar), sampled.nearest(drawn, sampled.query()))
    assert_same(sampled.rows_of(found.dissimilar), sampled.nearest(drawn, sampled.query(), sign=-1.0))
    hard = search(index, collection, similar=1_000, dissimilar=1_000, dissimilar_kind=Dissimilar.HARD)
    assert hard.dissimilar == ()


def test_hard_negatives_are_found_deep_in_the_list(index: Index, collection: str) -> None:
    drawn = sampled.at([(48.8, 2.3)] * 90 + [(-33.9, 151.2)])
    asked = sampled.query()
    for name in ("clip", "text_aligned", "gps_aligned"):
        getattr(drawn, name)[:90] = getattr(asked, name)
    index.upsert(collection, MODEL, drawn)
    found = search(index, collection, similar=0, dissimilar=3, dissimilar_kind=Dissimilar.HARD)
    assert [match.reference.id for match in found.dissimilar] == ["photo-00090"]


def test_a_thousand_excluded_ids(index: Index, filled: str) -> None:
    excluded = tuple(f"photo-{row:05}" for row in range(10, 1_010))
    found = search(index, filled, similar=50, filter=Filter(excluded_ids=excluded))
    assert found_ids(found) == {f"photo-{row:05}" for row in range(10)}
