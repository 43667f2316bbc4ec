"""The gallery of a collection is made when it is wanted, and again when the collection has grown."""

import threading

import numpy as np
import pytest
from g3_geography import Coordinates
from g3_kit.errors import Missing, Unavailable
from g3_orchestrator.fakes import GPS, MODEL, FakeReferenceList
from g3_orchestrator.galleries import Galleries, evenly
from g3_orchestrator.model import GalleryPoint
from g3_orchestrator.ports import GalleryFound
from numpy.typing import NDArray


class Shelf:
    """Galleries in memory; the first `preparing` searches of each find its vectors not computed yet."""

    def __init__(self, preparing: int = 0) -> None:
        self.kept: dict[str, NDArray[np.float64]] = {}
        self.preparing = preparing
        self.puts: list[str] = []

    def search(self, name: str, gps_aligned: bytes, count: int, model: str) -> GalleryFound:
        if name not in self.kept:
            raise Missing(f"no gallery {name}")
        if self.preparing:
            self.preparing -= 1
            raise Unavailable("being prepared")
        points = tuple(GalleryPoint(Coordinates(*row), 0.5) for row in self.kept[name][:count].tolist())
        return GalleryFound(points, name, MODEL, GPS)

    def put(self, name: str, points: NDArray[np.float64]) -> None:
        self.puts.append(name)
        self.kept[name] = points


@pytest.fixture
def references() -> FakeReferenceList:
    return FakeReferenceList([(1.0, 2.0), (3.0, 4.0), (1.0, 2.0), (5.0, 6.0)])


def test_the_first_search_has_the_gallery_made_and_waits_for_it(references: FakeReferenceList) -> None:
    shelf, stop = Shelf(preparing=2), threading.Event()
    galleries = Galleries(shelf, references, wait_s=20)
    thread = threading.Thread(target=galleries.run, args=(stop,))
    thread.start()
    try:
        found = galleries.nearest(b"", "photos_v1", 10, MODEL)
    finally:
        stop.set()
        thread.join(10)
    assert found.gallery == "photos_v1"
    # Each place once.
    assert [point.coordinates for point in found.points] == [Coordinates(1, 2), Coordinates(3, 4), Coordinates(5, 6)]
    assert not thread.is_alive()


def test_who_has_waited_long_enough_is_told_so_and_nobody_waits_again(references: FakeReferenceList) -> None:
    galleries = Galleries(Shelf(), references, wait_s=0.2)
    for _ in range(3):
        with pytest.raises(Unavailable, match="photos_v1 is not there yet"):
            galleries.nearest(b"", "photos_v1", 1, MODEL)


def test_a_gallery_that_is_there_is_used_before_one_is_made(references: FakeReferenceList) -> None:
    shelf = Shelf()
    shelf.put("photos_v1", np.array([[7.0, 8.0]]))
    assert Galleries(shelf, references).nearest(b"", "photos_v1", 1, MODEL).points[0].coordinates == Coordinates(7, 8)


def test_a_grown_collection_gets_a_new_gallery_once_it_stands_still(references: FakeReferenceList) -> None:
    shelf = Shelf()
    galleries = Galleries(shelf, references, wait_s=0.0, look_s=0.0)
    with pytest.raises(Unavailable):
        galleries.nearest(b"", "photos_v1", 1, MODEL)
    galleries.look()
    galleries.look()
    assert shelf.puts == ["photos_v1"]
    references.points.append((9.0, 9.0))
    for _ in range(3):
        # What a slow listing earns: it is not repeated at once.
        galleries._wanted["photos_v1"].next_look = 0.0
        galleries.look()
    assert shelf.puts == ["photos_v1", "photos_v1"]
    assert len(shelf.kept["photos_v1"]) == 4


def test_a_fault_is_not_the_end_of_it(references: FakeReferenceList) -> None:
    shelf = Shelf()
    galleries = Galleries(shelf, references, wait_s=0.0, look_s=0.0)
    references.faults.append(Unavailable("away"))
    with pytest.raises(Unavailable):
        galleries.nearest(b"", "photos_v1", 1, MODEL)
    galleries.look()
    assert shelf.puts == []
    galleries._wanted["photos_v1"].next_look = 0.0
    galleries.look()
    assert shelf.puts == ["photos_v1"]


def test_a_large_collection_has_an_even_part_under_a_name_of_its_own(references: FakeReferenceList) -> None:
    shelf = Shelf()
    galleries = Galleries(shelf, references, most=2, wait_s=0.0, look_s=0.0)
    with pytest.raises(Unavailable):
        galleries.nearest(b"", "photos_v1", 1, MODEL)
    galleries.look()
    found = galleries.nearest(b"", "photos_v1", 10, MODEL)
    assert (found.gallery, len(found.points)) == ("photos_v1_part_2", 2)


def test_the_part_is_the_same_whatever_else_there_is_and_even() -> None:
    random = np.random.default_rng(7)
    points = np.stack([random.uniform(-90, 90, 20_000), random.uniform(-180, 180, 20_000)], axis=1)
    part = evenly(points, 5_000)
    assert len(np.unique(part, axis=0)) == 5_000
    rows = {tuple(row) for row in part.tolist()}
    shuffled = {tuple(row) for row in evenly(random.permutation(points), 5_000).tolist()}
    assert rows == shuffled
    # A quarter of each half of the Earth, within five standard deviations of chance.
    north = int((part[:, 0] > 0).sum())
    assert abs(north - 2_500) < 5 * (5_000 * 0.25) ** 0.5
    # One more place moves at most one out.
    more = {tuple(row) for row in evenly(np.concatenate([points, [[0.5, 0.5]]]), 5_000).tolist()}
    assert len(rows - more) <= 1
