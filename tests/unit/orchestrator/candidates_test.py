"""Pooling, hints and ranking."""

import pytest
from g3_geography import BoundingBox, Coordinates, Place, destination
from g3_kit.errors import NotYet
from g3_orchestrator.candidates import Pool, Proposal, pool
from g3_orchestrator.fakes import FakeNamer
from g3_orchestrator.hints import box_around, search_box
from g3_orchestrator.model import Answer, Dropped, Match
from g3_orchestrator.parameters import Asked, Circle, Hints, resolve
from g3_orchestrator.ranking import ranked
from g3_orchestrator.states import DropReason, Origin, Ranking
from hypothesis import given
from hypothesis import strategies as st

PLACE = Place("Nowhere", "", "Neverland", "NL")


def said(*texts: str) -> list[Answer]:
    return [Answer(index // 2, index % 2, text) for index, text in enumerate(texts)]


def match(name: str, latitude: float, longitude: float) -> Match:
    return Match(name, Coordinates(latitude, longitude), PLACE, "", 0.5)


def test_answers_come_first_then_the_most_similar_references() -> None:
    similar = [match("a", 1, 1), match("b", 2, 2), match("c", 3, 3)]
    made = pool(said("(5, 5)", "(6, 6)"), similar, resolve(Asked()), FakeNamer(), retrieved=2)
    assert [(p.origin, p.prompt, p.sample, p.reference_id) for p in made.proposals] == [
        (Origin.LMM, 0, 0, ""),
        (Origin.LMM, 0, 1, ""),
        (Origin.RETRIEVED, 0, 0, "a"),
        (Origin.RETRIEVED, 0, 0, "b"),
    ]
    assert len(made.places) == 4
    assert made.dropped == ()


def test_every_answer_becomes_a_candidate_or_is_accounted_for() -> None:
    texts = ["(5, 5)", "(5.0, 5.0)", "no idea", "(95, 5)", "I cannot determine the place", "(7, 7)"]
    made = pool(said(*texts), [match("a", 5, 5)], resolve(Asked()), FakeNamer(), retrieved=1)
    assert [proposal.coordinates for proposal in made.proposals] == [Coordinates(5, 5), Coordinates(7, 7)]
    assert set(made.dropped) == {
        Dropped(0, 1, DropReason.DUPLICATE),
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
    made = pool(said("(5, 5)", "(50, 5)"), similar, resolve(Asked(hints=hints)), FakeNamer(), retrieved=1)
    # The one retrieved candidate is the most similar of those that fit.
    assert [(p.origin, p.reference_id) for p in made.proposals] == [(Origin.LMM, ""), (Origin.RETRIEVED, "near")]
    assert made.dropped == (Dropped(0, 1, DropReason.OUTSIDE_HINTS),)


def test_answers_in_other_countries_are_dropped() -> None:
    hints = resolve(Asked(hints=Hints(("DE",))))
    made = pool(said("(5, 5)"), [match("a", 6, 6)], hints, FakeNamer(), retrieved=1)
    assert [proposal.reference_id for proposal in made.proposals] == ["a"]
    assert made.dropped == (Dropped(0, 0, DropReason.OUTSIDE_HINTS),)


def test_nothing_said_and_nothing_found_is_an_empty_pool() -> None:
    assert pool([], [], resolve(Asked()), FakeNamer(), retrieved=15) == Pool((), (), ())


def a_pool(count: int) -> Pool:
    proposals = tuple(Proposal(Coordinates(row, 0), Origin.RETRIEVED, reference_id=str(row)) for row in range(count))
    return Pool(proposals, (PLACE,) * count, ())


def test_the_greatest_cosine_wins_and_ties_keep_their_order() -> None:
    best = ranked(a_pool(4), [0.1, 0.7, 0.7, -0.2], Ranking.SIMILARITY)
    assert [(candidate.reference_id, candidate.rank) for candidate in best] == [("1", 1), ("2", 2), ("0", 3), ("3", 4)]


def test_a_candidate_without_a_score_never_wins() -> None:
    best = ranked(a_pool(3), [None, float("nan"), -1.0], Ranking.SIMILARITY)
    assert [candidate.reference_id for candidate in best] == ["2"]


def test_first_keeps_the_order_of_the_pool() -> None:
    best = ranked(a_pool(3), [0.1, 0.9, 0.5], Ranking.FIRST)
    assert [candidate.reference_id for candidate in best] == ["0", "1", "2"]


@pytest.mark.parametrize("ranking", [Ranking.CONSENSUS, Ranking.MEAN])
def test_rankings_of_later_releases_are_not_yet(ranking: Ranking) -> None:
    with pytest.raises(NotYet):
        ranked(a_pool(1), [0.5], ranking)


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
