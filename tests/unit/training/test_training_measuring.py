"""The figures of a checkpoint, on vectors whose answers are known."""

from collections.abc import Iterable

import numpy as np
import pytest
from g3_training.measuring import METHODS, RADII_KM, Photos, measured, table


def world(numbers: Iterable[int]) -> Photos:
    """Photos one degree of longitude apart on the equator; every place has a direction of its own in every view."""
    places = np.array(list(numbers))
    one = np.eye(64, dtype=np.float32)[places]
    coordinates = np.stack((np.zeros(len(places)), places.astype(np.float64)), axis=1)
    return Photos(np.stack((one, one, one)).copy(), one.copy(), coordinates)


def test_each_method_answers_by_its_own_vectors() -> None:
    references = world(range(40))
    found = measured(world(range(40)), references)
    assert set(found["within_percent"]) == set(METHODS)
    for method in ("img", "img_gps", "img_gps_text", "gallery", "chosen", "oracle", "ceiling"):
        assert found["within_percent"][method] == [100.0] * len(RADII_KM)
    assert found["within_percent"]["random"][0] < 20
    # a query whose plain vector points at its neighbour is put right by the GPS-aligned one
    wrong = world(range(40))
    wrong.image[0] = 0.9 * np.roll(wrong.image[0], -1, axis=0)
    found = measured(wrong, references)
    assert found["within_percent"]["img"][0] == 0
    assert found["within_percent"]["img_gps"][0] == 100
    assert found["median_km"]["img"] == pytest.approx(111, abs=1)
    # coordinates that lie mislead the gallery and leave the nearest photos as they are
    lies = Photos(references.image, np.roll(references.gps, 1, axis=0), references.coordinates)
    found = measured(world(range(40)), lies)
    assert found["within_percent"]["gallery"][0] == 0
    assert found["within_percent"]["img_gps_text"][0] == 100


def test_the_ceiling_is_the_nearest_reference_there_is() -> None:
    found = measured(world(range(0, 40, 2)), world(range(1, 41, 2)))
    assert found["within_percent"]["ceiling"] == [0.0, 0.0, 100.0, 100.0, 100.0]
    joined = world(range(1, 41, 2)).joined(world(range(0, 40, 2)))
    again = measured(world(range(0, 40, 2)), joined)
    assert again["within_percent"]["ceiling"][0] == 100.0
    assert again["references"] == 40


def test_the_table_names_every_method() -> None:
    text = table({"seen": measured(world(range(30)), world(range(30)))})
    assert text.startswith("seen: 30 queries, 30 references")
    assert all(f"| {method} | " in text for method in METHODS)
