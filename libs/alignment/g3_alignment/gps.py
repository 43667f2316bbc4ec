"""From coordinates to a vector: projection, random Fourier features, one small network for each scale.

Sources: G3 (Jia et al., NeurIPS 2024) and GeoCLIP (Vivanco et al., NeurIPS 2023) for the network; Tancik et al.
(NeurIPS 2020) for the Fourier features; EPSG guidance note 7-2, §3.2.1.1, for the projection.
"""

import math

import torch
from g3_kit.errors import Rejected
from torch import Tensor, nn

from g3_alignment.configuration import GpsConfiguration

EARTH_RADIUS_M = 6_378_137.0  # WGS 84's equatorial radius, which spherical Web Mercator takes
HALF_WORLD_M = 20_037_508.3427892  # π times that radius, with the digits of the reference implementation
# Where Web Mercator's square ends (85.0511°), rounded up: beyond, northings grow without bound.
LATITUDE_BOUND = 85.06


def web_mercator(coordinates: Tensor) -> Tensor:
    """(latitude, longitude) in degrees, [n, 2] → (northing, easting) / `HALF_WORLD_M`, float64 [n, 2], about ±1.

    Latitudes are clamped to ±85.06° for encoding only, longitudes wrapped into [-180, 180). Equal to EPSG:3857 to
    1e-9 relative. Every finite input has finite values and gradients.
    """
    coordinates = coordinates.to(torch.float64)
    latitude = coordinates[:, 0].clamp(-LATITUDE_BOUND, LATITUDE_BOUND)
    longitude = coordinates[:, 1]
    # the remainder costs the last digits near zero, so those already in range keep theirs
    wrapped = torch.remainder(longitude + 180.0, 360.0) - 180.0
    longitude = torch.where((longitude >= -180.0) & (longitude < 180.0), longitude, wrapped)
    northing = EARTH_RADIUS_M * torch.asinh(torch.tan(torch.deg2rad(latitude)))
    easting = EARTH_RADIUS_M * torch.deg2rad(longitude)
    return torch.stack((northing, easting), dim=1) / HALF_WORLD_M


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
    """One scale: 2 → random Fourier features → three hidden layers → `width`."""

    frequencies: Tensor

    def __init__(self, sigma: float, configuration: GpsConfiguration) -> None:
        """Frequencies are drawn once, N(0, sigma²), and frozen: a buffer [rff_features, 2], saved with the weights."""
        super().__init__()
        hidden = configuration.hidden
        self.register_buffer("frequencies", torch.randn(configuration.rff_features, 2) * sigma)
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
        """`projected` float64 [n, 2] → float32 [n, width]."""
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
        self.capsules = nn.ModuleList(Capsule(sigma, configuration) for sigma in configuration.sigmas)

    def forward(self, coordinates: Tensor) -> Tensor:
        """(latitude, longitude) in degrees, [n, 2], any floating dtype → float32 [n, width], not normalised."""
        projected = web_mercator(coordinates)
        return torch.stack([capsule(projected) for capsule in self.capsules]).sum(dim=0)


def gps_head(width: int, dimension: int) -> nn.Sequential:
    """width-width-ReLU-d, into the space of the GPS-aligned image vectors."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dimension))
