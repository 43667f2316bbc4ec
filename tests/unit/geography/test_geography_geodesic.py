import math

import numpy as np
import pytest
from g3_geography import Coordinates, circle, destination, distance_km, distances_km, haversine_km
from g3_kit.errors import Rejected
from hypothesis import given, settings
from hypothesis import strategies as st

points = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        # One degree along the equator is a * pi / 180, with a = 6378.137 km.
        (Coordinates(0, 0), Coordinates(0, 1), 6378.137 * math.pi / 180),
        # The meridian quadrant of WGS 84.
        (Coordinates(0, 12), Coordinates(90, 0), 10001.965729),
        # Vincenty's test line (Flinders Peak to Buninyong, Geoscience Australia): 54,972.271 m.
        (Coordinates(-37.951033417, 144.424867889), Coordinates(-37.652821139, 143.926495528), 54.972271),
        # Half the polar meridian: antipodes on the equator go over a pole.
        (Coordinates(0, 0), Coordinates(0, 180), 20003.931459),
    ],
)
def test_known_geodesics(a: Coordinates, b: Coordinates, km: float) -> None:
    assert distance_km(a, b) == pytest.approx(km, abs=2e-5)


def test_known_haversine() -> None:
    quarter = 6371.0088 * math.pi / 2
    assert haversine_km(0, 0, 0, 90) == pytest.approx(quarter)
    assert haversine_km(90, 17, 0, 90) == pytest.approx(quarter)
    assert haversine_km(0, 179.5, 0, -179.5) == pytest.approx(6371.0088 * math.pi / 180)


@settings(deadline=None)
@given(points, points)
def test_distance_is_symmetric_and_bounded(a: Coordinates, b: Coordinates) -> None:
    forward, back = distance_km(a, b), distance_km(b, a)
    assert 0 <= forward <= 20003.94
    assert forward == pytest.approx(back, abs=1e-6)


@settings(deadline=None)
@given(points, points)
def test_the_sphere_is_within_0_6_percent_of_the_ellipsoid(a: Coordinates, b: Coordinates) -> None:
    sphere = float(haversine_km(a.latitude, a.longitude, b.latitude, b.longitude))
    assert sphere == pytest.approx(distance_km(a, b), rel=0.006, abs=0.001)


@settings(deadline=None)
@given(st.lists(st.tuples(points, points), max_size=20))
def test_arrays_give_what_single_calls_give(pairs: list[tuple[Coordinates, Coordinates]]) -> None:
    many = distances_km(
        [a.latitude for a, _ in pairs],
        [a.longitude for a, _ in pairs],
        [b.latitude for _, b in pairs],
        [b.longitude for _, b in pairs],
    )
    assert many.shape == (len(pairs),)
    assert many.dtype == np.float64
    np.testing.assert_allclose(many, [distance_km(a, b) for a, b in pairs], atol=1e-9)


def test_arrays_broadcast() -> None:
    assert distances_km(np.zeros((3, 1)), 0, np.zeros((1, 4)), np.arange(4)).shape == (3, 4)
    assert haversine_km([1, 2], [3, 4], 0, 0).shape == (2,)


@settings(deadline=None)
@given(points, st.floats(0, 360), st.floats(0, 19_000))
def test_destination_is_as_far_as_asked(origin: Coordinates, bearing: float, km: float) -> None:
    assert distance_km(origin, destination(origin, bearing, km)) == pytest.approx(km, abs=1e-5)


def test_destination_knows_the_compass() -> None:
    east = destination(Coordinates(0, 179.9), 90, 50)
    assert east.longitude < -179
    assert east.latitude == pytest.approx(0, abs=1e-9)
    assert destination(Coordinates(0, 0), 0, 100).latitude > 0.9


@settings(deadline=None)
@given(points, st.floats(0, 5000), st.integers(3, 40))
def test_circle_is_round(center: Coordinates, radius_km: float, count: int) -> None:
    ring = circle(center, radius_km, count)
    assert len(ring) == count
    for point in ring:
        assert distance_km(center, point) == pytest.approx(radius_km, abs=1e-5)


def test_bad_requests_are_rejected() -> None:
    origin = Coordinates(0, 0)
    with pytest.raises(Rejected, match="kilometres"):
        destination(origin, 0, -1)
    with pytest.raises(Rejected, match="bearing"):
        destination(origin, math.nan, 1)
    with pytest.raises(Rejected, match="3 points"):
        circle(origin, 1, 2)
    with pytest.raises(Rejected, match="radius_km"):
        circle(origin, math.inf, 8)
    with pytest.raises(Rejected, match="latitude"):
        distances_km([95], [0], [0], [0])
    with pytest.raises(Rejected, match="shapes"):
        haversine_km([1, 2], [1, 2], [1, 2, 3], [1, 2, 3])
