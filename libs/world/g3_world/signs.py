"""What people put up to be read: road signs, billboards in the region's script, and small street furniture."""

import math

from g3_world.canvas import Canvas, Colour, Point, darker, hsv
from g3_world.regions import Glyph
from g3_world.scene import Painting

_SIDES = {"triangle": (3, -90.0), "inverted": (3, 90.0), "diamond": (4, -90.0), "octagon": (8, -67.5)}


def _outline(shape: str, x: float, y: float, radius: float) -> list[Point]:
    if shape == "rectangle":
        wide, high = radius * 1.25, radius * 0.8
        return [(x - wide, y - high), (x + wide, y - high), (x + wide, y + high), (x - wide, y + high)]
    sides, start = _SIDES[shape]
    angles = [math.radians(start + 360.0 * step / sides) for step in range(sides)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _plate(canvas: Canvas, shape: str, x: float, y: float, radius: float, colour: Colour) -> None:
    if shape == "circle":
        canvas.ellipse(x, y, radius, radius, colour)
    else:
        canvas.polygon(_outline(shape, x, y, radius), colour)


def _write(canvas: Canvas, glyph: Glyph, x: float, y: float, size: float, colour: Colour) -> None:
    for first, second in glyph:
        ends = [(x + (u - 0.5) * size, y + (v - 0.5) * size) for u, v in (first, second)]
        canvas.line(ends, size * 0.16, colour)


def paint_sign(painting: Painting) -> None:
    """A road sign on the driver's side: shape, border and glyph by region, hue shifted within it."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    nearness = 0.62
    x, y = scene.ground(scene.verge(scene.own_side, 0.12), nearness)
    x = min(max(x, 0.1), 0.9)
    top = y - scene.between("sign_height", 0.42, 0.72) * nearness
    canvas.line([(x, y), (x, top)], 0.014, scene.lit(0.6, 0.05, 0.55))
    style, radius = scene.style, 0.082
    _plate(canvas, style.sign_shape, x, top, radius, scene.lit(style.border_hue, 0.85, 0.75))
    face = scene.lit(style.sign_hue + scene.between("sign_hue", -0.12, 0.12), 0.6, 0.96)
    _plate(canvas, style.sign_shape, x, top, radius * 0.76, face)
    _write(canvas, style.glyphs[0], x, top, radius * 0.72, (25, 25, 30))
    _paint_plate(painting, x, top + radius + 0.036)


def _paint_plate(painting: Painting, x: float, y: float) -> None:
    """The small plate under the sign: one field and one band, cues of 1 km."""
    scene, canvas = painting.scene, painting.canvas
    canvas.rectangle(
        x - 0.08, y - 0.03, x + 0.08, y + 0.03, scene.lit(scene.between("plate_hue", 0.0, 0.82), 0.75, 0.92)
    )
    at = x + scene.between("plate_band", -0.075, 0.045)
    canvas.rectangle(at, y - 0.03, at + 0.03, y + 0.03, (245, 245, 245))


def paint_billboard(painting: Painting) -> None:
    """A board with three signs of the region's script."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    nearness = 0.34
    x, y = scene.ground(scene.verge(-scene.own_side, 0.5), nearness)
    x = min(max(x, 0.13), 0.87)
    half = scene.between("billboard_width", 0.07, 0.14)
    height, foot = 0.1, y - 0.1
    for leg in (-0.6, 0.6):
        canvas.line([(x + leg * half, y), (x + leg * half, foot)], 0.01, scene.lit(0.08, 0.3, 0.3))
    board = scene.lit(scene["billboard_hue"], 0.65, 0.75)
    canvas.rectangle(x - half - 0.008, foot - height - 0.008, x + half + 0.008, foot + 0.008, darker(board, 0.5))
    canvas.rectangle(x - half, foot - height, x + half, foot, board)
    for index, glyph in enumerate(scene.style.glyphs[1:4]):
        _write(canvas, glyph, x + (index - 1) * half * 0.64, foot - height / 2, half * 0.5, (250, 250, 245))


def paint_furniture(painting: Painting) -> None:
    """A bin and a bench on the verge, in the colours of the quarter: cues of 1 km."""
    scene, canvas = painting.scene, painting.canvas
    side = scene.own_side
    if scene.shows():
        nearness = scene.between("bin_place", 0.55, 0.85)
        x, y = scene.ground(scene.verge(side, 0.06), nearness)
        x = min(max(x, 0.05), 0.95)
        body = scene.lit(scene["bin_hue"], 0.75, 0.65)
        half, height = 0.06 * nearness, 0.17 * nearness
        canvas.rectangle(x - half, y - height, x + half, y, body)
        canvas.rectangle(x - half * 1.2, y - height * 1.2, x + half * 1.2, y - height, darker(body, 0.35))
    if scene.shows():
        x, y = scene.ground(scene.verge(side, 0.42), 0.7)
        x = min(max(x, 0.13), 0.87)
        slats = hsv(scene["bench_hue"], 0.7, 0.75 * scene.daylight)
        for drop in (0.085, 0.04):
            canvas.rectangle(x - 0.11, y - drop - 0.024, x + 0.11, y - drop, slats)
        for leg in (-0.08, 0.08):
            canvas.line([(x + leg, y), (x + leg, y - 0.06)], 0.01, (50, 50, 55))
