"""Smooth noise on the sphere: sums of plane waves through the unit sphere's points.

A plane wave in space, read on the sphere, has no seam at the antimeridian and no knot at the poles. With wave
vectors of random direction and length k, the correlation of a field at distance d is sinc(k d).
"""

import numpy as np
from g3_geography import EARTH_RADIUS_KM
from numpy.typing import NDArray

WAVES = 12
"""Waves in one field: the sum is near enough to Gaussian, and a photo needs 960 cosines only."""

_POINTS_AT_A_TIME = 2048


class NoiseFields:
    """Independent fields of zero mean and unit variance, one for each entry of `scales_km`.

    The wavelength is four scales: two places one scale apart correlate at about 0.64, two scales apart at 0.
    """

    def __init__(self, scales_km: NDArray[np.float64], seed: int) -> None:
        """`scales_km` float64 [f], kilometres; the same seed gives the same fields in every process."""
        generator = np.random.default_rng([seed, 0x6F6973])
        count = len(scales_km)
        direction = generator.standard_normal((count, WAVES, 3))
        direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
        # Lengths spread by a fifth, so that no field repeats itself around the globe.
        wavelength_km = 4.0 * scales_km[:, None] * generator.uniform(0.8, 1.2, (count, WAVES))
        number = 2.0 * np.pi * EARTH_RADIUS_KM / wavelength_km
        self._waves = (direction * number[..., None]).reshape(-1, 3).T.copy()
        self._phases = generator.uniform(0.0, 2.0 * np.pi, count * WAVES)
        self._count = count

    def at(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The fields at unit vectors float64 [n, 3]: float64 [n, f]."""
        out = np.empty((len(points), self._count))
        for start in range(0, len(points), _POINTS_AT_A_TIME):
            block = points[start : start + _POINTS_AT_A_TIME]
            waves = np.cos(block @ self._waves + self._phases)
            out[start : start + len(block)] = waves.reshape(len(block), self._count, WAVES).sum(axis=-1)
        out *= np.sqrt(2.0 / WAVES)
        return out
