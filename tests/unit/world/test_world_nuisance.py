"""Weather, hour, season, viewpoint and what stands in the way: they change the picture and nothing else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from g3_kit.errors import Rejected
from g3_world import World, jpeg, places, world
from g3_world.attributes import ATTRIBUTES, Climate
from g3_world.conditions import Conditions
from g3_world.regions import Regions
from g3_world.sampling import CitySet
from g3_world.scene import Scene
from g3_world.world import render
from numpy.typing import NDArray

NORTH = Climate(temperature=0.6, aridity=0.1, snow=0.0, sun_elevation=0.5, sun_side=0.9)
EQUATOR = replace(NORTH, temperature=0.95, sun_elevation=1.0, sun_side=0.0)
DESERT = replace(NORTH, aridity=1.0)
STYLE = Regions(0).styles[0]


def draws(climate: Climate, strength: float = 1.0, count: int = 800) -> list[Conditions]:
    dice = np.random.default_rng(7)
    return [Conditions.drawn(dice, climate, 0.5, strength) for _ in range(count)]


def share(conditions: list[Conditions], name: str, above: float = 0.0) -> float:
    return float(np.mean([getattr(one, name) > above for one in conditions]))


def test_every_weather_and_season_comes_and_none_prevails() -> None:
    drawn = draws(NORTH)
    assert 0.03 < share(drawn, "fog", 0.3) < 0.12
    assert 0.08 < share(drawn, "rain") < 0.2
    assert 0.25 < share(drawn, "cover", 0.5) < 0.55
    assert 0.1 < share(drawn, "autumn", 0.2) < 0.4
    assert 0.1 < share(drawn, "winter", 0.2) < 0.4
    assert 0.03 < np.mean([one.daylight < 0.72 for one in drawn]) < 0.15


def test_weather_and_season_keep_to_the_climate() -> None:
    assert share(draws(EQUATOR), "autumn") == share(draws(EQUATOR), "winter") == 0
    assert share(draws(DESERT), "rain") < 0.4 * share(draws(NORTH), "rain")
    assert all(one.elevation <= NORTH.sun_elevation + 0.08 for one in draws(NORTH))


def test_no_strength_is_a_still_and_clear_day() -> None:
    for one in draws(NORTH, strength=0.0, count=50):
        assert one == draws(NORTH, strength=0.0, count=1)[0]
        still = (one.cover, one.rain, one.fog, one.autumn, one.winter, one.tinting, one.horizon_shift, one.pan)
        assert not any((*still, one.heading, one.sidestep, one.roll))
        assert one.elevation == NORTH.sun_elevation


def scene(**changed: Any) -> Scene:
    """The same street under conditions that differ in this only."""
    made = Scene(dict.fromkeys(ATTRIBUTES, 0.6), NORTH, STYLE, 1.0, np.random.default_rng(1), 0.0)
    object.__setattr__(made, "conditions", replace(made.conditions, **changed))
    return made


@pytest.mark.parametrize(
    "changed",
    [
        {"cover": 1.0}, {"rain": 1.0}, {"fog": 0.6}, {"autumn": 1.0}, {"daylight": 0.6}, {"elevation": 0.05},
        {"sun_x": 0.1}, {"tint": (255, 160, 60), "tinting": 0.15}, {"heading": 0.05}, {"sidestep": 0.03}, {"roll": 1.5},
    ],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_every_condition_shows(changed: dict[str, Any]) -> None:
    plain = render(scene(), 64).astype(int)
    # Rain and clouds throw dice of their own: the grain behind them differs too, and is below this.
    assert (np.abs(render(scene(**changed), 64).astype(int) - plain).max(axis=2) > 16).sum() > 20


def test_winter_brings_snow_where_it_is_cold_enough() -> None:
    def snows(temperature: float) -> list[float]:
        climate = replace(NORTH, temperature=temperature)
        dice = np.random.default_rng(2)
        values = dict.fromkeys(ATTRIBUTES, 0.5)
        return [Scene(values, climate, STYLE, 1.0, dice).climate.snow for _ in range(300)]

    assert 0.05 < np.mean(np.array(snows(0.5)) > 0.3) < 0.5
    assert max(snows(0.7)) == 0


def test_nuisance_changes_the_picture_and_not_the_place() -> None:
    still, full = World(0, nuisance=0.0), world(0)
    np.testing.assert_array_equal(still.attributes(48.0, 2.0), full.attributes(48.0, 2.0))
    changes = [
        np.abs(still.photo(48.0, 2.0, seed).astype(int) - full.photo(48.0, 2.0, seed).astype(int)).mean()
        for seed in range(8)
    ]
    assert min(changes) > 5
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(Rejected):
            World(0, nuisance=bad)


def seen(where: World, latitude: float, longitude: float, seed: int) -> NDArray[np.float64]:
    small = where.photo(latitude, longitude, seed).astype(float).reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    centred: NDArray[np.float64] = small - small.mean(axis=(0, 1))
    return centred.ravel()


def test_a_place_is_recognisable_under_other_conditions() -> None:
    spots = places(25, seed=8, cities=CitySet(2000))
    shots = [np.array([seen(world(0), p.latitude, p.longitude, seed) for p in spots]) for seed in (1, 2, 3)]
    right = 0
    for first, second in ((0, 1), (1, 2), (2, 0)):
        gaps = np.linalg.norm(shots[first][:, None] - shots[second][None], axis=2)
        right += int((gaps.argmin(axis=1) == np.arange(25)).sum())
    # By chance 3 of 75; all of them would be a world without nuisance.
    assert 30 < right < 75


def test_jpeg_qualities_spread_over_their_range() -> None:
    qualities = {jpeg.quality_of(seed) for seed in range(500)}
    assert qualities == set(range(60, 96))
    assert jpeg.quality_of(7) == jpeg.quality_of(7)
