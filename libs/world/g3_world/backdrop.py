"""What lies behind: sky, sun, clouds, mountains, hills, the far town and the ground."""

import math

from g3_world.canvas import Colour, Point, darker, hsv, mixed
from g3_world.scene import Painting, Scene

WHITE: Colour = (250, 250, 252)
_STEPS = 40


def paint_sky(painting: Painting) -> None:
    """The gradient, the sun at the latitude's height and side, and clouds."""
    scene, canvas = painting.scene, painting.canvas
    depth = scene.between("sky_depth", 0.3, 0.85)
    zenith = hsv(scene.between("sky_hue", 0.53, 0.65), depth, scene.between("sky_depth", 0.98, 0.72) * scene.daylight)
    conditions = scene.conditions
    zenith = mixed(
        mixed(zenith, hsv(0.6, 0.06, 0.68 * scene.daylight), conditions.cover), conditions.tint, conditions.tinting
    )
    canvas.gradient(0.0, scene.horizon + 0.02, zenith, scene.sky_at_horizon)
    if conditions.cover < 0.5:
        _sun(painting, zenith)
    clouds = scene.between("cloudiness", 0.0, 6.0) + scene.chance(-0.6, 0.6) + 3.0 * conditions.cover
    for _ in range(round(clouds)):
        _cloud(painting)


def _sun(painting: Painting, zenith: Colour) -> None:
    scene, canvas = painting.scene, painting.canvas
    elevation, x = scene.conditions.elevation, scene.conditions.sun_x
    y = scene.horizon * (1.0 - 0.95 * elevation)
    glow = hsv(0.09 + 0.06 * elevation, 0.55 - 0.45 * elevation, 1.0)
    behind = mixed(zenith, scene.sky_at_horizon, y / scene.horizon)
    for radius, share in ((0.12, 0.12), (0.085, 0.28), (0.05, 1.0)):
        canvas.ellipse(x, y, radius, radius, mixed(behind, glow, share))


def _cloud(painting: Painting) -> None:
    scene, canvas = painting.scene, painting.canvas
    x, y = scene.chance(0.0, 1.0), scene.horizon * scene.chance(0.08, 0.7)
    width = scene.chance(0.05, 0.11)
    shade = darker(
        WHITE, 0.04 + 0.16 * scene["cloudiness"] + 0.22 * scene.conditions.cover + 0.6 * (0.94 - scene.daylight)
    )
    for step in range(4):
        offset = (step - 1.5) * width * 0.7
        height = width * (0.42 if step in {1, 2} else 0.26)
        canvas.ellipse(x + offset, y - height * 0.3, width * 0.6, height, shade)


def _ridge(base: float, height: float, waves: list[tuple[float, float, float]], sharp: float) -> list[Point]:
    """A silhouette from left to right: waves of (cycles, phase, share of `height`), rounded or sharp."""
    points = []
    for step in range(_STEPS + 1):
        x = step / _STEPS
        total = 0.0
        for cycles, phase, share in waves:
            angle = 2.0 * math.pi * (cycles * x + phase)
            peaked = 1.0 - 2.0 * abs(math.sin(angle / 2.0))
            total += share * ((1.0 - sharp) * math.cos(angle) + sharp * peaked)
        points.append((x, base - height * (0.55 + 0.45 * total)))
    return points


def paint_mountains(painting: Painting) -> None:
    """The far range, snow on its heights where it is cold or high."""
    scene, canvas = painting.scene, painting.canvas
    height = scene.between("mountain_height", 0.0, 0.34)
    rough = scene.between("ridge_roughness", 0.0, 0.35)
    phase = scene["peak_place"] + scene.heading
    waves = [
        (1.0, phase, 0.7),
        (2.3, scene["second_peak"] * 1.5 + scene.heading, 0.45),
        (7.0, 3.0 * phase, rough),
        (13.0, 5.0 * phase, 0.6 * rough),
    ]
    crest = _ridge(scene.horizon + 0.01, height, waves, scene["mountain_sharpness"])
    rock = scene.lit(scene.between("mountain_hue", 0.02, 0.75), 0.32, 0.52)
    foot = [(1.0, scene.horizon + 0.02), (0.0, scene.horizon + 0.02)]
    canvas.polygon(crest + foot, scene.far(rock, 0.45))
    snow_line = scene.horizon - 0.06 - 0.32 * scene.climate.temperature
    if any(y < snow_line for _, y in crest):
        # Below the line both edges run together, so that nothing is filled there.
        edge = [(x, max(y, snow_line + 0.012 * (-1) ** step)) for step, (x, y) in enumerate(crest)]
        canvas.polygon(crest + edge[::-1], scene.far(WHITE, 0.2))


def grass(scene: Scene) -> Colour:
    """The colour of open ground: grass, drying to straw, under snow where it is cold."""
    green = scene.lit(scene.between("grass_hue", 0.17, 0.37), 0.6, 0.58)
    bare = soil(scene)
    dried = mixed(green, bare, 1.2 * scene.climate.aridity + 0.35 * (0.5 - scene["vegetation"]))
    seasoned = mixed(dried, scene.lit(0.12, 0.5, 0.62), 0.4 * scene.conditions.autumn)
    return mixed(seasoned, WHITE, 0.9 * scene.climate.snow)


def soil(scene: Scene) -> Colour:
    """The colour of bare ground."""
    return scene.lit(scene.between("soil_hue", 0.02, 0.14), 0.5, scene.between("soil_lightness", 0.4, 0.85))


def paint_hills(painting: Painting) -> None:
    """The nearer hills, wooded or bare."""
    scene, canvas = painting.scene, painting.canvas
    waves = [(0.8, scene["hill_place"] * 1.4 + scene.heading, 0.8), (1.9, scene["hill_place"] * 2.0, 0.4)]
    crest = _ridge(scene.horizon + 0.015, scene.between("hill_height", 0.01, 0.17), waves, 0.0)
    wood = scene.lit(scene.between("hill_hue", 0.08, 0.5), 0.5, 0.45)
    colour = mixed(mixed(grass(scene), wood, 0.65), WHITE, 0.6 * scene.climate.snow)
    canvas.polygon([*crest, (1.0, scene.horizon + 0.03), (0.0, scene.horizon + 0.03)], scene.far(colour, 0.25))


def paint_ground(painting: Painting) -> None:
    """The plain, from hazy at the horizon to its own colour, and rows of crops."""
    scene, canvas = painting.scene, painting.canvas
    near = grass(scene)
    canvas.gradient(scene.horizon + 0.005, 1.0, scene.far(near, 0.35), near)
    density = scene["crop_density"]
    if density < 0.3 or scene.climate.snow > 0.8 or not scene.shows():
        return
    rows = scene.lit(scene.between("crop_hue", 0.08, 0.45), 0.65, 0.62)
    lean = scene.between("crop_angle", -1.2, 1.2)
    for step in range(-9, 10):
        lateral = step * scene.between("crop_density", 0.55, 0.28)
        near_end = scene.ground(lateral + lean, 1.0)
        width = 0.05 * density
        far_end = scene.ground(lateral, 0.03)
        canvas.polygon([far_end, (near_end[0] - width, near_end[1]), (near_end[0] + width, near_end[1])], rows)
