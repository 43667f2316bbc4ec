"""From degrees to pixels: an equirectangular view with a centre, so that nothing tears at the antimeridian."""

import math
from dataclasses import dataclass

from g3_client.models import Coordinates

EARTH_KM = 6371.0088  # mean radius R1 (Moritz 2000, Geodetic Reference System 1980)


@dataclass(frozen=True)
class Frame:
    """A view of `width` by `height` pixels around (`longitude`, `latitude`); `scale` pixels a degree of latitude.

    Off the equator degrees of longitude are drawn shorter, true to shape at the centre.
    """

    longitude: float
    latitude: float
    width: int
    height: int
    scale: float

    @property
    def x_scale(self) -> float:
        """Pixels a degree of longitude."""
        # near a pole a degree of longitude has no length: stop where shapes still read
        return self.scale * max(0.2, math.cos(math.radians(self.latitude)))

    def at(self, longitude: float, latitude: float) -> tuple[float, float]:
        """Pixels of a point whose longitude is taken as it is, also beyond ±180."""
        x = self.width / 2 + (longitude - self.longitude) * self.x_scale
        return x, self.height / 2 - (latitude - self.latitude) * self.scale

    def of(self, point: Coordinates) -> tuple[float, float]:
        """Pixels of a point, on the nearer way round."""
        return self.at(self.longitude + east(self.longitude, point.longitude), point.latitude)

    def inside(self, x: float, y: float) -> bool:
        """Whether a pixel is in view."""
        return 0 <= x < self.width and 0 <= y < self.height

    @property
    def longitudes(self) -> tuple[float, float]:
        """The western and eastern edge in degrees, not wrapped."""
        half = self.width / 2 / self.x_scale
        return self.longitude - half, self.longitude + half

    @property
    def latitudes(self) -> tuple[float, float]:
        """The southern and northern edge in degrees, within the poles."""
        half = self.height / 2 / self.scale
        return max(-90.0, self.latitude - half), min(90.0, self.latitude + half)

    def times(self, factor: int) -> "Frame":
        """The same view in finer pixels."""
        return Frame(self.longitude, self.latitude, self.width * factor, self.height * factor, self.scale * factor)


def world(width: int) -> Frame:
    """The whole Earth, half as high as wide."""
    return Frame(0.0, 0.0, width, width // 2, width / 360)


def around(center: Coordinates, points: list[Coordinates], width: int, height: int) -> Frame:
    """A view of `center` in the middle that holds `points`, between 1.5 and 60 degrees to each side."""
    shrink = max(0.2, math.cos(math.radians(center.latitude)))
    vertical = max([abs(p.latitude - center.latitude) for p in points], default=0.0)
    sideways = max([abs(east(center.longitude, p.longitude)) * shrink for p in points], default=0.0)
    half = min(60.0, max(1.5, 1.2 * vertical, 1.2 * sideways * height / width))
    return Frame(center.longitude, center.latitude, width, height, height / 2 / half)


def ring(center: Coordinates, radius_km: float, points: int = 72) -> list[tuple[float, float]]:
    """(longitude, latitude) of a circle on the sphere, clockwise from north; longitudes run on past ±180.

    A circle that holds a pole has no ring around its centre: it is drawn as far as the pole.
    """
    angle = min(radius_km / EARTH_KM, math.pi * 0.999)
    phi, made, before = math.radians(center.latitude), list[tuple[float, float]](), center.longitude
    for number in range(points + 1):
        bearing = 2 * math.pi * number / points
        sine = math.sin(phi) * math.cos(angle) + math.cos(phi) * math.sin(angle) * math.cos(bearing)
        latitude = math.asin(max(-1.0, min(1.0, sine)))
        turn = math.atan2(
            math.sin(bearing) * math.sin(angle) * math.cos(phi), math.cos(angle) - math.sin(phi) * math.sin(latitude)
        )
        before += east(before, center.longitude + math.degrees(turn))
        made.append((before, math.degrees(latitude)))
    return made


def east(start: float, end: float) -> float:
    """Degrees eastward from one longitude to another, the shorter way, in [-180, 180)."""
    return (end - start + 180.0) % 360.0 - 180.0


def distance_km(a: Coordinates, b: Coordinates) -> float:
    """Great-circle distance in kilometres (haversine); within 0.6 % of the geodesic, enough to read off a map."""
    phi, psi = math.radians(a.latitude), math.radians(b.latitude)
    turn = math.radians(b.longitude - a.longitude)
    h = math.sin((psi - phi) / 2) ** 2 + math.cos(phi) * math.cos(psi) * math.sin(turn / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(h)))
