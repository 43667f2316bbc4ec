"""One scene: the place's attributes as this photo happens to show them, and the geometry every painter shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from g3_world.attributes import Climate
from g3_world.canvas import Canvas, Colour, Point, hsv, mixed
from g3_world.conditions import Conditions
from g3_world.regions import Style


@dataclass(frozen=True)
class Scene:
    """What is to be painted.

    `values` are the 103 attributes in (0, 1), attribute noise already added; `presence` is the chance that an
    optional element is in the photo; `dice` supplies every accident of this one photo, `nuisance` (0 to 1) their
    strength.
    """

    values: Mapping[str, float]
    climate: Climate
    style: Style
    presence: float
    dice: np.random.Generator
    nuisance: float = 1.0
    conditions: Conditions = field(init=False)
    horizon: float = field(init=False)
    vanishing_x: float = field(init=False)

    def __post_init__(self) -> None:
        conditions = Conditions.drawn(self.dice, self.climate, self["cloudiness"], self.nuisance)
        winter = conditions.winter * min(max((0.66 - self.climate.temperature) / 0.2, 0.0), 1.0)
        settled = {
            "conditions": conditions,
            "climate": replace(self.climate, snow=max(self.climate.snow, winter)),
            "horizon": 0.47 + 0.12 * (self["horizon"] - 0.5) + conditions.horizon_shift,
            "vanishing_x": 0.5 + conditions.pan,
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    @property
    def heading(self) -> float:
        """How far the silhouettes behind are shifted, in sides of the picture."""
        return self.conditions.heading

    @property
    def daylight(self) -> float:
        """What every colour is scaled by."""
        return self.conditions.daylight

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
        tint = hsv(self.between("light_tint", 0.02, 0.6), 0.6, self.daylight)
        dull = saturation * (1.0 - 0.25 * self.conditions.cover)
        own = mixed(hsv(hue, dull, value * self.daylight), tint, 0.14)
        return mixed(own, self.conditions.tint, self.conditions.tinting)

    def snowed(self, colour: Colour, share: float) -> Colour:
        """The colour with `share` of it under snow where snow lies."""
        return mixed(colour, (250, 250, 252), share * self.climate.snow)

    @property
    def sky_at_horizon(self) -> Colour:
        """What distance fades into."""
        conditions = self.conditions
        clear = hsv(self.between("sky_hue", 0.53, 0.65), 0.12 + 0.12 * self["sky_depth"], 0.96 * self.daylight)
        return mixed(
            mixed(clear, hsv(0.6, 0.03, 0.86 * self.daylight), conditions.cover),
            conditions.tint,
            2.0 * conditions.tinting,
        )

    def far(self, colour: Colour, share: float) -> Colour:
        """The colour through `share` (0 to 1) of the world's haze."""
        return mixed(colour, self.sky_at_horizon, share * self.between("haze", 0.25, 1.0))

    def shadow(self, canvas: Canvas, x: float, y: float, reach: float) -> None:
        """What stands at (x, y) darkens the ground on the side away from the sun, on a clear day."""
        if self.conditions.cover < 0.5:
            away = -1.0 if self.conditions.sun_x > 0.5 else 1.0
            long = reach * (0.6 + 0.8 * (1.0 - self.conditions.elevation))
            shade = hsv(0.3, 0.25, 0.27 * self.daylight)
            canvas.ellipse(x + away * long * 0.8, y, long, 0.12 * reach, shade)

    def ground(self, lateral: float, nearness: float) -> Point:
        """A point of the ground on the picture.

        `nearness` is 0 at the horizon and 1 at the lower edge, and also the scale of what stands there; `lateral`
        is measured from the middle of the lane in sides of the picture at nearness 1.
        """
        bend = (self["road_bend"] - 0.5) * 0.5 * (1.0 - nearness) ** 2
        y = self.horizon + (1.0 - self.horizon) * nearness
        return self.vanishing_x + bend + (lateral + self.conditions.sidestep) * nearness, y

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
