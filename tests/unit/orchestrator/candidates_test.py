"""Pooling, and the boxes of hints."""

import pytest
from g3_choice import Origin
from g3_geography import BoundingBox, Coordinates, Place, destination
from g3_orchestrator.candidates import Pool, pool
from g3_orchestrator.fakes import FakeNamer
from g3_orchestrator.hints import box_around, search_box
from g3_orchestrator.model import Answer, Dropped, GalleryPoint, Match
from g3_orchestrator.parameters import Asked, Circle, Hints, resolve
from g3_orchestrator.states import DropReason
from hypothesis import given
from hypothesis import strategies as st

PLACE = Place("Nowhere", "", "Neverland", "NL")
POINT = GalleryPoint(Coordinates(8, 8), 0.75)


def said(*texts: str) -> list[Answer]:
    return [Answer(index // 2, index % 2, text) for index, text in enumerate(texts)]


def match(name: str, latitude: float, longitude: float) -> Match:
    return Match(name, Coordinates(latitude, longitude), PLACE, "", 0.5)


def test_answers_come_first_then_the_most_similar_references_then_the_gallery() -> None:
    similar = [match("a", 1, 1), match("b", 2, 2), match("c", 3, 3)]
    made = pool(said("(5, 5)", "(6, 6)"), similar, [POINT], resolve(Asked()), FakeNamer(), retrieved=2)
    assert [(p.origin, p.prompt, p.sample, p.reference_id, p.rank) for p in made.proposals] == [
        (Origin.LMM, 0, 0, "", 0),
        (Origin.LMM, 0, 1, "", 0),
        (Origin.RETRIEVED, 0, 0, "a", 1),
        (Origin.RETRIEVED, 0, 0, "b", 2),
        (Origin.GALLERY, 0, 0, "", 1),
    ]
    assert [p.evidence for p in made.proposals] == [None, None, 0.5, 0.5, None]
    assert made.proposals[-1].similarity == 0.75
    assert made.dropped == ()


def test_every_answer_is_proposed_or_is_accounted_for() -> None:
    texts = ["(5, 5)", "(5.0, 5.0)", "no idea", "(95, 5)", "I cannot determine the place", "(7, 7)"]
    made = pool(said(*texts), [match("a", 5, 5)], [], resolve(Asked()), FakeNamer(), retrieved=1)
    # Equal answers are two voices: merging them is the choice's.
    assert [proposal.coordinates.latitude for proposal in made.proposals] == [5, 5, 7, 5]
    assert set(made.dropped) == {
        Dropped(1, 0, DropReason.UNPARSABLE),
        Dropped(1, 1, DropReason.OUT_OF_RANGE),
        Dropped(2, 0, DropReason.REFUSED),
    }


@pytest.mark.parametrize(
    "hints",
    [
        Hints(bounding_box=BoundingBox(0, 0, 10, 10)),
        Hints(circle=Circle(Coordinates(5, 5), 100)),
    ],
)
def test_what_lies_outside_the_hints_is_dropped(hints: Hints) -> None:
    similar = [match("far", 50, 50), match("near", 5.1, 5.1)]
    made = pool(said("(5, 5)", "(50, 5)"), similar, [], resolve(Asked(hints=hints)), FakeNamer(), retrieved=1)
    # The one retrieved candidate is the most similar of those that fit.
    assert [(p.origin, p.reference_id) for p in made.proposals] == [(Origin.LMM, ""), (Origin.RETRIEVED, "near")]
    assert made.dropped == (Dropped(0, 1, DropReason.OUTSIDE_HINTS),)


def test_answers_in_other_countries_are_dropped() -> None:
    hints = resolve(Asked(hints=Hints(("DE",))))
    made = pool(said("(5, 5)"), [match("a", 6, 6)], [], hints, FakeNamer(), retrieved=1)
    assert [proposal.reference_id for proposal in made.proposals] == ["a"]
    assert made.dropped == (Dropped(0, 0, DropReason.OUTSIDE_HINTS),)


def test_nothing_said_and_nothing_found_is_an_empty_pool() -> None:
    assert pool([], [], [], resolve(Asked()), FakeNamer(), retrieved=15) == Pool((), ())


@given(
    latitude=st.floats(-90, 90),
    longitude=st.floats(-180, 179.9),
    radius_km=st.floats(0.01, 20_000),
    bearing=st.floats(0, 360),
    part=st.floats(0, 1),
)
def test_a_box_covers_its_circle(
    latitude: float, longitude: float, radius_km: float, bearing: float, part: float
) -> None:
    circle = Circle(Coordinates(latitude, longitude), radius_km)
    assert destination(circle.center, bearing, radius_km * part) in box_around(circle)


def test_the_callers_box_comes_before_the_circles() -> None:
    box = BoundingBox(0, 0, 1, 1)
    circle = Circle(Coordinates(0, 0), 5)
    assert search_box(Hints(bounding_box=box, circle=circle)) is box
    assert search_box(Hints(circle=circle)) == box_around(circle)
    assert search_box(Hints()) is None
