"""What every `Index` does with collections, writes and aliases: FAISS, milvus-lite and a Milvus core alike."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from g3_kit.errors import Conflict, Mismatch, Missing
from g3_retrieval.index import Index

from tests.servers import references as sampled
from tests.servers.references import DIMENSION, MODEL, OTHER_MODEL, assert_same, found_ids, new_name, search


def test_creation_repeats_harmlessly_and_never_changes_what_is_there(index: Index, collection: str) -> None:
    made = index.create(collection, DIMENSION, MODEL)
    assert (made.name, made.dimension, made.model, made.count, made.aliases) == (collection, DIMENSION, MODEL, 0, ())
    index.upsert(collection, MODEL, sampled.sample(3))
    assert index.create(collection, DIMENSION, MODEL).count == 3
    with pytest.raises(Conflict):
        index.create(collection, DIMENSION, OTHER_MODEL)
    with pytest.raises(Conflict):
        index.create(collection, DIMENSION + 1, MODEL)
    version = index.version(collection)
    assert (version.model, version.dimension) == (MODEL, DIMENSION)


def test_an_upsert_repeats_harmlessly_and_replaces(index: Index, collection: str) -> None:
    first = sampled.sample(20)
    assert index.upsert(collection, MODEL, first) == 20
    assert index.upsert(collection, MODEL, first) == 20
    assert index.describe(collection).count == 20
    changed = sampled.named([reference.id for reference in first.references[:5]], seed=7, texts=["new"] * 5)
    assert index.upsert(collection, MODEL, changed) == 5
    assert index.describe(collection).count == 20
    [match] = search(index, collection, vectors=sampled.photo(changed, 2), similar=1).similar
    assert match.reference == changed.references[2]
    assert match.similarity == pytest.approx(1.0, abs=1e-5)
    [old] = search(index, collection, vectors=sampled.photo(first, 2), similar=1).similar
    assert old.similarity < 0.99


def test_the_last_of_references_with_one_id_is_kept(index: Index, collection: str) -> None:
    twice = sampled.named(["same", "other", "same"], texts=["first", "second", "third"])
    assert index.upsert(collection, MODEL, twice) == 2
    assert index.describe(collection).count == 2
    [match] = search(index, collection, vectors=sampled.photo(twice, 2), similar=1).similar
    assert match.reference == twice.references[2]


def test_counts_are_exact_as_batches_come(index: Index, collection: str) -> None:
    drawn = sampled.sample(150)
    for start in range(0, 150, 50):
        index.upsert(collection, MODEL, sampled.taken(drawn, slice(start, start + 50)))
        assert index.describe(collection).count == start + 50


def test_an_id_of_the_full_length_is_kept(index: Index, collection: str) -> None:
    longest = ["é" * 100, "x" * 200, "北" * 66]
    index.upsert(collection, MODEL, sampled.named(longest))
    assert list(index.held(collection, longest)) == longest
    assert found_ids(search(index, collection)) == set(longest)


def test_what_is_not_there_is_missing(index: Index, collection: str) -> None:
    absent = new_name()
    for ask in (
        lambda: index.version(absent),
        lambda: index.upsert(absent, MODEL, sampled.sample(1)),
        lambda: index.publish(absent, new_name()),
        lambda: index.drop(absent),
        lambda: search(index, absent),
        lambda: index.describe(absent),
        lambda: index.held(absent, ["x"]),
    ):
        with pytest.raises(Missing):
            ask()
    alias = new_name()
    index.publish(collection, alias)
    for ask in (
        lambda: index.version(alias),
        lambda: index.upsert(alias, MODEL, sampled.sample(1)),
        lambda: index.publish(alias, new_name()),
        lambda: index.drop(alias),
    ):
        with pytest.raises(Missing):
            ask()


def test_vectors_of_another_model_or_width_are_a_mismatch(index: Index, collection: str, filled: str) -> None:
    with pytest.raises(Mismatch):
        index.upsert(collection, OTHER_MODEL, sampled.sample(1))
    with pytest.raises(Mismatch):
        index.upsert(collection, MODEL, sampled.sample(1, dimension=DIMENSION * 2))
    with pytest.raises(Mismatch):
        search(index, filled, model=OTHER_MODEL)
    with pytest.raises(Mismatch):
        search(index, filled, vectors=sampled.query(dimension=DIMENSION * 2))
    assert index.describe(collection).count == 0


def test_publishing_swaps_and_a_published_version_stays(index: Index, collection: str) -> None:
    other, alias = new_name(), new_name()
    index.create(other, DIMENSION, MODEL)
    index.upsert(collection, MODEL, sampled.sample(3, prefix="old"))
    index.upsert(other, MODEL, sampled.sample(4, prefix="new"))
    assert index.publish(collection, alias) == ""
    assert index.publish(collection, alias) == collection
    found = search(index, alias)
    assert (found.collection, len(found.similar)) == (collection, 3)
    assert (index.describe(alias).name, index.describe(alias).aliases) == (collection, (alias,))
    assert list(index.held(alias, ["new-00001", "old-00002"])) == ["old-00002"]
    with pytest.raises(Conflict):
        index.drop(collection)
    assert index.publish(other, alias) == collection
    found = search(index, alias)
    assert (found.collection, len(found.similar)) == (other, 4)
    index.drop(collection)
    with pytest.raises(Missing):
        index.describe(collection)
    with pytest.raises(Conflict):
        index.drop(other)
    assert index.describe(other).count == 4


def test_a_name_is_a_version_or_an_alias_and_never_both(index: Index, collection: str, filled: str) -> None:
    alias = new_name()
    index.publish(collection, alias)
    with pytest.raises(Conflict):
        index.create(alias, DIMENSION, MODEL)
    with pytest.raises(Conflict):
        index.publish(collection, filled)


def test_several_aliases_of_one_version_are_listed(index: Index, collection: str) -> None:
    aliases = sorted(new_name() for _ in range(3))
    for alias in reversed(aliases):
        index.publish(collection, alias)
    listed = {each.name: each for each in index.collections()}
    assert listed[collection].aliases == tuple(aliases)
    assert list(listed) == sorted(listed)


def test_a_dropped_name_may_be_made_anew_for_another_model(index: Index) -> None:
    name = new_name()
    index.create(name, DIMENSION, MODEL)
    index.upsert(name, MODEL, sampled.sample(5))
    index.drop(name)
    assert name not in {each.name for each in index.collections()}
    made = index.create(name, DIMENSION * 2, OTHER_MODEL)
    assert (made.count, made.dimension, made.model) == (0, DIMENSION * 2, OTHER_MODEL)
    assert search(index, name, model=OTHER_MODEL, vectors=sampled.query(dimension=DIMENSION * 2)).similar == ()
    index.drop(name)


def test_held_ids_come_in_the_order_asked(index: Index, filled: str) -> None:
    asked = ["photo-00200", "no", "photo-00001", "", "photo-00150", "photo-00001"]
    assert list(index.held(filled, asked)) == ["photo-00200", "photo-00001", "photo-00150", "photo-00001"]
    assert list(index.held(filled, [])) == []
    many = [f"photo-{row:05}" for row in range(9_000)]
    assert list(index.held(filled, many)) == many[:300]


def test_concurrent_writers_and_a_reader_lose_nothing(index: Index, collection: str) -> None:
    drawn, done = sampled.sample(400), threading.Event()

    def write(worker: int) -> None:
        for start in range(worker * 100, worker * 100 + 100, 20):
            assert index.upsert(collection, MODEL, sampled.taken(drawn, slice(start, start + 20))) == 20

    def read() -> None:
        while not done.is_set():
            assert len(search(index, collection, similar=5).similar) <= 5

    with ThreadPoolExecutor(5) as pool:
        reader = pool.submit(read)
        writers = [pool.submit(write, worker) for worker in range(4)]
        try:
            for writer in writers:
                writer.result(60)
        finally:
            done.set()
        reader.result(30)
    everything = [reference.id for reference in drawn.references]
    assert index.describe(collection).count == 400
    assert list(index.held(collection, everything)) == everything
    found = search(index, collection, similar=1_000)
    assert_same(sampled.rows_of(found.similar), sampled.nearest(drawn, sampled.query()))


def test_concurrent_writers_of_the_same_ids_leave_each_once(index: Index, collection: str) -> None:
    drawn = sampled.sample(40)
    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(index.upsert, collection, MODEL, drawn) for _ in range(8)]
        assert [each.result(60) for each in written] == [40] * 8
    assert index.describe(collection).count == 40
    assert len(search(index, collection, similar=1_000).similar) == 40


def test_a_new_object_sees_everything(opened: Callable[[Path], Index], tmp_path: Path) -> None:
    collection, alias = new_name(), new_name()
    with closing(opened(tmp_path)) as first:
        first.create(collection, DIMENSION, MODEL)
        first.upsert(collection, MODEL, sampled.sample(60))
        first.upsert(collection, MODEL, sampled.named(["photo-00004"], texts=["replaced"], seed=3))
        first.publish(collection, alias)
    with closing(opened(tmp_path)) as second:
        described = second.describe(alias)
        assert (described.name, described.count, described.model) == (collection, 60, MODEL)
        assert described.aliases == (alias,)
        found = search(second, alias, similar=1_000)
        assert len(found.similar) == 60
        assert {m.reference.author for m in found.similar if m.reference.id == "photo-00004"} == {"replaced"}
        second.upsert(collection, MODEL, sampled.sample(1, prefix="more"))
        assert second.describe(collection).count == 61
        with pytest.raises(Conflict):
            second.drop(collection)


def test_searches_during_swaps_see_one_version_or_the_other(index: Index) -> None:
    alias, done = new_name(), threading.Event()
    versions = [new_name() for _ in range(3)]
    for number, version in enumerate(versions):
        index.create(version, DIMENSION, MODEL)
        index.upsert(version, MODEL, sampled.sample(30, seed=number, prefix=version))
    index.publish(versions[0], alias)

    def seen() -> list[tuple[str, set[str]]]:
        answers = []
        while not done.is_set():
            found = search(index, alias, similar=30)
            answers.append((found.collection, {each.rpartition("-")[0] for each in found_ids(found)}))
        return answers

    with ThreadPoolExecutor(4) as pool:
        searching = [pool.submit(seen) for _ in range(4)]
        try:
            for turn in range(6):
                index.publish(versions[turn % 2], alias)
            index.publish(versions[2], alias)
            # What searches may just have resolved goes away under them.
            index.drop(versions[0])
            index.drop(versions[1])
        finally:
            done.set()
        answers = [answer for each in searching for answer in each.result(60)]
    assert answers
    assert [(version, prefixes) for version, prefixes in answers if prefixes != {version}] == []


def test_an_index_that_answers_has_no_problem(index: Index) -> None:
    assert index.problem() is None
