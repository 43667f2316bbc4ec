"""The strategy knn: density over the neighbours' coordinates."""

import math

import pytest
from g3_geography import Coordinates, Place, destination, haversine_km
from g3_orchestrator.model import Match
from g3_orchestrator.neighbours import KM_PER_DEGREE, by_density

NOWHERE = Place("", "", "", "")


def match(name: str, latitude: float, longitude: float, similarity: float) -> Match:
    return Match(name, Coordinates(latitude, longitude), NOWHERE, "", similarity)


def test_agreeing_neighbours_outweigh_a_single_more_similar_one() -> None:
    alone = match("alone", -30, 140, 0.80)
    crowd = [match(f"crowd {row}", 50 + row, 10, 0.79 - row / 1000) for row in range(4)]
    ranked = by_density([alone, *crowd])
    assert ranked[0].match.reference_id.startswith("crowd")
    assert ranked[-1].match is alone


def test_a_much_more_similar_neighbour_outweighs_a_crowd() -> None:
    # By the tenth power of the inverse squared distance: (0.4 / 0.2)^10 is worth a thousand others.
    alone = match("alone", -30, 140, 0.90)
    crowd = [match(f"crowd {row}", 50 + row / 10, 10, 0.80) for row in range(50)]
    assert by_density([alone, *crowd])[0].match is alone


def test_the_density_is_the_formula() -> None:
    first, second = match("a", 10, 20, 0.5), match("b", 12, 23, 0.45)
    weight = ((2 * (1 - 0.5)) / (2 * (1 - 0.45))) ** 10
    km = float(haversine_km(10, 20, 12, 23))
    kernel = math.exp(-0.5 * (km / KM_PER_DEGREE / 4) ** 2)
    ranked = by_density([first, second])
    assert [one.match.reference_id for one in ranked] == ["a", "b"]
    assert ranked[0].density == 1
    assert ranked[1].density == pytest.approx((kernel + weight) / (1 + kernel * weight))


def test_the_answer_is_the_most_similar_neighbour_within_100_km_of_the_peak() -> None:
    center = Coordinates(45, 7)
    ring = [destination(center, bearing, 90) for bearing in (0, 120, 240)]
    neighbours = [match("near", *_at(destination(center, 60, 95)), 0.6)]
    neighbours += [match(f"ring {row}", *_at(point), 0.599) for row, point in enumerate(ring)]
    neighbours.append(match("center", *_at(center), 0.598))
    assert by_density(neighbours)[0].match.reference_id == "near"


def test_nothing_is_torn_at_the_antimeridian() -> None:
    pair = [match("west", 0, 179.5, 0.7), match("east", 0, -179.5, 0.7)]
    others = [match("other", 0, 90, 0.7)]
    assert by_density([*others, *pair])[-1].match.reference_id == "other"


def test_the_photo_itself_among_the_neighbours_is_no_division_by_zero() -> None:
    ranked = by_density([match("itself", 1, 1, 1.0), match("other", 60, 60, 0.9)])
    assert [one.match.reference_id for one in ranked] == ["itself", "other"]
    assert all(math.isfinite(one.density) and one.density >= 0 for one in ranked)


def test_ties_keep_the_order_of_similarity_and_nothing_gives_nothing() -> None:
    same = [match(name, 5, 5, 0.5) for name in "abc"]
    assert [one.match.reference_id for one in by_density(same)] == ["a", "b", "c"]
    assert by_density([]) == []


def _at(point: Coordinates) -> tuple[float, float]:
    return point.latitude, point.longitude
