"""Ties, and hard negatives, over lists that an index would give."""

import random
from collections.abc import Sequence

import pytest
from g3_geography import Coordinates, Place, destination
from g3_retrieval.ranking import HARD_AWAY_KM, MAX_RANKED, farthest, hard, top
from g3_retrieval.references import Match, Reference

HOME = Coordinates(48.85, 2.35)


def match(name: str, similarity: float, away_km: float = 0.0) -> Match:
    where = destination(HOME, 90.0, away_km)
    return Match(Reference(name, where, Place("", "", "", "")), similarity)


class Ranking:
    """An index that orders ties at random and remembers how deep it was asked."""

    def __init__(self, matches: Sequence[Match], seed: int = 0) -> None:
        shuffled = list(matches)
        random.Random(seed).shuffle(shuffled)
        self._matches = sorted(shuffled, key=lambda one: -one.similarity)
        self.asked: list[int] = []

    def __call__(self, limit: int) -> Sequence[Match]:
        self.asked.append(limit)
        return self._matches[:limit]


def names(matches: Sequence[Match]) -> list[str]:
    return [one.reference.id for one in matches]


@pytest.mark.parametrize("seed", range(5))
def test_a_tie_across_the_cut_goes_by_id(seed: int) -> None:
    tied = [match(f"t{number:03}", 0.5) for number in range(200)]
    ranking = Ranking([match("best", 0.9), *tied, match("worst", -0.9)], seed)
    assert names(top(ranking, 4)) == ["best", "t000", "t001", "t002"]
    assert len(ranking.asked) > 1


def test_without_a_tie_one_look_is_enough() -> None:
    ranking = Ranking([match(f"m{number}", 1 - number / 1000) for number in range(500)])
    assert names(top(ranking, 3)) == ["m0", "m1", "m2"]
    assert len(ranking.asked) == 1


def test_a_tie_deeper_than_an_index_looks_ends_all_the_same() -> None:
    ranking = Ranking([match(f"t{number:06}", 0.5) for number in range(MAX_RANKED + 100)])
    assert len(top(ranking, 5)) == 5
    assert max(ranking.asked) == MAX_RANKED


def test_fewer_than_asked_is_all_there_is() -> None:
    assert names(top(Ranking([match("b", 0.1), match("a", 0.1)]), 10)) == ["a", "b"]
    assert top(Ranking([]), 10) == []
    ranking = Ranking([match("a", 0.1)])
    assert top(ranking, 0) == []
    assert ranking.asked == []


def test_farthest_turns_the_sign_back() -> None:
    opposite = Ranking([match("least", 0.8), match("b", 0.2), match("a", 0.2), match("zero", 0.0)])
    found = farthest(opposite, 4)
    assert [(one.reference.id, one.similarity) for one in found] == [
        ("least", -0.8),
        ("a", -0.2),
        ("b", -0.2),
        ("zero", 0.0),
    ]
    assert str(found[-1].similarity) == "0.0"


def test_hard_negatives_begin_at_the_stated_distance_and_keep_their_order() -> None:
    ranking = Ranking(
        [
            match("best", 0.9),
            match("near", 0.8, HARD_AWAY_KM - 1),
            match("far b", 0.7, HARD_AWAY_KM + 1),
            match("far a", 0.7, 5_000),
            match("taken", 0.6, 5_000),
            match("far c", 0.5, 9_000),
        ]
    )
    assert names(hard(ranking, 2, {"taken"})) == ["far a", "far b"]
    assert names(hard(ranking, 10, {"taken"})) == ["far a", "far b", "far c"]
    assert hard(ranking, 0, ()) == []
    assert hard(Ranking([]), 3, ()) == []


def test_hard_negatives_are_looked_for_ever_deeper() -> None:
    near = [match(f"near{number:05}", 0.9 - number * 1e-5) for number in range(1_000)]
    ranking = Ranking([*near, match("far", 0.1, 2_000), match("other", 0.0)])
    assert names(hard(ranking, 1, ())) == ["far"]
    assert ranking.asked == sorted(ranking.asked)
    assert len(ranking.asked) > 2


@pytest.mark.parametrize("seed", range(5))
def test_hard_negatives_in_a_tie_at_the_cut_wait_for_the_whole_tie(seed: int) -> None:
    tied = [match(f"t{number:03}", 0.5, 2_000) for number in range(150)]
    assert names(hard(Ranking([match("best", 0.9), *tied], seed), 3, ())) == ["t000", "t001", "t002"]


def test_the_best_match_of_a_tie_is_the_first_by_id() -> None:
    ranking = Ranking([match("b", 0.9, 3_000), match("a", 0.9), match("c", 0.1, 100)])
    # Seen from "a", "b" lies far away; seen from "b", it would be the other two.
    assert names(hard(ranking, 3, ())) == ["b"]
