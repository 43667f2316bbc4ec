"""From coordinates to a vector: projection, random Fourier features, one small network for each scale.

Sources: G3 (Jia et al., NeurIPS 2024) and GeoCLIP (Vivanco et al., NeurIPS 2023) for the network; Tancik et al.
(NeurIPS 2020) for the Fourier features; EPSG guidance note 7-2, §3.2.1.1, for Web Mercator; Šavrič, Patterson and Jenny
(IJGIS 2018) for Equal Earth.
"""

import math
from collections.abc import Callable

import torch
from g3_kit.errors import Rejected
from torch import Tensor, nn

from g3_alignment.configuration import PROJECTIONS, GpsConfiguration

EARTH_RADIUS_M = 6_378_137.0  # WGS 84's equatorial radius, which spherical Web Mercator takes
HALF_WORLD_M = 20_037_508.3427892  # π times that radius, with the digits of the reference implementation
# Where Web Mercator's square ends (85.0511°), rounded up: beyond, northings grow without bound.
LATITUDE_BOUND = 85.06
_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796  # Equal Earth's polynomial, as published
# Equal Earth's greatest easting, at the equator's ends, on a sphere of `EARTH_RADIUS_M`: the poles lie at ±0.487 of it.
EQUAL_EARTH_HALF_WIDTH_M = EARTH_RADIUS_M * 2.0 * math.pi / (math.sqrt(3.0) * _A1)


def web_mercator(coordinates: Tensor) -> Tensor:
    """(latitude, longitude) in degrees, [n, 2] → (northing, easting) / `HALF_WORLD_M`, float64 [n, 2], about ±1.

    Latitudes are clamped to ±85.06° for encoding only, longitudes wrapped into [-180, 180). Equal to EPSG:3857 to
    1e-9 relative. Every finite input has finite values and gradients.
    """
    coordinates = coordinates.to(torch.float64)
    latitude = coordinates[:, 0].clamp(-LATITUDE_BOUND, LATITUDE_BOUND)
    longitude = _wrapped(coordinates[:, 1])
    northing = EARTH_RADIUS_M * torch.asinh(torch.tan(torch.deg2rad(latitude)))
    easting = EARTH_RADIUS_M * torch.deg2rad(longitude)
    return torch.stack((northing, easting), dim=1) / HALF_WORLD_M


def equal_earth(coordinates: Tensor) -> Tensor:
    """(latitude, longitude) in degrees, [n, 2] → (northing, easting) / `EQUAL_EARTH_HALF_WIDTH_M`, float64 [n, 2].

    Eastings reach ±1, northings ±0.487; longitudes are wrapped into [-180, 180). Equal to PROJ's `eqearth` on a sphere
    of `EARTH_RADIUS_M` to 1e-9 relative. Every latitude in [-90, 90] has finite values and gradients.
    """
    coordinates = coordinates.to(torch.float64)
    # theta stays within ±60°, where arcsine has a slope and cosine is not below a half
    theta = torch.asin(math.sqrt(3.0) / 2.0 * torch.sin(torch.deg2rad(coordinates[:, 0])))
    square = theta.square()
    sixth = square * square * square
    northing = theta * (_A1 + _A2 * square + sixth * (_A3 + _A4 * square))
    slope = _A1 + 3.0 * _A2 * square + sixth * (7.0 * _A3 + 9.0 * _A4 * square)  # of the northing over theta, positive
    longitude = torch.deg2rad(_wrapped(coordinates[:, 1]))
    easting = 2.0 / math.sqrt(3.0) * longitude * torch.cos(theta) / slope
    return torch.stack((northing, easting), dim=1) * (EARTH_RADIUS_M / EQUAL_EARTH_HALF_WIDTH_M)


