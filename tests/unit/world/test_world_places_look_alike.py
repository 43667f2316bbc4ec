import itertools

import numpy as np
import pytest
from g3_geography import Coordinates, destination
from g3_kit.errors import Rejected
from g3_world import ATTRIBUTE_NAMES, World, attributes, photo, places
from g3_world.attributes import ATTRIBUTES, SCALES_KM
from g3_world.noise import NoiseFields
from g3_world.sampling import CitySet
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

ANCHORS = places(60, seed=11, cities=CitySet(1000))


def moved(distance_km: float) -> list[Coordinates]:
    """The anchors, each carried that far in some direction."""
    return [destination(anchor, 37.0 * turn, distance_km) for turn, anchor in enumerate(ANCHORS)]


def of(where: list[Coordinates]) -> NDArray[np.float64]:
    return attributes([place.latitude for place in where], [place.longitude for place in where])


def test_attributes_differ_more_the_farther_apart() -> None:
    here = of(ANCHORS)
    steps = [0.1, 1.0, 10.0, 100.0, 1000.0, 5000.0]
    distances = [float(np.linalg.norm(of(moved(km)) - here, axis=1).mean()) for km in steps]
    assert all(near * 1.05 < far for near, far in itertools.pairwise(distances)), distances


def test_every_scale_is_smooth_below_and_free_above_itself() -> None:
    here = of(ANCHORS)
    for scale in np.unique(SCALES_KM):
        columns = np.flatnonzero(scale == SCALES_KM)
        near = np.abs(of(moved(scale / 10))[:, columns] - here[:, columns]).mean()
        far = np.abs(of(moved(scale * 3))[:, columns] - here[:, columns]).mean()
        assert near < 0.1 < 0.2 < far


def test_pixels_averaged_over_seeds_differ_more_the_farther_apart() -> None:
    def seen(where: list[Coordinates], first_seed: int) -> NDArray[np.float64]:
        averages = []
        for place in where:
            shots = [
                photo(place.latitude, place.longitude, seed).astype(float) for seed in range(first_seed, first_seed + 6)
            ]
            averages.append(np.mean(shots, axis=0).reshape(16, 4, 16, 4, 3).mean(axis=(1, 3)).ravel())
        return np.array(averages)

    here = seen(ANCHORS[:30], 0)
    distances = [
        # Other seeds, so that only what the places share can make the pictures alike.
        float(np.abs(seen(moved(km)[:30], 100) - here).mean())
        for km in (0.0, 30.0, 1000.0, 8000.0)
    ]
    assert all(near * 1.03 < far for near, far in itertools.pairwise(distances)), distances


@settings(deadline=None)
@given(st.floats(-90, 90))
def test_no_seam_at_the_antimeridian(latitude: float) -> None:
    east, west = attributes([latitude, latitude], [180 - 1e-9, -180 + 1e-9])[:, : len(ATTRIBUTES)]
    np.testing.assert_allclose(east, west, atol=1e-4)


def test_a_pole_is_one_place() -> None:
    for pole in (90.0, -90.0):
        around = attributes(np.full(8, pole), np.linspace(-180, 180, 8))
        np.testing.assert_allclose(around, around[:1].repeat(8, axis=0), atol=1e-6)


def test_attributes_have_their_shape_names_and_range() -> None:
    assert attributes(48.0, 2.0).shape == (len(ATTRIBUTE_NAMES),) == (118,)
    table = of(ANCHORS)
    assert table.shape == (60, 118)
    # Matrix products of other shapes round otherwise.
    np.testing.assert_allclose(table[3], attributes(ANCHORS[3].latitude, ANCHORS[3].longitude), atol=1e-9)
    side = ATTRIBUTE_NAMES.index("sun_side")
    assert (table >= -1).all()
    assert (np.delete(table, side, axis=1) >= 0).all()
    assert (table <= 1).all()
    assert len(set(ATTRIBUTE_NAMES)) == 118
    with pytest.raises(Rejected):
        attributes(100, 0)


def test_climate_follows_latitude() -> None:
    columns = {name: ATTRIBUTE_NAMES.index(name) for name in ("temperature", "snow", "sun_elevation", "sun_side")}
    rows = attributes([0, 45, 85, -45], [20, 20, 20, 20])
    temperature = rows[:, columns["temperature"]]
    assert temperature[0] > temperature[1] > temperature[2]
    assert rows[2, columns["snow"]] > 0.9 > 0.1 > rows[0, columns["snow"]]
    assert rows[1, columns["sun_side"]] > 0 > rows[3, columns["sun_side"]]
    assert rows[0, columns["sun_elevation"]] == 1


def test_fields_have_zero_mean_unit_variance_and_are_independent() -> None:
    generator = np.random.default_rng(3)
    points = generator.standard_normal((5000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    values = NoiseFields(np.full(20, 50.0), seed=1).at(points)
    assert np.abs(values.mean(axis=0)).max() < 0.1
    assert np.abs(values.std(axis=0) - 1).max() < 0.1
    assert np.abs(np.corrcoef(values.T) - np.eye(20)).max() < 0.1


def test_people_live_in_many_regions_and_cross_borders() -> None:
    one = World(0)
    assert len({one.region(place.latitude, place.longitude) for place in places(400, 1, CitySet(400))}) > 40
    assert one.region(48.9, 2.3) == one.region(48.8, 2.4)
    assert one.region(48.9, 2.3) != one.region(-33.9, 151.2)


def test_pictures_differ_more_the_farther_apart_at_every_scale() -> None:
    # No accident but grain: what is left is the place, down to the scale of a street.
    still = World(0, attribute_noise=0.0, presence=1.0, nuisance=0.0)

    def shots(where: list[Coordinates]) -> NDArray[np.float64]:
        return np.array([still.photo(place.latitude, place.longitude, 1).astype(float) for place in where])

    here = shots(ANCHORS)
    steps = (0.03, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
    distances = [float(np.abs(shots(moved(km)) - here).mean()) for km in steps]
    assert all(near < far for near, far in itertools.pairwise(distances)), distances
