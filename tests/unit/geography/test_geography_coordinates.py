import dataclasses
import math

import numpy as np
import pytest
from g3_geography import Coordinates, wrapped_longitude
from g3_geography.coordinates import checked, unit_vectors
from g3_kit.errors import Rejected
from hypothesis import given, settings
from hypothesis import strategies as st

latitudes = st.floats(-90, 90)
any_longitude = st.floats(-1e6, 1e6)


@settings(deadline=None)
@given(latitudes, any_longitude)
def test_longitude_is_wrapped_onto_the_same_meridian(latitude: float, longitude: float) -> None:
    point = Coordinates(latitude, longitude)
    assert point.latitude == latitude
    assert -180 <= point.longitude < 180
    assert math.isclose(math.cos(math.radians(point.longitude - longitude)), 1.0, abs_tol=1e-9)


@settings(deadline=None)
@given(st.floats(-180, 180, exclude_max=True))
def test_longitude_inside_is_kept_bit_for_bit(longitude: float) -> None:
    assert Coordinates(0.0, longitude).longitude == longitude


@pytest.mark.parametrize(
    ("longitude", "expected"), [(180, -180), (-180, -180), (540, -180), (190, -170), (-190, 170), (360, 0)]
)
def test_known_wraps(longitude: float, expected: float) -> None:
    assert wrapped_longitude(longitude) == expected


def test_a_hair_below_the_seam_stays_below_180() -> None:
    assert wrapped_longitude(np.nextafter(-180.0, -200.0)) < 180.0


@pytest.mark.parametrize("latitude", [90.0001, -91, 1e300, math.nan, math.inf, -math.inf, 10**400])
def test_bad_latitude_is_rejected_by_name(latitude: float) -> None:
    with pytest.raises(Rejected, match="latitude") as caught:
        Coordinates(latitude, 0)
    assert caught.value.field == "latitude"


@pytest.mark.parametrize("longitude", [math.nan, math.inf, -math.inf])
def test_bad_longitude_is_rejected_by_name(longitude: float) -> None:
    with pytest.raises(Rejected, match="longitude"):
        Coordinates(0, longitude)


@pytest.mark.parametrize("value", ["48.8", None, True, [1.0]])
def test_what_is_no_number_is_rejected(value: object) -> None:
    with pytest.raises(Rejected):
        Coordinates(value, 0)  # type: ignore[arg-type]


def test_numbers_of_numpy_become_plain_floats() -> None:
    point = Coordinates(np.float32(1.5), np.int64(7))  # type: ignore[arg-type]
    assert (type(point.latitude), type(point.longitude)) == (float, float)
    assert point == Coordinates(1.5, 7)


def test_coordinates_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Coordinates(1, 2).latitude = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("latitudes_in", "longitudes_in"),
    [([1, math.nan], [0, 0]), ([0], [math.inf]), ([91], [0]), ([1, 2], [1, 2, 3]), (["a"], [1])],
)
def test_bad_arrays_are_rejected(latitudes_in: list[float], longitudes_in: list[float]) -> None:
    with pytest.raises(Rejected):
        checked(latitudes_in, longitudes_in)


@settings(deadline=None)
@given(latitudes, any_longitude)
def test_unit_vectors_have_unit_length(latitude: float, longitude: float) -> None:
    assert np.linalg.norm(unit_vectors(latitude, longitude)) == pytest.approx(1.0)
