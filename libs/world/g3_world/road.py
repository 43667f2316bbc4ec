"""The road: shoulders, kerb, carriageway and markings, and what stands or drives beside it."""

import itertools

from g3_world.backdrop import grass, soil
from g3_world.canvas import Colour, Point, darker, hsv, mixed
from g3_world.scene import Painting, Scene

_DEPTHS = (0.02, 0.06, 0.12, 0.2, 0.32, 0.46, 0.64, 0.82, 1.02)


def _strip(scene: Scene, left: float, right: float) -> list[Point]:
    """The outline of a band of the ground between two lateral places, horizon to the lower edge."""
    return [scene.ground(left, s) for s in _DEPTHS] + [scene.ground(right, s) for s in reversed(_DEPTHS)]


def paint_road(painting: Painting) -> None:
    """Shoulder, asphalt, kerb blocks and lines by the region's law."""
    scene, canvas = painting.scene, painting.canvas
    half, middle = scene.road_half_width, scene.road_middle
    shoulder = scene.snowed(scene.lit(scene.between("shoulder_hue", 0.0, 0.7), 0.3, 0.66), 0.7)
    canvas.polygon(_strip(scene, middle - half * 1.42, middle + half * 1.42), mixed(soil(scene), grass(scene), 0.15))
    canvas.polygon(_strip(scene, middle - half * 1.22, middle + half * 1.22), shoulder)
    grey = scene.lit(scene.between("asphalt_hue", 0.0, 0.82), 0.32, scene.between("road_lightness", 0.26, 0.66))
    canvas.polygon(_strip(scene, middle - half, middle + half), grey)
    _paint_kerb(painting)
    _paint_lines(painting)


def _paint_kerb(painting: Painting) -> None:
    """Alternating blocks along the driver's own edge."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    inner, outer = scene.verge(scene.own_side, 0.0), scene.verge(scene.own_side, 0.055)
    painted = scene.lit(scene["kerb_hue"], 0.75, 0.8)
    pale = scene.lit(0.1, 0.04, 0.92)
    blocks = round(scene.between("kerb_length", 12.0, 3.0))
    # Even lengths on the ground shrink with the square of the nearness on the picture.
    edges = [0.12 * (1.02 / 0.12) ** (step / blocks) for step in range(blocks + 1)]
    for step, (far, near) in enumerate(itertools.pairwise(edges)):
        corners = [scene.ground(inner, far), scene.ground(outer, far), scene.ground(outer, near)]
        canvas.polygon([*corners, scene.ground(inner, near)], painted if step % 2 else pale)


def _paint_lines(painting: Painting) -> None:
    scene, canvas = painting.scene, painting.canvas
    half, middle = scene.road_half_width, scene.road_middle
    white = scene.lit(0.1, 0.03, 0.96)
    centre = scene.lit(0.13, 0.85, 0.95) if scene.style.yellow_lines else white
    if scene["edge_lines"] > 0.4 and scene.shows():
        colour = mixed(white, hsv(0.13, 0.8, 0.95), 1.6 * (scene["edge_lines"] - 0.5))
        for side in (-1, 1):
            at = middle + side * half * 0.9
            canvas.polygon(_strip(scene, at - 0.012, at + 0.012), colour)
    if scene.style.centre_line == "dashed":
        _dashes(painting, middle, centre)
    elif scene.style.centre_line == "solid":
        canvas.polygon(_strip(scene, middle - 0.014, middle + 0.014), centre)
        _dashes(painting, middle + 0.045 * scene.own_side, centre)
    else:
        for offset in (-0.026, 0.026):
            canvas.polygon(_strip(scene, middle + offset - 0.012, middle + offset + 0.012), centre)
        _dashes(painting, middle + scene.own_side * half * 0.82, white)


def _dashes(painting: Painting, lateral: float, colour: Colour) -> None:
    scene, canvas = painting.scene, painting.canvas
    share = scene.between("dash_length", 0.25, 0.85)
    start = scene.chance(0.0, 0.25)
    edge = 0.08 * (1.0 + start)
    while edge < 1.0:
        longer = edge * 1.45
        end = edge + (longer - edge) * share
        corners = [scene.ground(lateral - 0.015, edge), scene.ground(lateral + 0.015, edge)]
        canvas.polygon([*corners, scene.ground(lateral + 0.015, end), scene.ground(lateral - 0.015, end)], colour)
        edge = longer


def paint_poles(painting: Painting) -> None:
    """Poles with a wire along the far verge, kind by region; a painted band as a 1 km cue."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    side = -scene.own_side
    wood = {"wood": (0.08, 0.5, 0.35), "concrete": (0.1, 0.05, 0.7), "lattice": (0.6, 0.15, 0.45)}
    colour = scene.lit(*wood[scene.style.pole])
    height = scene.between("pole_height", 0.45, 0.95)
    ratio = scene.between("pole_spacing", 0.45, 0.75)
    nearness, tops = 0.62, []
    band = scene.lit(scene["paint_band_hue"], 0.85, 0.9)
    while nearness > 0.07:
        x, y = scene.ground(scene.verge(side, 0.2), nearness)
        top = y - height * nearness
        canvas.line([(x, y), (x, top)], 0.028 * nearness, colour)
        arm = 0.09 * nearness
        for drop in (0.06, 0.14) if scene.style.pole == "lattice" else (0.06,):
            canvas.line([(x - arm, top + drop * nearness), (x + arm, top + drop * nearness)], 0.018 * nearness, colour)
        wide = 0.04 * nearness
        canvas.rectangle(x - wide, y - 0.3 * nearness, x + wide, y - 0.12 * nearness, band)
        tops.append((x, top + 0.06 * nearness))
        nearness *= ratio
    if len(tops) > 1:
        canvas.line(tops, 0.003, darker(colour, 0.5))


