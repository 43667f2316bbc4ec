"""A picture painted in fractions of its side, at twice its size so that edges come out smooth."""

import colorsys
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLING = 2
"""Painted pixels for one pixel of the photo, each way."""


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Hue is cyclic; saturation and value are clamped into [0, 1]. Gives RGB 0 to 255."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))
    return round(red * 255), round(green * 255), round(blue * 255)


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour, the rest of the first."""
    share = min(max(share, 0.0), 1.0)
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float) -> Colour:
    """`share` of the way to black."""
    return mixed(colour, (0, 0, 0), share)


class Canvas:
    """Square; (0, 0) is the upper left corner, (1, 1) the lower right one. Lengths are fractions of the side."""

    def __init__(self, size: int) -> None:
        """`size` is the side of the finished photo, pixels."""
        self.size = size
        self._side = size * OVERSAMPLING
        self._image = Image.new("RGB", (self._side, self._side))
        self._draw = ImageDraw.Draw(self._image)

    def gradient(self, top: float, bottom: float, upper: Colour, lower: Colour) -> None:
        """Fills the full width between two heights with colours running from `upper` to `lower`."""
        first, last = round(top * self._side), round(bottom * self._side)
        if last <= first:
            return
        share = np.linspace(0.0, 1.0, last - first)[:, None]
        column = np.asarray(upper) * (1.0 - share) + np.asarray(lower) * share
        strip = Image.fromarray(np.rint(column).astype(np.uint8)[:, None, :])
        self._image.paste(strip.resize((self._side, last - first), Image.Resampling.NEAREST), (0, first))

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """Fills the outline."""
        self._draw.polygon([(x * self._side, y * self._side) for x, y in points], fill=colour)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Fills the upright rectangle; nothing where it is inside out."""
        if right >= left and bottom >= top:
            side = self._side
            self._draw.rectangle((left * side, top * side, right * side, bottom * side), fill=colour)

    def ellipse(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fills the ellipse around (x, y); `width` and `height` are half axes."""
        side = self._side
        box = ((x - width) * side, (y - height) * side, (x + width) * side, (y + height) * side)
        self._draw.ellipse(box, fill=colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draws an open line of the given thickness, at least one painted pixel."""
        thickness = max(1, round(width * self._side))
        self._draw.line([(x * self._side, y * self._side) for x, y in points], fill=colour, width=thickness)

    def veil(self, colour: Colour, horizon: float, thickest: float, thinnest: float) -> None:
        """Lays a colour over everything: `thickest` (0 to 1) from the top to the horizon, `thinnest` at the bottom."""
        share = np.interp(np.linspace(0.0, 1.0, self._side), [0.0, horizon, 1.0], [thickest, thickest, thinnest])
        mask = Image.fromarray(np.rint(255.0 * share).astype(np.uint8)[:, None])
        box = (0, 0, self._side, self._side)
        self._image.paste(colour, box, mask.resize((self._side, self._side), Image.Resampling.NEAREST))

    def reduced(self, roll_deg: float) -> Image.Image:
        """The picture at its own size, turned by `roll_deg` and enlarged so that no corner stays empty."""
        if abs(roll_deg) < 0.05:
            return self._image.reduce(OVERSAMPLING)
        angle = math.radians(roll_deg)
        zoom = 1.0 / (math.cos(angle) + abs(math.sin(angle)))
        across, down = zoom * math.cos(angle), zoom * math.sin(angle)
        middle = self._side / 2
        turn = (across, down, middle * (1.0 - across - down), -down, across, middle * (1.0 + down - across))
        turned = self._image.transform(self._image.size, Image.Transform.AFFINE, turn, Image.Resampling.BILINEAR)
        return turned.reduce(OVERSAMPLING)