def spherical(coordinates: Tensor) -> Tensor:
    """(latitude, longitude) in degrees, [n, 2] → the unit vector (x, y, z), float64 [n, 3].

    x points to (0, 0), y to (0, 90), z to the north pole. No seam at the antimeridian, no stretching at the poles.
    """
    coordinates = coordinates.to(torch.float64)
    latitude, longitude = torch.deg2rad(coordinates[:, 0]), torch.deg2rad(_wrapped(coordinates[:, 1]))
    across = torch.cos(latitude)
    return torch.stack((across * torch.cos(longitude), across * torch.sin(longitude), torch.sin(latitude)), dim=1)


def _wrapped(longitude: Tensor) -> Tensor:
    """Degrees into [-180, 180)."""
    # the remainder costs the last digits near zero, so those already in range keep theirs
    wrapped = torch.remainder(longitude + 180.0, 360.0) - 180.0
    return torch.where((longitude >= -180.0) & (longitude < 180.0), longitude, wrapped)


# By `GpsConfiguration.projection`, whose widths are in `configuration.PROJECTIONS`.
_PROJECTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "web_mercator": web_mercator,
    "equal_earth": equal_earth,
    "spherical": spherical,
}


def checked(coordinates: Tensor) -> Tensor:
    """The coordinates, if they are ones. Raises Rejected for another shape, NaN, infinities, |latitude| > 90."""
    if coordinates.ndim != 2 or coordinates.shape[1] != 2:
        raise Rejected("Coordinates are rows of latitude and longitude.", field="coordinates")
    if not bool(torch.isfinite(coordinates).all()):
        raise Rejected("Coordinates must be finite numbers.", field="coordinates")
    if bool((coordinates[:, 0].abs() > 90.0).any()):
        raise Rejected("Latitudes lie between -90 and 90 degrees.", field="coordinates")
    return coordinates


class Capsule(nn.Module):
    """One scale: 2 numbers (3 of a sphere) → random Fourier features → three hidden layers → `width`."""

    frequencies: Tensor

    def __init__(self, sigma: float, configuration: GpsConfiguration) -> None:
        """Frequencies are drawn once, N(0, sigma²), and frozen: saved, [rff_features, 2 or 3]."""
        super().__init__()
        hidden, inputs = configuration.hidden, PROJECTIONS[configuration.projection]
        self.register_buffer("frequencies", torch.randn(configuration.rff_features, inputs) * sigma)
        self.layers = nn.Sequential(
            nn.Linear(2 * configuration.rff_features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, configuration.width),
        )

    def forward(self, projected: Tensor) -> Tensor:
        """`projected` float64 [n, 2], or [n, 3] of a sphere → float32 [n, width]."""
        # Whole turns are dropped in float64: at sigma 2⁸ there are hundreds, and float32 would keep few digits more.
        turns = projected @ self.frequencies.to(torch.float64).T  # [n, rff_features]
        angle = (2.0 * math.pi * (turns - turns.detach().round())).to(self.frequencies.dtype)
        encoded: Tensor = self.layers(torch.cat((torch.cos(angle), torch.sin(angle)), dim=1))
        return encoded


class GpsEncoder(nn.Module):
    """The sum over scales k of f_k(gamma(projected place, sigma_k)), equation by equation as in G3."""

    def __init__(self, configuration: GpsConfiguration) -> None:
        """Weights are drawn from torch's current generator: see `checkpoint.initialise` for seeded ones."""
        super().__init__()
        self.project = _PROJECTIONS[configuration.projection]
        self.capsules = nn.ModuleList(Capsule(sigma, configuration) for sigma in configuration.sigmas)

    def forward(self, coordinates: Tensor) -> Tensor:
        """(latitude, longitude) in degrees, [n, 2], any floating dtype → float32 [n, width], not normalised."""
        projected = self.project(coordinates)
        return torch.stack([capsule(projected) for capsule in self.capsules]).sum(dim=0)


def gps_head(width: int, dimension: int) -> nn.Sequential:
    """width-width-ReLU-d, into the space of the GPS-aligned image vectors."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dimension))