def paint_lamp(painting: Painting) -> None:
    """A street lamp on the driver's side."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    nearness, side = 0.4, scene.own_side
    x, y = scene.ground(scene.verge(side, 0.16), nearness)
    top = y - scene.between("lamp_height", 0.3, 0.75) * nearness
    steel = scene.lit(0.6, 0.1, 0.4)
    canvas.line([(x, y), (x, top), (x - side * 0.06, top)], 0.01, steel)
    canvas.ellipse(x - side * 0.06, top + 0.012, 0.022, 0.016, scene.lit(scene["lamp_hue"], 0.7, 1.0))


def paint_car(painting: Painting) -> None:
    """A car on the other lane: the street's own colour of car, a cue of 1 km."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    nearness = scene.between("car_place", 0.2, 0.5)
    x, y = scene.ground(scene.road_middle - scene.own_side * scene.road_half_width * 0.5, nearness)
    width, height = 0.22 * nearness, 0.2 * nearness
    body = scene.lit(scene["car_hue"], 0.8, 0.8)
    canvas.rectangle(x - width, y - 0.02 * nearness, x + width, y + 0.02 * nearness, (35, 35, 38))
    canvas.rectangle(x - width, y - height, x + width, y - 0.02 * nearness, body)
    roof = [(x - width * 0.8, y - height), (x - width * 0.6, y - height * 1.8), (x + width * 0.6, y - height * 1.8)]
    canvas.polygon([*roof, (x + width * 0.8, y - height)], darker(body, 0.15))
    glass = [(x - width * 0.66, y - height), (x - width * 0.5, y - height * 1.65), (x + width * 0.5, y - height * 1.65)]
    canvas.polygon([*glass, (x + width * 0.66, y - height)], (60, 75, 92))
    for side in (-1, 1):
        light = x + side * width * 0.75
        canvas.ellipse(light, y - height * 0.6, width * 0.15, height * 0.15, (255, 248, 214))
