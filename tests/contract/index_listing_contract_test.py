"""How every `Index` lists its references: by id, page after page, whatever is written or published between."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from g3_geography import BoundingBox
from g3_kit.errors import Mismatch, Missing, Rejected, TooLarge
from g3_retrieval.index import Index
from g3_retrieval.references import Filter, Reference, ReferenceVectors
from g3_retrieval.service import Retrieval

from tests.servers import references as sampled
from tests.servers.references import DIMENSION, HOSTILE, MODEL, OTHER_MODEL, new_name


def pages(
    index: Index, name: str, size: int, wanted: Filter | None = None, *, with_vectors: bool = False
) -> Iterator[tuple[Reference, ...]]:
    """Page after page, through the tokens."""
    token = ""
    while True:
        page, _, token = Retrieval(index).listed(name, token, size, wanted or Filter(), with_vectors)
        yield page.references
        if not token:
            return


def by_id(references: ReferenceVectors) -> list[Reference]:
    return sorted(references.references, key=lambda reference: reference.id)


@pytest.mark.parametrize("size", [300, 7, 299, 1_000])
def test_every_reference_is_listed_once_in_the_order_of_ids(
    index: Index, filled: str, references: ReferenceVectors, size: int
) -> None:
    listed = list(pages(index, filled, size))
    assert [len(page) for page in listed[:-1]] == [size] * (len(listed) - 1)
    assert [reference for page in listed for reference in page] == by_id(references)


def test_the_order_is_that_of_ids_and_not_of_writing(index: Index, collection: str) -> None:
    drawn, alias = sampled.sample(60), new_name()
    rows = [int(row) for row in np.random.default_rng(5).permutation(60)]
    for start in range(0, 60, 20):
        index.upsert(collection, MODEL, sampled.taken(drawn, rows[start : start + 20]))
        # In segments of their own on Milvus, and some of them replaced by later ones.
        index.publish(collection, alias)
    index.upsert(collection, MODEL, sampled.taken(drawn, rows[10:30]))
    for size in (1, 11, 60, 1_000):
        assert [each for page in pages(index, collection, size) for each in page] == by_id(drawn)


def test_vectors_come_with_their_references(index: Index, filled: str, references: ReferenceVectors) -> None:
    stored = {reference.id: row for reference, row in zip(references.references, references.stored(), strict=True)}
    page, version, token = Retrieval(index).listed(filled, "", 25, Filter(), True)
    assert (version.name, version.model, bool(token)) == (filled, MODEL, True)
    assert page.stored is not None
    assert page.stored.dtype == np.float32
    assert page.stored.shape == (25, 3 * DIMENSION)
    for reference, row in zip(page.references, page.stored, strict=True):
        np.testing.assert_array_equal(row, stored[reference.id])


def test_only_what_passes_is_listed(index: Index, filled: str, references: ReferenceVectors) -> None:
    wanted = Filter(("FR", "NZ"), BoundingBox(south=-70, west=20, north=70, east=-20), ("photo-00002",), ("author 1",))
    expected = [references.references[row] for row in sampled.passing(references, wanted)]
    assert len(expected) > 10
    assert [each for page in pages(index, filled, 4, wanted) for each in page] == expected


def test_hostile_ids_are_listed_and_gone_on_from(index: Index, collection: str) -> None:
    drawn = sampled.named(HOSTILE, texts=HOSTILE)
    index.upsert(collection, MODEL, drawn)
    assert [each for page in pages(index, collection, 1) for each in page] == by_id(drawn)


def test_an_empty_version_has_one_empty_page(index: Index, collection: str) -> None:
    assert list(pages(index, collection, 5)) == [()]
    page, _, token = Retrieval(index).listed(collection, "", 5, Filter(), True)
    assert page.stored is not None
    assert (page.stored.shape, token) == ((0, 3 * DIMENSION), "")


def test_a_token_stays_with_its_version_and_sees_what_is_still_to_come(
    index: Index, opened: Callable[[Path], Index], collection: str, filled: str
) -> None:
    alias, drawn = new_name(), sampled.sample(40)
    index.upsert(collection, MODEL, sampled.taken(drawn, range(0, 40, 2)))
    index.publish(collection, alias)
    page, _, token = Retrieval(index).listed(alias, "", 10, Filter(), False)
    assert [each.id for each in page.references] == [f"photo-{row:05}" for row in range(0, 20, 2)]
    index.upsert(collection, MODEL, sampled.taken(drawn, range(1, 40, 2)))
    index.publish(filled, alias)
    page, version, token = Retrieval(index).listed(alias, token, 1_000, Filter(), False)
    assert (version.name, token) == (collection, "")
    assert [each.id for each in page.references] == [f"photo-{row:05}" for row in range(19, 40)]


def test_a_listing_goes_on_after_a_restart(opened: Callable[[Path], Index], tmp_path: Path) -> None:
    name, drawn = new_name(), sampled.sample(12)
    with closing(opened(tmp_path)) as first:
        first.create(name, DIMENSION, MODEL)
        first.upsert(name, MODEL, drawn)
        page, _, token = Retrieval(first).listed(name, "", 5, Filter(), False)
    with closing(opened(tmp_path)) as second:
        rest, _, last = Retrieval(second).listed("", token, 1_000, Filter(), False)
        assert last == ""
        assert [*page.references, *rest.references] == by_id(drawn)
        second.drop(name)
        with pytest.raises(Missing):
            Retrieval(second).listed("", token, 5, Filter(), False)
        second.create(name, DIMENSION, OTHER_MODEL)
        with pytest.raises(Mismatch):
            Retrieval(second).listed("", token, 5, Filter(), False)
        second.drop(name)


def test_what_no_page_gave_is_no_token(index: Index, filled: str) -> None:
    for token in ("x", "é", "WzFd", "e30=", "WyJhIiwgImIiXQ==", "WyJhIGIiLCAiYiIsICJjIl0=", "bnVsbA=="):
        with pytest.raises(Rejected):
            Retrieval(index).listed(filled, token, 5, Filter(), False)
    with pytest.raises(TooLarge):
        Retrieval(index).listed(filled, "", 10_001, Filter(), False)
    with pytest.raises(TooLarge):
        Retrieval(index).listed(filled, "", 1_001, Filter(), True)
    with pytest.raises(Missing):
        Retrieval(index).listed(new_name(), "", 5, Filter(), False)
