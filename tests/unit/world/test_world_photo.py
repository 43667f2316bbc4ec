import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from g3_kit.errors import Rejected
from g3_world import World, photo, world
from g3_world.attributes import ATTRIBUTES, Climate
from g3_world.regions import LINES, POLES, ROOFS, SIGNS, TOWERS, Regions, Style
from g3_world.scene import Scene
from g3_world.world import render
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

_IN_ANOTHER_PROCESS = """
import hashlib
from g3_world import World
digest = hashlib.sha256()
for seed, size in ((0, 64), (9, 64), (1, 200)):
    digest.update(World(4).photo(-33.86, 151.2, seed, size).tobytes())
print(digest.hexdigest())
"""


@settings(deadline=None, max_examples=60)
@given(st.floats(-90, 90), st.floats(-400, 400), st.integers(0, 2**64 - 1))
def test_every_place_has_a_photo(latitude: float, longitude: float, seed: int) -> None:
    pixels = photo(latitude, longitude, seed)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 15
    np.testing.assert_array_equal(pixels, photo(latitude, longitude, seed))


def test_other_processes_render_the_same_bytes() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _IN_ANOTHER_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_photo_does_not_depend_on_those_before_it() -> None:
    one = World(0)
    for seed in range(5):
        one.photo(10, 20, seed)
    np.testing.assert_array_equal(one.photo(48, 2, 7), World(0).photo(48, 2, 7))


def test_seed_place_and_world_each_change_the_photo() -> None:
    here = photo(48.0, 2.0, 1)
    for other in (photo(48.0, 2.0, 2), photo(48.0, 2.1, 1), World(1).photo(48.0, 2.0, 1)):
        assert (other != here).any()


def test_two_names_of_one_place_are_one_photo() -> None:
    np.testing.assert_array_equal(photo(5, 180, 3), photo(5, -180, 3))
    np.testing.assert_array_equal(photo(0.0, 0.0, 3), photo(-0.0, -0.0, 3))


def test_another_size_is_the_same_picture() -> None:
    for seed in range(4):
        small = photo(35, 139, seed, 64).astype(float)
        large = photo(35, 139, seed, 512).astype(float).reshape(64, 8, 64, 8, 3).mean(axis=(1, 3))
        other = photo(35, 139, seed + 100, 64).astype(float)
        assert np.abs(small - large).mean() < 0.5 * np.abs(small - other).mean()


@pytest.mark.parametrize(
    ("latitude", "longitude", "seed", "size"),
    [(91, 0, 0, 64), (0, float("nan"), 0, 64), (0, 0, -1, 64), (0, 0, 2**64, 64), (0, 0, 0, 63), (0, 0, 0, 513)],
)
def test_bad_requests_are_rejected(latitude: float, longitude: float, seed: int, size: int) -> None:
    with pytest.raises(Rejected):
        photo(latitude, longitude, seed, size)


def test_bad_worlds_are_rejected() -> None:
    with pytest.raises(Rejected):
        World(-1)
    with pytest.raises(Rejected):
        World(0, presence=1.5)
    with pytest.raises(Rejected):
        World(0, attribute_noise=float("nan"))


def test_a_world_is_made_once() -> None:
    assert world(0) is world(0)


MIDDLING = Climate(temperature=0.6, aridity=0.1, snow=0.0, sun_elevation=0.5, sun_side=0.9)


def painted(
    values: Mapping[str, float], style: Style, seed: int, climate: Climate = MIDDLING, presence: float = 1.0
) -> NDArray[np.int16]:
    """The picture of exactly these values, every optional element shown, no weather, tilt or blur."""
    scene = Scene(values, climate, style, presence, np.random.default_rng(seed), nuisance=0.0)
    return render(scene, 64).astype(np.int16)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_attribute_is_visible(name: str) -> None:
    style = Regions(0).styles[0]
    changes = []
    for seed in range(4):
        plain = dict.fromkeys(ATTRIBUTES, 0.6)
        first, second = (
            # At 50° the climate stands between two kinds of tree: warmth and dryness show.
            painted(values, style, seed, Climate.at(50.0, values))
            for values in ({**plain, name: 0.15}, {**plain, name: 0.85})
        )
        changes.append((np.abs(first - second).max(axis=2) > 20).sum())
    # Sixty-four pixels a side: four of them are a door, the smallest thing in the picture.
    assert np.median(changes) >= 4


@pytest.mark.parametrize(
    "styles",
    [
        [replace(Regions(0).styles[0], roof=kind) for kind in ROOFS],
        [replace(Regions(0).styles[0], sign_shape=kind) for kind in SIGNS],
        [replace(Regions(0).styles[0], tower=kind) for kind in TOWERS],
        [replace(Regions(0).styles[0], pole=kind) for kind in POLES],
        [replace(Regions(0).styles[0], centre_line=kind) for kind in LINES],
    ],
    ids=["roof", "sign", "tower", "pole", "line"],
)
def test_every_kind_of_a_region_looks_its_own_way(styles: list[Style]) -> None:
    values = dict.fromkeys(ATTRIBUTES, 0.6)
    assert len({painted(values, style, 5).tobytes() for style in styles}) == len(styles)


def test_the_side_of_the_road_shows() -> None:
    values, style = dict.fromkeys(ATTRIBUTES, 0.5), Regions(0).styles[0]
    left, right = (painted(values, replace(style, drives_left=side), 1) for side in (True, False))
    assert np.abs(left - right).mean() > 10


def test_snow_is_whiter_and_the_sun_stands_on_its_side() -> None:
    values, style = dict.fromkeys(ATTRIBUTES, 0.5), Regions(0).styles[0]
    green = painted(values, style, 2)
    white = painted(values, style, 2, replace(MIDDLING, snow=1.0, temperature=0.1))
    assert white[40:].mean() > green[40:].mean() + 10
    # Without flag, tower and trees, behind which the sun may stand.
    north = painted(values, style, 2, presence=0.0)
    south = painted(values, style, 2, replace(MIDDLING, sun_side=-0.9), presence=0.0)
    sky_north, sky_south = north[:28].sum(axis=(0, 2)), south[:28].sum(axis=(0, 2))
    assert sky_north[40:].sum() > sky_south[40:].sum()
    assert sky_north[:24].sum() < sky_south[:24].sum()


def test_absent_elements_are_absent() -> None:
    values, style = dict.fromkeys(ATTRIBUTES, 0.6), Regions(0).styles[0]
    empty = painted(values, style, 3, presence=0.0)
    other = painted({**values, "bench_hue": 0.1, "billboard_hue": 0.1, "car_hue": 0.1}, style, 3, presence=0.0)
    np.testing.assert_array_equal(empty, other)
