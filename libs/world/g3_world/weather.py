"""What the weather lays over the picture, and what comes between it and the camera."""

from g3_world.backdrop import WHITE
from g3_world.canvas import Colour, darker, hsv, mixed
from g3_world.scene import Painting

_OCCLUSION = 0.22


def paint_fog(painting: Painting, share: float) -> None:
    """A veil over what is painted so far, `share` of the fog's own thickness, thinning towards the camera."""
    fog = painting.scene.conditions.fog * share
    if fog > 0.02:
        grey = mixed(painting.scene.sky_at_horizon, (208, 212, 216), 0.7)
        painting.canvas.veil(grey, painting.scene.horizon, fog, 0.35 * fog)


def paint_rain(painting: Painting) -> None:
    """Streaks, or flakes where it is cold."""
    scene, canvas = painting.scene, painting.canvas
    rain = scene.conditions.rain
    if rain <= 0.0:
        return
    lean = scene.chance(-0.03, 0.03)
    for _ in range(round(34 * rain)):
        x, y = scene.chance(), scene.chance()
        if scene.climate.snow > 0.4:
            canvas.ellipse(x, y, 0.008, 0.008, (246, 248, 250))
        else:
            canvas.line([(x, y), (x + lean, y + 0.06)], 0.005, (186, 196, 206))


def paint_occlusion(painting: Painting) -> None:
    """Now and then something of nobody's place stands in the way: a passing car, somebody, a finger, a frame."""
    scene, canvas = painting.scene, painting.canvas
    if scene.chance() >= _OCCLUSION * scene.nuisance:
        return
    kind, side = int(scene.chance(0.0, 4.0)), -1.0 if scene.chance() < 0.5 else 1.0
    edge = 0.5 + 0.5 * side
    shade = hsv(scene.chance(), 0.5 * scene.chance(), scene.chance(0.2, 0.85) * scene.conditions.daylight)
    if kind == 0:
        reach, top = scene.chance(0.16, 0.34), scene.chance(0.6, 0.74)
        inner = edge - side * reach
        canvas.polygon(
            [(edge, top - 0.1), (inner + side * 0.1, top - 0.1), (inner, top), (inner, 0.93), (edge, 0.93)], shade
        )
        canvas.polygon(
            [(edge, top - 0.08), (inner + side * 0.12, top - 0.08), (inner + side * 0.05, top), (edge, top)],
            (52, 62, 74),
        )
        canvas.ellipse(inner + side * 0.1, 0.93, 0.06, 0.06, (24, 24, 26))
    elif kind == 1:
        _person(painting, edge - side * scene.chance(0.04, 0.2), scene.chance(0.45, 0.6), shade)
    elif kind == 2:
        skin = hsv(0.05, scene.chance(0.3, 0.55), scene.chance(0.45, 0.95))
        canvas.ellipse(edge, scene.chance(0.0, 1.0), scene.chance(0.08, 0.2), scene.chance(0.1, 0.22), skin)
    else:
        canvas.rectangle(0.0, scene.chance(0.93, 0.97), 1.0, 1.0, darker(shade, 0.7))
        canvas.polygon([(edge, 0.0), (edge - side * scene.chance(0.05, 0.12), 0.0), (edge, 1.0)], darker(shade, 0.7))


def _person(painting: Painting, x: float, top: float, coat: Colour) -> None:
    canvas = painting.canvas
    skin = hsv(0.06, painting.scene.chance(0.25, 0.6), painting.scene.chance(0.4, 0.95))
    canvas.rectangle(x - 0.05, top + 0.28, x + 0.05, top + 0.5, darker(mixed(coat, WHITE, 0.1), 0.5))
    canvas.rectangle(x - 0.065, top + 0.07, x + 0.065, top + 0.3, coat)
    canvas.ellipse(x, top + 0.03, 0.035, 0.045, skin)
