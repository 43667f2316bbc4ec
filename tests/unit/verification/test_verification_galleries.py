"""Galleries: merged, computed once, resumable, checked, and searched exactly."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3_kit.errors import G3Error, Late, Mismatch, Missing, Rejected, TooLarge, Unavailable
from g3_verification import gallery_search, gallery_vectors
from g3_verification.fakes import FakeScorer
from g3_verification.galleries import Found, Galleries, Sizes
from g3_verification.gallery import fingerprint, merged
from g3_verification.gallery_search import nearest
from g3_verification.gallery_shelf import Shelf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

SCORER = FakeScorer(dimension=16)
MODEL = SCORER.model.fingerprint


class CountingScorer(FakeScorer):
    """Counts the coordinates it embeds, and holds each pass while told to."""

    def __init__(self) -> None:
        super().__init__(dimension=16)
        self.embedded = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Event()

    def vectors(self, coordinates: NDArray[np.float64]) -> NDArray[np.float32]:
        self.entered.set()
        assert self.go_on.wait(30)
        self.embedded += len(coordinates)
        return super().vectors(coordinates)


def world(n: int, seed: int = 0) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    return np.stack([generator.uniform(-90, 90, n), generator.uniform(-180, 180, n)], axis=1)


@contextmanager
def galleries(folder: Path, scorer: FakeScorer = SCORER, sizes: Sizes | None = None) -> Iterator[Galleries]:
    opened = Galleries(scorer, Shelf(folder), sizes)
    try:
        yield opened
    finally:
        opened.close()


def prepared(opened: Galleries, name: str = "world") -> None:
    deadline = time.monotonic() + 30
    while not opened.describe(name).ready:
        assert time.monotonic() < deadline, opened.describe(name)
        time.sleep(0.01)


def search(opened: Galleries, place: tuple[float, float], k: int = 3) -> Found:
    query = SCORER.vectors(np.array([place]))[0]
    _, (found,) = opened.search("world", [(query.tobytes(), 16)], k, MODEL)
    assert not isinstance(found, G3Error)
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 70),
    st.integers(1, 40),
    st.sampled_from([np.float32, np.float16]),
    st.integers(0, 2**31),
)
def test_search_in_blocks_is_exact_and_ties_go_by_row(n: int, k: int, step: int, kind: type, seed: int) -> None:
    generator = np.random.default_rng(seed)
    # Few different vectors: ties everywhere, also across the cut and the blocks.
    vectors: NDArray[Any] = np.eye(4)[generator.integers(0, 4, n)].astype(kind)
    queries = generator.normal(size=(3, 4)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery_search, "_STEP_BYTES", 16 * step)
        found = nearest(vectors, queries, k)
    for query, (rows, cosines) in zip(queries, found, strict=True):
        truth = np.round(vectors.astype(np.float32) @ query, 6)
        expected = sorted(range(n), key=lambda row: (-truth[row], row))[:k]
        assert rows.tolist() == expected
        np.testing.assert_allclose(cosines, truth[expected], atol=1e-6)


def test_equal_sets_are_one_whatever_their_order() -> None:
    places = world(500)
    twice = np.concatenate([places[::-1], places, [[0.0, 180.0], [-0.0, -180.0]]])
    rows = merged(twice)
    assert len(rows) == 501
    assert fingerprint(rows) == fingerprint(merged(np.concatenate([places, [[0.0, -180.0]]])))
    assert fingerprint(rows) != fingerprint(merged(places))


def test_the_nearest_place_wins_and_the_similarity_is_scores(tmp_path: Path) -> None:
    places = world(20_000)
    with galleries(tmp_path) as opened:
        put = opened.put("world", [places[:9000], places[9000:]])
        assert (put.received, put.refused, put.gallery.count) == (20_000, 0, 20_000)
        prepared(opened)
        latitude, longitude = places[123]
        found = search(opened, (latitude, longitude))
        assert found[0][:2] == (latitude, longitude)
        scored = SCORER.similarities(SCORER.vectors(places[123:124])[0], np.array([place[:2] for place in found]))
        np.testing.assert_allclose([place[2] for place in found], scored, atol=1e-5)
        assert len(search(opened, (0.0, 0.0), k=1000)) == 1000


def test_vectors_are_computed_once_and_outlive_the_process(tmp_path: Path) -> None:
    scorer, places = CountingScorer(), world(9000)
    with galleries(tmp_path, scorer) as opened:
        opened.put("world", [places])
        prepared(opened)
        first = search(opened, (10.0, 20.0))
        # The same set under another name, and under its own again, costs nothing.
        opened.put("again", [places[::-1]])
        opened.put("world", [places])
        prepared(opened)
    assert scorer.embedded == 9000
    with galleries(tmp_path, scorer) as opened:
        prepared(opened)
        assert search(opened, (10.0, 20.0)) == first
    assert scorer.embedded == 9000


def test_a_build_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_vectors, "_STEP_ROWS", 8192)
    scorer, places = CountingScorer(), world(3 * 8192 + 5)
    with galleries(tmp_path, scorer) as opened:
        scorer.go_on.clear()
        standing = opened.put("world", [places]).gallery
        assert not standing.ready
        with pytest.raises(Unavailable, match="being prepared, 0 of 24581"):
            search(opened, (0.0, 0.0))
        assert scorer.entered.wait(30)
        opened._closing.set()  # the process is told to end while the first block is computed
        scorer.go_on.set()
    assert scorer.embedded == 8192
    with galleries(tmp_path, scorer) as opened:
        prepared(opened)
    assert scorer.embedded == len(places)


@pytest.mark.parametrize("damage", ["bit", "cut", "torn seal", "no seals"])
def test_damage_on_the_disk_is_found_and_mended(tmp_path: Path, damage: str) -> None:
    scorer, places = CountingScorer(), world(2 * 8192 + 5)
    with galleries(tmp_path, scorer) as opened:
        opened.put("world", [places])
        prepared(opened)
        right = search(opened, (48.0, 2.0), k=20)
    (vectors,) = tmp_path.glob("*/*.vectors")
    seals = vectors.with_suffix(".blocks")
    data = bytearray(vectors.read_bytes())
    if damage == "bit":
        data[64 * 8192 + 11] ^= 1
    if damage == "cut":
        del data[-7:]
    vectors.write_bytes(data)
    if damage == "torn seal":
        seals.write_text(seals.read_text()[:-4])
    if damage == "no seals":
        seals.unlink()
    with galleries(tmp_path, scorer) as opened:
        prepared(opened)
        assert search(opened, (48.0, 2.0), k=20) == right
    assert scorer.embedded == len(places) + {"bit": 8197, "cut": 5, "torn seal": 5, "no seals": len(places)}[damage]


def test_large_galleries_are_kept_as_float16(tmp_path: Path) -> None:
    places = world(5000)
    with galleries(tmp_path, sizes=Sizes(float32_bytes=1000)) as opened:
        standing = opened.put("world", [places]).gallery
        assert (standing.precision, standing.vector_bytes) == ("float16", 5000 * 16 * 2)
        prepared(opened)
        found = search(opened, (48.0, 2.0))
        scored = SCORER.similarities(SCORER.vectors(np.array([[48.0, 2.0]]))[0], np.array([p[:2] for p in found]))
        np.testing.assert_allclose([place[2] for place in found], scored, atol=1e-3)
    (vectors,) = tmp_path.glob("*/*.vectors")
    assert vectors.stat().st_size == 5000 * 16 * 2


def test_another_model_has_vectors_of_its_own(tmp_path: Path) -> None:
    other = FakeScorer(dimension=16, name="another")
    with galleries(tmp_path) as opened:
        opened.put("world", [world(100)])
        prepared(opened)
        with pytest.raises(Mismatch):
            opened.search("world", [(b"", 16)], 1, other.model.fingerprint)
    with galleries(tmp_path, other) as opened:
        prepared(opened)
    assert len(list(tmp_path.glob("*/*.vectors"))) == 2


def test_a_broken_device_is_told_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("g3_verification.galleries._AGAIN_S", 0.05)
    scorer = FakeScorer(dimension=16)
    scorer.broken = True
    with galleries(tmp_path, scorer) as opened:
        opened.put("world", [world(10)])
        deadline = time.monotonic() + 10
        while not opened.describe("world").problem:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        scorer.broken = False
        prepared(opened)
        assert opened.describe("world").problem == ""


def test_replaced_and_dropped_galleries_leave_the_disk(tmp_path: Path) -> None:
    with galleries(tmp_path) as opened:
        opened.put("world", [world(10)])
        opened.put("world", [world(11)])
        prepared(opened)
        assert opened.describe("world").count == 11
        assert len(list(tmp_path.glob("*/coordinates.npy"))) == 1
        opened.drop("world")
        assert list(tmp_path.glob("*/coordinates.npy")) == []
        with pytest.raises(Missing):
            opened.describe("world")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("g3_verification.galleries.MAX_GALLERIES", 2)
    query = (SCORER.vectors(np.array([[0.0, 0.0]]))[0].tobytes(), 16)
    with galleries(tmp_path, sizes=Sizes(max_coordinates=100)) as opened:
        with pytest.raises(TooLarge, match="at most 100"):
            opened.put("world", [world(60), world(60)])
        opened.put("world", [world(100)])
        opened.put("two", [world(1)])
        with pytest.raises(TooLarge, match="drop one"):
            opened.put("three", [world(1)])
        opened.put("two", [world(2)])
        for bad in ("", "a b", "1st", "x/y", "..", "a" * 101, "naïve"):
            with pytest.raises(Rejected):
                opened.put(bad, [world(1)])
        prepared(opened)
        with pytest.raises(TooLarge, match="256"):
            opened.search("world", [query] * 257, 1, MODEL)
        with pytest.raises(Rejected):
            opened.search("world", [], 1, MODEL)
        with pytest.raises(Late):
            opened.search("world", [query], 1, MODEL, lambda: -1.0)


def test_a_hostile_stream_lists_its_first_thousand_faults(tmp_path: Path) -> None:
    places = np.full((5000, 2), np.nan)
    places[0] = (0.0, 0.0)
    with galleries(tmp_path) as opened:
        put = opened.put("world", [places[:1500], places[1500:]])
    assert (put.received, put.refused, len(put.errors)) == (5000, 4999, 1000)
    assert min(put.errors) == 1
    assert put.gallery.count == 1
