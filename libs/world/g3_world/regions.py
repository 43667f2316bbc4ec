"""Sixty regions with a style each: the side of the road, markings, signs and their script, roofs, walls.

A region is everything nearer to its centre than to another. The centres lie where people live: spherical k-means
over GeoNames places, rounded to a degree; a world's seed moves each a little and deals the styles.
"""

from dataclasses import dataclass

import numpy as np
from g3_geography.coordinates import unit_vectors
from numpy.typing import NDArray

CENTRES: tuple[tuple[int, int], ...] = (
    (-38, 175), (-37, -70), (-37, 136), (-30, -57), (-30, 151), (-28, 27), (-22, -47), (-19, 50), (-16, -66),
    (-14, 32), (-8, -40), (-8, 16), (-6, -78), (-6, 112), (-3, 38), (-1, 32), (3, 102), (6, -75), (8, 14),
    (9, -64), (9, -8), (9, 4), (11, -84), (11, 123), (12, 39), (13, 78), (16, -91), (16, 103), (17, -158),
    (19, -72), (21, -100), (22, 74), (24, 87), (25, 116), (29, -82), (29, 77), (30, 52), (31, 107), (33, -95),
    (33, 34), (34, 132), (36, -116), (38, -4), (38, 13), (38, 139), (39, 72), (40, -81), (40, 121), (41, 43),
    (42, -90), (42, -73), (44, 24), (47, 8), (48, -120), (51, 15), (52, 1), (52, 36), (54, 87), (56, 54), (60, 23),
)  # fmt: skip
"""Latitude and longitude of the 60 centres before jitter, degrees."""

ROOFS = ("gable", "hip", "flat", "dome", "pagoda", "stepped")
SIGNS = ("circle", "triangle", "inverted", "diamond", "rectangle", "octagon")
TOWERS = ("steeple", "minaret", "pagoda", "tank", "mill")
POLES = ("wood", "concrete", "lattice")
LINES = ("dashed", "solid", "double")

Stroke = tuple[tuple[float, float], tuple[float, float]]
Glyph = tuple[Stroke, ...]


@dataclass(frozen=True, slots=True)
class Style:
    """What a region's law and habit decide. Hues in [0, 1)."""

    drives_left: bool
    yellow_lines: bool
    centre_line: str
    sign_shape: str
    sign_hue: float
    border_hue: float
    roof: str
    roof_hue: float
    wall_hue: float
    wall_depth: float
    tower: str
    pole: str
    glyphs: tuple[Glyph, ...]

    def numbers(self) -> tuple[float, ...]:
        """The style as ten numbers in [0, 1]; a kind is its place in its list."""
        return (
            float(self.drives_left),
            float(self.yellow_lines),
            LINES.index(self.centre_line) / (len(LINES) - 1),
            SIGNS.index(self.sign_shape) / (len(SIGNS) - 1),
            self.sign_hue,
            ROOFS.index(self.roof) / (len(ROOFS) - 1),
            self.roof_hue,
            self.wall_hue,
            TOWERS.index(self.tower) / (len(TOWERS) - 1),
            POLES.index(self.pole) / (len(POLES) - 1),
        )


STYLE_NAMES: tuple[str, ...] = (
    "drives_left", "yellow_lines", "centre_line", "sign_shape", "region_sign_hue",
    "roof", "region_roof_hue", "region_wall_hue", "tower", "pole",
)  # fmt: skip
"""The names of `Style.numbers`."""


def _glyph(generator: np.random.Generator) -> Glyph:
    """Four strokes between neighbours of a 3 by 3 grid, coordinates in [0, 1]."""
    here = generator.integers(0, 3, 2)
    strokes: list[Stroke] = []
    while len(strokes) < 4:
        there = np.clip(here + generator.integers(-2, 3, 2), 0, 2)
        if (there != here).any():
            strokes.append(((here[0] / 2, here[1] / 2), (there[0] / 2, there[1] / 2)))
            here = there
    return tuple(strokes)


def _style(generator: np.random.Generator) -> Style:
    return Style(
        drives_left=bool(generator.random() < 0.35),
        yellow_lines=bool(generator.random() < 0.4),
        centre_line=str(generator.choice(LINES)),
        sign_shape=str(generator.choice(SIGNS)),
        sign_hue=float(generator.random()),
        border_hue=float(generator.random()),
        roof=str(generator.choice(ROOFS)),
        roof_hue=float(generator.choice([0.0, 0.03, 0.06, 0.09, 0.3, 0.55, 0.6])),
        wall_hue=float(generator.choice([0.02, 0.07, 0.1, 0.13, 0.16, 0.5, 0.58, 0.95])),
        wall_depth=float(generator.uniform(0.06, 0.5)),
        tower=str(generator.choice(TOWERS)),
        pole=str(generator.choice(POLES)),
        glyphs=tuple(_glyph(generator) for _ in range(4)),
    )


class Regions:
    """The regions of one world."""

    def __init__(self, seed: int) -> None:
        """The same seed gives the same centres and styles in every process."""
        generator = np.random.default_rng([seed, 0x726567])
        # Two degrees of spread: borders differ between worlds, the peopled places stay inside.
        centres = np.array(CENTRES) + generator.normal(0.0, 2.0, (len(CENTRES), 2))
        self._centres = unit_vectors(centres[:, 0], centres[:, 1])
        self.styles: tuple[Style, ...] = tuple(_style(generator) for _ in CENTRES)

    def of(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        """The region of each unit vector float64 [n, 3]: int64 [n], an index of `styles`."""
        return np.asarray(np.argmax(points @ self._centres.T, axis=1), dtype=np.int64)
