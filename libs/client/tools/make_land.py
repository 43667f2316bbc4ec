"""Makes `g3_client/map/data/land.json` out of Natural Earth's 1:50m countries.

    npm pack world-atlas@2.0.2 && tar xf world-atlas-2.0.2.tgz
    python tools/make_land.py package/countries-50m.json g3_client/map/data/land.json

The input is TopoJSON (https://github.com/topojson/topojson-specification): shared, quantised, delta-encoded arcs.
The output is flat and small: `scale` grid steps a degree; `land`, polygons of rings (the first is the shore, the
others are lakes and seas inside it); `borders`, lines between two countries. A ring or line is a list of integers:
longitude and latitude of its first point, then the differences to the next, in grid steps.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

Point = tuple[float, float]
Line = list[Point]

SCALE = 40  # grid steps a degree: 2.8 km, a pixel of the closest inset
TOLERANCE = 0.035  # degrees a line may move: below what the picture shows
SMALLEST = 0.004  # square degrees: about 50 square kilometres at the equator


def main(source: Path, target: Path) -> None:
    """Reads TopoJSON at `source`, writes the compact rings to `target`."""
    topology = json.loads(source.read_text())
    arcs = [simplified(arc) for arc in absolute(topology)]
    land = [
        [packed(unwrapped(ring)) for ring in rings]
        for polygon in polygons(topology["objects"]["land"])
        if (rings := [r for ring in polygon if abs(area(r := stitched(ring, arcs))) >= SMALLEST])
    ]
    shared = Counter(i if i >= 0 else ~i for p in polygons(topology["objects"]["countries"]) for r in p for i in r)
    lines = (packed(unwrapped(arcs[i], closed=False)) for i, uses in sorted(shared.items()) if uses > 1)
    borders = [line for line in lines if len(line) > 2]
    document = {"scale": SCALE, "land": land, "borders": borders}
    target.write_text(json.dumps(document, separators=(",", ":")) + "\n")


def absolute(topology: dict[str, Any]) -> Iterator[Line]:
    """The arcs in degrees, longitude first."""
    (scale_x, scale_y), (left, bottom) = topology["transform"]["scale"], topology["transform"]["translate"]
    for arc in topology["arcs"]:
        x = y = 0
        line: Line = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            line.append((x * scale_x + left, y * scale_y + bottom))
        yield line


def simplified(line: Line) -> Line:
    """Douglas and Peucker (1973): the fewest kept points that stay within the tolerance."""
    if len(line) < 3:
        return line
    distances = [off(point, line[0], line[-1]) for point in line[1:-1]]
    furthest = max(range(len(distances)), key=distances.__getitem__)
    if distances[furthest] <= TOLERANCE:
        return [line[0], line[-1]]
    return [*simplified(line[: furthest + 2])[:-1], *simplified(line[furthest + 1 :])]


def off(point: Point, start: Point, end: Point) -> float:
    """Distance in degrees of a point from the segment between two others."""
    (x, y), (ax, ay), (bx, by) = point, start, end
    length = (bx - ax) ** 2 + (by - ay) ** 2
    along = 0.0 if length == 0 else min(1.0, max(0.0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length))
    return float(((x - ax - along * (bx - ax)) ** 2 + (y - ay - along * (by - ay)) ** 2) ** 0.5)


def polygons(geometry: dict[str, Any]) -> Iterator[list[list[int]]]:
    """Every polygon below a geometry, as rings of arc numbers."""
    match geometry["type"]:
        case "GeometryCollection":
            for part in geometry["geometries"]:
                yield from polygons(part)
        case "MultiPolygon":
            yield from geometry["arcs"]
        case "Polygon":
            yield geometry["arcs"]


def stitched(ring: list[int], arcs: list[Line]) -> Line:
    """The points of a ring; a negative number is the complement of an arc walked backwards."""
    points: Line = []
    for number in ring:
        points += (arcs[number] if number >= 0 else arcs[~number][::-1])[:-1]
    return points


def unwrapped(line: Line, *, closed: bool = True) -> Line:
    """The line without jumps at the antimeridian: its longitudes run on beyond 180 degrees.

    A closed line around a pole ends a turn away from its start; it is led over the pole.
    """
    turn, before = 0.0, line[0][0]
    points: Line = []
    for x, y in line:
        turn += -360.0 if x - before > 180 else 360.0 if x - before < -180 else 0.0
        points.append((x + turn, y))
        before = x
    (first, start), (last, _) = points[0], points[-1]
    if closed and abs(last - first) > 180:
        pole, end = (-90.0 if start < 0 else 90.0), first + (360.0 if last > first else -360.0)
        points += [(end, start), (end, pole), (first, pole)]
    return points


def area(ring: Line) -> float:
    """Signed area in square degrees."""
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(ring, [*ring[1:], ring[0]], strict=True)) / 2


def packed(line: Line) -> list[int]:
    """First point, then differences, in grid steps; points that fall together are written once."""
    grid = [(round(x * SCALE), round(y * SCALE)) for x, y in line]
    points = [grid[0], *(b for a, b in pairwise(grid) if a != b)]
    steps = [d for (ax, ay), (bx, by) in pairwise(points) for d in (bx - ax, by - ay)]
    return [*points[0], *steps]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
