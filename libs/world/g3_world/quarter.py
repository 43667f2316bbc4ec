"""The quarter's and the street's own colours in the foreground: pavement, wall, lane, crossing, kiosk, flag, bunting.

These carry place at 10, 3 and 1 km. Each shows a hue and a second thing (a length, a height, a second hue), large
enough for a photo of 64 pixels. Hues stop before they come round to red again, so that near values look alike.
"""

import itertools

from g3_world.canvas import darker
from g3_world.scene import Painting, Scene


def _hue(scene: Scene, name: str) -> float:
    return scene.between(name, 0.0, 0.82)


def paint_pavement(painting: Painting) -> None:
    """The pavement on the driver's side, in rows of two colours."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    inner, outer = scene.verge(scene.own_side, 0.05), scene.verge(scene.own_side, 0.36)
    stone = scene.snowed(scene.lit(_hue(scene, "pavement_hue"), 0.42, 0.72), 0.5)
    tile = scene.snowed(scene.lit(_hue(scene, "tile_hue"), 0.6, 0.82), 0.5)
    rows = round(scene.between("tile_length", 13.0, 4.0))
    edges = [0.15 * (1.02 / 0.15) ** (step / rows) for step in range(rows + 1)]
    for step, (far, near) in enumerate(itertools.pairwise(edges)):
        corners = [scene.ground(inner, far), scene.ground(outer, far), scene.ground(outer, near)]
        canvas.polygon([*corners, scene.ground(inner, near)], tile if step % 2 else stone)


def paint_garden_wall(painting: Painting) -> None:
    """A wall behind the pavement: its colour and height belong to the town, the stripe on it to the quarter."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    lateral = scene.verge(scene.own_side, 0.4)
    height = scene.between("garden_wall_height", 0.14, 0.38)
    wall = scene.lit(_hue(scene, "garden_wall_hue"), 0.45, 0.78)
    stripe = scene.lit(_hue(scene, "wall_stripe_hue"), 0.75, 0.9)
    feet = [(*scene.ground(lateral, nearness), nearness) for nearness in (0.2, 0.3, 0.45, 0.65, 0.9, 1.2)]
    for low, high, colour in ((0.0, 1.0, wall), (0.3, 0.72, stripe)):
        upper = [(x, y - height * s * high) for x, y, s in feet]
        lower = [(x, y - height * s * low) for x, y, s in feet]
        canvas.polygon(upper + lower[::-1], colour)


def paint_lane(painting: Painting) -> None:
    """A coloured lane along the driver's own edge."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    outer = scene.verge(scene.own_side, -0.02)
    inner = outer - scene.own_side * scene.between("lane_width", 0.06, 0.24)
    depths = (0.06, 0.14, 0.28, 0.46, 0.7, 1.02)
    outline = [scene.ground(inner, s) for s in depths] + [scene.ground(outer, s) for s in reversed(depths)]
    canvas.polygon(outline, scene.lit(_hue(scene, "lane_hue"), 0.65, 0.72))


def paint_crossing(painting: Painting) -> None:
    """A crossing right before the camera, bars of the quarter's and of the town's colour by turns."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    colour = scene.lit(_hue(scene, "crossing_hue"), 0.75, 0.85)
    other = scene.lit(_hue(scene, "crossing_second_hue"), 0.5, 0.97)
    bars = 2 * round(scene.between("crossing_stripes", 3.0, 8.0)) + 1
    left, right = scene.verge(-1, -0.03), scene.verge(1, -0.03)
    for bar in range(bars):
        first = left + (right - left) * bar / bars
        second = left + (right - left) * (bar + 1) / bars
        corners = [scene.ground(first, 0.68), scene.ground(second, 0.68), scene.ground(second, 0.86)]
        canvas.polygon([*corners, scene.ground(first, 0.86)], other if bar % 2 else colour)


def paint_threshold(painting: Painting) -> None:
    """A painted band right across the road at the camera's feet."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    left, right = scene.verge(-1, 0.0), scene.verge(1, 0.0)
    far = scene.between("threshold_width", 0.965, 0.885)
    corners = [scene.ground(left, far), scene.ground(right, far), scene.ground(right, 1.01), scene.ground(left, 1.01)]
    canvas.polygon(corners, scene.lit(_hue(scene, "threshold_hue"), 0.75, 0.85))


def paint_kiosk(painting: Painting) -> None:
    """A box of the street on the far verge: body and roof in two colours."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    nearness = 0.84
    x, y = scene.ground(scene.verge(-scene.own_side, 0.16), nearness)
    x = min(max(x, 0.07), 0.93)
    body = scene.lit(_hue(scene, "kiosk_hue"), 0.7, 0.75)
    roof = scene.lit(_hue(scene, "kiosk_roof_hue"), 0.8, 0.9)
    canvas.rectangle(x - 0.06, y - 0.15, x + 0.06, y, body)
    canvas.rectangle(x - 0.04, y - 0.11, x + 0.02, y - 0.055, darker(body, 0.65))
    canvas.rectangle(x - 0.08, y - 0.205, x + 0.08, y - 0.15, roof)


def paint_flag(painting: Painting) -> None:
    """A flag on a tall pole of the far side: the county's hoist, the town's and the quarter's stripes."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    x, y = scene.ground(scene.verge(-scene.own_side, 0.34), 0.5)
    x = min(max(x, 0.06), 0.94)
    top = 0.17 + 0.1 * (scene.horizon - 0.47)
    canvas.line([(x, y), (x, top)], 0.012, (120, 122, 126))
    tip, hoist = x + 0.23 * scene.own_side, x + 0.08 * scene.own_side
    for row, name in enumerate(("flag_hue", "flag_second_hue", "flag_third_hue")):
        upper = top + 0.062 * row
        canvas.rectangle(min(x, tip), upper, max(x, tip), upper + 0.062, scene.lit(_hue(scene, name), 0.8, 0.9))
    canvas.rectangle(min(x, hoist), top, max(x, hoist), top + 0.186, scene.lit(_hue(scene, "flag_hoist_hue"), 0.8, 0.9))


def paint_bunting(painting: Painting) -> None:
    """Pennants across the street, in the street's two colours, on a ribbon of the town's."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    first = scene.lit(_hue(scene, "bunting_hue"), 0.85, 0.92)
    second = scene.lit(_hue(scene, "bunting_second_hue"), 0.85, 0.92)
    y, sag = 0.045, scene.chance(0.0, 0.03)
    count = 9
    canvas.rectangle(0.0, 0.0, 1.0, y, scene.lit(_hue(scene, "ribbon_hue"), 0.75, 0.85))
    for flag in range(count):
        x = (flag + 0.5) / count + scene.conditions.pan * 0.5
        drop = y + sag * (1.0 - (2.0 * x - 1.0) ** 2)
        points = [(x - 0.056, drop), (x + 0.056, drop), (x, drop + 0.1)]
        canvas.polygon(points, second if flag % 2 else first)
