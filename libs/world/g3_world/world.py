"""The procedural world: a photo and an attribute vector for every place on Earth.

Everything here is **synthetic**. Place names, coordinates and the shape of the globe are the real ones; what a
place looks like is invented, smoothly and reproducibly, so that a geolocation system can be trained, tested and
shown without a real photo. A photo of this world says nothing about the real place.
"""

import functools
import hashlib
import struct

import numpy as np
from g3_geography import Coordinates
from g3_geography.coordinates import checked, unit_vectors
from g3_kit.errors import Rejected
from numpy.typing import ArrayLike, NDArray

from g3_world import backdrop, buildings, lens, plants, quarter, road, signs, weather
from g3_world.attributes import ATTRIBUTES, SCALES_KM, Climate, squashed
from g3_world.canvas import Canvas
from g3_world.noise import NoiseFields
from g3_world.regions import STYLE_NAMES, Regions
from g3_world.scene import Painting, Scene

CLIMATE_NAMES: tuple[str, ...] = ("temperature", "aridity", "snow", "sun_elevation", "sun_side")
ATTRIBUTE_NAMES: tuple[str, ...] = (*ATTRIBUTES, *CLIMATE_NAMES, *STYLE_NAMES)
"""The columns of `World.attributes`: 103 fields coarse to fine, 5 of climate, 10 of the region's style."""

SMALLEST_PX, LARGEST_PX = 64, 512
LOOKS = 3
"""Grows by one with every change that makes the same arguments give another picture."""


class World:
    """One invented Earth. Two worlds of one seed are the same, in every process; thread-safe."""

    def __init__(
        self, seed: int = 0, *, attribute_noise: float = 0.3, presence: float = 0.8, nuisance: float = 1.0
    ) -> None:
        """`attribute_noise`: deviation added to each unit-variance field for each photo, so that two photos of
        one spot differ. `presence`: the chance that an optional element (a house, a sign) is in a photo.
        `nuisance`: the strength of weather, hour, season, viewpoint, blur and occlusion, 0 for none.

        Raises `Rejected` for a negative seed or noise, or a presence or nuisance outside [0, 1].
        """
        if seed < 0:
            raise Rejected("the seed of a world must be zero or more", field="seed")
        if not attribute_noise >= 0 or not 0 <= presence <= 1 or not 0 <= nuisance <= 1:
            raise Rejected("attribute_noise must be zero or more, presence and nuisance between 0 and 1")
        self.seed = seed
        self._noise = attribute_noise
        self._presence = presence
        self._nuisance = nuisance
        self._fields = NoiseFields(SCALES_KM, seed)
        self._regions = Regions(seed)

    def photo(self, latitude: float, longitude: float, seed: int, size: int = 64) -> NDArray[np.uint8]:
        """A synthetic photo, uint8 [size, size, 3] RGB. WGS 84 degrees; `size` from 64 to 512 pixels.

        The same arguments give the same bytes in every run and process (of one numpy and Pillow); another `seed`
        is another photo of the same spot; another `size` is the same picture in another resolution.
        Raises `Rejected` for invalid coordinates, a seed outside 64 bits, or another size.
        """
        place = Coordinates(latitude, longitude)
        if not SMALLEST_PX <= size <= LARGEST_PX:
            raise Rejected(f"size must lie between {SMALLEST_PX} and {LARGEST_PX} pixels", field="size")
        if not 0 <= seed < 2**64:
            raise Rejected("the seed of a photo must lie between 0 and 2^64 - 1", field="seed")
        dice = np.random.default_rng(self._entropy(place, seed))
        return render(self._scene(place, dice), size)

    def attributes(self, latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.float64]:
        """What places look like without the accidents of a photo: float64 [118] for scalars, [n, 118] for arrays.

        Columns are `ATTRIBUTE_NAMES`; all lie in [0, 1] but `sun_side`, in [-1, 1]; hues are not unrolled.
        Raises `Rejected` for invalid coordinates.
        """
        latitudes, longitudes = (np.atleast_1d(part) for part in checked(latitude, longitude))
        points = unit_vectors(latitudes, longitudes)
        values = squashed(self._fields.at(points))
        regions = self._regions.of(points)
        rows = [
            (*row, *Climate.at(float(north), dict(zip(ATTRIBUTES, row, strict=True))).numbers(), *style.numbers())
            for north, row, style in zip(
                latitudes, values.tolist(), (self._regions.styles[region] for region in regions), strict=True
            )
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, len(ATTRIBUTE_NAMES))
        return table[0] if np.ndim(latitude) == 0 and np.ndim(longitude) == 0 else table

    def region(self, latitude: float, longitude: float) -> int:
        """Which of the 60 regions a place lies in, 0 to 59. Raises `Rejected` for invalid coordinates."""
        return int(self._regions.of(unit_vectors([latitude], [longitude]))[0])

    def _entropy(self, place: Coordinates, seed: int) -> int:
        # Adding zero makes -0.0 and 0.0 one place.
        packed = struct.pack("<QQdd", self.seed, seed, place.latitude + 0.0, place.longitude + 0.0)
        return int.from_bytes(hashlib.blake2b(packed, digest_size=16).digest(), "little")

    def _scene(self, place: Coordinates, dice: np.random.Generator) -> Scene:
        point = unit_vectors([place.latitude], [place.longitude])
        latent = self._fields.at(point)[0] + self._noise * dice.standard_normal(len(ATTRIBUTES))
        values = dict(zip(ATTRIBUTES, squashed(latent).tolist(), strict=True))
        style = self._regions.styles[int(self._regions.of(point)[0])]
        return Scene(values, Climate.at(place.latitude, values), style, self._presence, dice, self._nuisance)


def render(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Paints the scene back to front: uint8 [size, size, 3]."""
    painting = Painting(scene, Canvas(size))
    backdrop.paint_sky(painting)
    backdrop.paint_mountains(painting)
    backdrop.paint_hills(painting)
    backdrop.paint_ground(painting)
    buildings.paint_town(painting)
    weather.paint_fog(painting, 1.0)
    quarter.paint_pavement(painting)
    road.paint_road(painting)
    quarter.paint_lane(painting)
    quarter.paint_crossing(painting)
    quarter.paint_threshold(painting)
    buildings.paint_fence(painting)
    _paint_standing(painting)
    weather.paint_fog(painting, 0.4)
    plants.paint_bushes(painting)
    quarter.paint_kiosk(painting)
    quarter.paint_flag(painting)
    quarter.paint_bunting(painting)
    signs.paint_billboard(painting)
    road.paint_poles(painting)
    road.paint_lamp(painting)
    road.paint_car(painting)
    signs.paint_furniture(painting)
    plants.paint_flowers(painting)
    signs.paint_sign(painting)
    weather.paint_rain(painting)
    weather.paint_occlusion(painting)
    return lens.exposed(painting)


def _paint_standing(painting: Painting) -> None:
    """Trees, houses and the wall together, far to near, so that the nearer hides the farther."""
    scene = painting.scene
    standing: list[tuple[float, functools.partial[None]]] = [
        (nearness, functools.partial(plants.paint_tree, painting, lateral, nearness))
        for lateral, nearness in plants.tree_places(scene)
    ]
    standing += [
        (house.nearness, functools.partial(buildings.paint_house, painting, house, trimmed))
        for house, trimmed in buildings.houses(scene)
    ]
    # The wall runs towards the camera: the second house stands behind it, the nearest trees before it.
    standing.append((0.33, functools.partial(quarter.paint_garden_wall, painting)))
    for _, paint in sorted(standing, key=lambda one: one[0]):
        paint()
