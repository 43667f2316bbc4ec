"""What a place looks like, by name: ten attributes or more at each of eight scales, and the climate.

Every attribute is one noise field, so a photo carries cues from 3,000 km (what continent it could be) down to
1 km (which street). Values lie in (0, 1) and are spread almost evenly.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

BY_SCALE_KM: dict[float, tuple[str, ...]] = {
    3000.0: (
        "sky_hue", "sky_depth", "grass_hue", "soil_hue", "haze",
        "warmth", "dryness", "mountain_hue", "mountain_sharpness", "light_tint",
    ),
    950.0: (
        "mountain_height", "ridge_roughness", "vegetation", "tree_height", "leaf_hue",
        "cloudiness", "road_lightness", "soil_lightness", "crop_density", "crop_hue",
    ),
    300.0: (
        "hill_height", "hill_hue", "crown_shape", "road_width", "shoulder_hue",
        "dash_length", "edge_lines", "town_density", "wall_hue", "roof_pitch",
    ),
    100.0: (
        "roof_hue", "wall_lightness", "house_width", "storeys", "window_shape",
        "window_count", "fence_hue", "fence_height", "pole_height", "pole_spacing",
        "garden_wall_hue", "asphalt_hue",
    ),
    31.0: (
        "peak_place", "second_peak", "sign_height", "sign_hue", "road_bend",
        "horizon", "crop_angle", "tree_spacing", "house_place", "door_hue",
        "pavement_hue", "garden_wall_height", "flag_hoist_hue",
    ),
    10.0: (
        "hill_place", "roof_lightness", "trunk_hue", "bush_hue", "bush_density",
        "kerb_length", "kerb_hue", "chimney", "lamp_height", "lamp_hue",
        "wall_stripe_hue", "ribbon_hue", "threshold_hue", "threshold_width", "crossing_second_hue", "flag_third_hue",
    ),
    3.1: (
        "tower_place", "tower_height", "tower_hue", "shutter_hue", "second_house_hue",
        "second_roof_hue", "flower_hue", "flower_density", "billboard_hue", "billboard_width",
        "tile_hue", "tile_length", "flag_hue", "flag_second_hue", "crossing_hue", "crossing_stripes",
    ),
    1.0: (
        "plate_hue", "plate_band", "awning_hue", "awning_width", "bin_hue",
        "bin_place", "car_hue", "car_place", "bench_hue", "paint_band_hue",
        "lane_hue", "lane_width", "kiosk_hue", "kiosk_roof_hue", "bunting_hue", "bunting_second_hue",
    ),
}  # fmt: skip
"""The attributes by the scale of their noise field, kilometres."""

ATTRIBUTES: tuple[str, ...] = tuple(name for names in BY_SCALE_KM.values() for name in names)
"""The 103 names, coarse to fine: column i of every attribute array is `ATTRIBUTES[i]`."""

SCALES_KM: NDArray[np.float64] = np.array([scale for scale, names in BY_SCALE_KM.items() for _ in names])
"""float64 [103], the scale of each attribute, kilometres."""


def squashed(latent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian latents of unit variance to nearly even values in (0, 1)."""
    # 1.702 makes the logistic curve the closest to the normal distribution function (Camilli 1994).
    even: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-1.702 * latent))
    return even


@dataclass(frozen=True, slots=True)
class Climate:
    """What latitude decides, most of it.

    `temperature` 0 (polar) to 1 (equator), `aridity` 0 to 1, `snow` 0 to 1, `sun_elevation` 0 to 1 (noon at the
    equinox over 90°), `sun_side` -1 (left: southern hemisphere, the camera looks east) to 1 (right: northern).
    """

    temperature: float
    aridity: float
    snow: float
    sun_elevation: float
    sun_side: float

    @classmethod
    def at(cls, latitude: float, values: Mapping[str, float]) -> "Climate":
        """The climate at `latitude` degrees where the attributes have these values."""
        steep = abs(latitude)
        temperature = 1.0 - (steep / 90.0) ** 1.2 + 0.16 * (values["warmth"] - 0.5)
        desert_belt = np.exp(-(((steep - 24.0) / 11.0) ** 2))
        aridity = 0.55 * desert_belt + 0.75 * values["dryness"] - 0.3
        return cls(
            temperature=float(np.clip(temperature, 0.0, 1.0)),
            aridity=float(np.clip(aridity, 0.0, 1.0)),
            snow=float(np.clip((0.36 - temperature) / 0.12, 0.0, 1.0)),
            sun_elevation=1.0 - steep / 90.0,
            sun_side=float(np.tanh(latitude / 20.0)),
        )

    def numbers(self) -> tuple[float, ...]:
        """The five numbers in the order of the fields."""
        return astuple(self)
