"""A procedural, wholly synthetic world: photos rendered from coordinates, for demo, tests and benchmarks.

::

    photo(latitude, longitude, seed, size)   uint8 [size, size, 3], reproducible
    attributes(latitude, longitude)          float64 [118], what the place looks like without accidents
    World(seed)                              another invented Earth
    places(n, seed)                          coordinates clustered around real cities
    write_photos(plan, folder)               JPEG files and photos.csv
    write_arrays(plan, folder)               pixel arrays and table.csv, read back by read_arrays
"""

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g3_world.arrays import Arrays, read_arrays, write_arrays
from g3_world.dataset import write_photos
from g3_world.plan import Plan
from g3_world.sampling import places
from g3_world.world import ATTRIBUTE_NAMES, World

__all__ = [
    "ATTRIBUTE_NAMES",
    "Arrays",
    "Plan",
    "World",
    "attributes",
    "photo",
    "places",
    "read_arrays",
    "world",
    "write_arrays",
    "write_photos",
]


@functools.cache
def world(seed: int = 0) -> World:
    """The world of that seed, made once a process. World 0 is the one of the demo and the tests."""
    return World(seed)


def photo(latitude: float, longitude: float, seed: int, size: int = 64) -> NDArray[np.uint8]:
    """A synthetic photo of world 0: see `World.photo`."""
    return world().photo(latitude, longitude, seed, size)


def attributes(latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.float64]:
    """What a place of world 0 looks like: see `World.attributes`."""
    return world().attributes(latitude, longitude)
