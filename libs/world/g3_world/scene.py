"""One scene: the place's attributes as this photo happens to show them, and the geometry every painter shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from g3_world.attributes import Climate
from g3_world.canvas import Canvas, Colour, Point, hsv, mixed
from g3_world.regions import Style


@dataclass(frozen=True)
class Scene:
    """What is to be painted.

    `values` are the 80 attributes in (0, 1), nuisance noise already added; `presence` is the chance that an
    optional element is in the photo; `dice` supplies every accident of this one photo.
    """

    values: Mapping[str, float]
    climate: Climate
    style: Style
    presence: float
    dice: np.random.Generator
    horizon: float = field(init=False)
    vanishing_x: float = field(init=False)
    daylight: float = field(init=False)
    heading: float = field(init=False)

    def __post_init__(self) -> None:
        accidents = self.dice.uniform(-1.0, 1.0, 4)
        # Camera and hour differ from photo to photo: tilt, turn, light, and a shift of the far silhouettes.
        settled = {
            "horizon": 0.47 + 0.12 * (self["horizon"] - 0.5) + 0.015 * accidents[0],
            "vanishing_x": 0.5 + 0.05 * accidents[1],
            "daylight": 0.94 + 0.06 * accidents[2],
            "heading": 0.03 * accidents[3],
        }
        for name, value in settled.items():
            object.__setattr__(self, name, float(value))

    def __getitem__(self, name: str) -> float:
        """The value of an attribute in (0, 1)."""
        return self.values[name]

    def between(self, name: str, low: float, high: float) -> float:
        """The attribute's value stretched over [low, high]."""
        return low + (high - low) * self.values[name]

    def shows(self) -> bool:
        """Whether an optional element is in this photo."""
        return bool(self.dice.random() < self.presence)

    def chance(self, low: float = 0.0, high: float = 1.0) -> float:
        """An accident of this photo, even over [low, high]."""
        return float(self.dice.uniform(low, high))

    def lit(self, hue: float, saturation: float, value: float) -> Colour:
        """A colour of the world under the light of this photo and the tint of this part of the world."""
        tint = hsv(self.between("light_tint", 0.02, 0.6), 0.6, 1.0)
        return mixed(hsv(hue, saturation, value * self.daylight), tint, 0.14)

    @property
    def sky_at_horizon(self) -> Colour:
        """What distance fades into."""
        return hsv(self.between("sky_hue", 0.53, 0.65), 0.12 + 0.12 * self["sky_depth"], 0.96 * self.daylight)

    def far(self, colour: Colour, share: float) -> Colour:
        """The colour through `share` (0 to 1) of the world's haze."""
        return mixed(colour, self.sky_at_horizon, share * self.between("haze", 0.25, 1.0))

    def ground(self, lateral: float, nearness: float) -> Point:
        """A point of the ground on the picture.

        `nearness` is 0 at the horizon and 1 at the lower edge, and also the scale of what stands there; `lateral`
        is measured from the middle of the lane in sides of the picture at nearness 1.
        """
        bend = (self["road_bend"] - 0.5) * 0.5 * (1.0 - nearness) ** 2
        y = self.horizon + (1.0 - self.horizon) * nearness
        return self.vanishing_x + bend + lateral * nearness, y

    @property
    def road_half_width(self) -> float:
        """Half the carriageway, in the units of `ground`'s `lateral`."""
        return self.between("road_width", 0.26, 0.5)

    @property
    def road_middle(self) -> float:
        """The middle of the road as seen from the driver's own lane, in the units of `lateral`."""
        return self.road_half_width * (0.42 if self.style.drives_left else -0.42)

    @property
    def own_side(self) -> int:
        """Where the driver's own verge is: -1 left, 1 right."""
        return -1 if self.style.drives_left else 1

    def verge(self, side: int, beyond: float) -> float:
        """The lateral place `beyond` the edge of the road on that side (-1 left, 1 right)."""
        return self.road_middle + side * (self.road_half_width + beyond)


@dataclass(frozen=True, slots=True)
class Painting:
    """A scene and the canvas it goes on: what every painter takes."""

    scene: Scene
    canvas: Canvas
