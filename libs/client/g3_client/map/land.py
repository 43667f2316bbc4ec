"""Land and borders of the world, from the data file beside (Natural Earth; see its README)."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate


@dataclass(frozen=True)
class Line:
    """A ring or line: points (longitude, latitude) in degrees; longitudes may run on past ±180."""

    points: tuple[tuple[float, float], ...]

    @property
    def span(self) -> tuple[float, float]:
        """Westernmost and easternmost longitude."""
        longitudes = [longitude for longitude, _ in self.points]
        return min(longitudes), max(longitudes)


@dataclass(frozen=True)
class Land:
    """`polygons` are rings, the shore first, then the lakes in it; `path` draws all of them in SVG, in grid steps."""

    scale: int
    polygons: tuple[tuple[Line, ...], ...]
    borders: tuple[Line, ...]
    path: str
    borders_path: str


@cache
def load() -> Land:
    """The land, read once."""
    document = json.loads((files("g3_client.map") / "data" / "land.json").read_text(encoding="utf-8"))
    scale, polygons, borders = document["scale"], document["land"], document["borders"]
    return Land(
        scale=scale,
        polygons=tuple(tuple(_line(ring, scale) for ring in polygon) for polygon in polygons),
        borders=tuple(_line(line, scale) for line in borders),
        path="".join(_path(ring) + "z" for polygon in polygons for ring in polygon),
        borders_path="".join(_path(line) for line in borders),
    )


def _line(steps: list[int], scale: int) -> Line:
    longitudes, latitudes = accumulate(steps[0::2]), accumulate(steps[1::2])
    return Line(tuple((x / scale, y / scale) for x, y in zip(longitudes, latitudes, strict=True)))


def _path(steps: list[int]) -> str:
    return f"M{steps[0]} {steps[1]}l" + " ".join(map(str, steps[2:])).replace(" -", "-")
