"""The accidents of one photo: weather, hour, season and viewpoint. None of them says where it was taken."""

from dataclasses import dataclass

import numpy as np

from g3_world.attributes import Climate
from g3_world.canvas import Colour, hsv

# Of a hundred photos where it is not dry: fog, rain (or snowfall), overcast; the rest has a visible sun.
_FOG, _RAIN, _OVERCAST = 0.07, 0.14, 0.22
_DUSK = 0.08


@dataclass(frozen=True, slots=True)
class Conditions:
    """`cover`, `rain`, `fog`, `autumn` and `winter` are shares 0 to 1; `elevation` is the sun's over 90°.

    `daylight` scales every colour; `tint` is the colour of the light and `tinting` its share; `sun_x` is where the
    sun stands on the picture; `horizon_shift`, `pan`, `heading` and `sidestep` are fractions of the side, `roll`
    degrees.
    """

    cover: float
    rain: float
    fog: float
    autumn: float
    winter: float
    elevation: float
    sun_x: float
    daylight: float
    tint: Colour
    tinting: float
    horizon_shift: float
    pan: float
    heading: float
    sidestep: float
    roll: float

    @classmethod
    def drawn(cls, dice: np.random.Generator, climate: Climate, cloudiness: float, strength: float) -> "Conditions":
        """Conditions as they may be in that climate; `strength` 0 leaves out all of them, 1 is the world's own."""
        kind, thick, hour, date, evening = dice.random(5).tolist()
        view = dice.uniform(-1.0, 1.0, 6) * strength
        wet = strength * (1.0 - 0.8 * climate.aridity)
        fog, rain, cover = _weather(kind, thick, wet, cloudiness)
        # The sun's height runs through the day; it only ever reaches what the latitude allows.
        away = (2.0 * hour - 1.0) * strength
        elevation = climate.sun_elevation * (1.0 - 0.75 * away * away)
        dusk = strength * float(evening < _DUSK)
        low = max(0.0, 1.0 - elevation / 0.35)
        tint = hsv(0.66, 0.45, 0.75) if dusk else hsv(0.09, 0.6, 1.0)
        seasonal = strength * min(max((1.0 - climate.sun_elevation - 0.2) / 0.2, 0.0), 1.0)
        return cls(
            cover=cover,
            rain=rain,
            fog=fog,
            autumn=seasonal * _near(date, 0.75, 0.12),
            winter=seasonal * _near(date, 0.0, 0.14) + seasonal * _near(date, 1.0, 0.14),
            elevation=min(max(elevation + 0.08 * float(view[0]), 0.02), 1.0),
            sun_x=0.5 + 0.4 * climate.sun_side * (1.0 - 0.3 * abs(away)) + 0.12 * away,
            daylight=(0.94 + 0.06 * float(view[1])) * (1.0 - 0.14 * cover) * (1.0 - 0.3 * dusk),
            tint=tint,
            tinting=0.2 * dusk + (0.0 if dusk else 0.1 * low * strength * (1.0 - cover)),
            horizon_shift=0.02 * float(view[2]),
            pan=0.05 * float(view[3]),
            heading=0.05 * float(view[4]),
            sidestep=0.03 * float(view[5]),
            roll=1.5 * float(dice.uniform(-1.0, 1.0)) * strength,
        )


def _weather(kind: float, thick: float, wet: float, cloudiness: float) -> tuple[float, float, float]:
    """Fog, rain and cover, from two throws."""
    fog, rain = _FOG * wet, _RAIN * wet
    overcast = _OVERCAST * wet * (0.4 + 1.2 * cloudiness)
    if kind < fog:
        return 0.35 + 0.45 * thick, 0.0, 0.7
    if kind < fog + rain:
        return 0.12 * thick, 0.4 + 0.6 * thick, 1.0
    if kind < fog + rain + overcast:
        return 0.0, 0.0, 0.6 + 0.4 * thick
    return 0.0, 0.0, 0.0


def _near(date: float, middle: float, spread: float) -> float:
    return max(0.0, 1.0 - abs(date - middle) / spread)
