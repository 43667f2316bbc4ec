"""The port to what compares coordinates with a photo's vector."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Model:
    """What is served: fingerprints (SHA-256, hex) of the whole model and of its GPS part, width d, name, device."""

    fingerprint: str
    gps_fingerprint: str
    dimension: int
    configuration: str
    device: str


class Scorer(Protocol):
    """Cosines between one photo's GPS-aligned vector and the GPS vectors of coordinates. Thread-safe."""

    @property
    def model(self) -> Model:
        """Which model scores."""
        ...

    def similarities(self, vector: NDArray[np.float32], coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """`vector` [d] of unit length; `coordinates` [n, 2], valid (latitude, longitude) in WGS 84 degrees, n ≥ 1.

        Returns [n] cosines in [-1, 1], finite for every valid coordinate, the same whatever the neighbours in the
        call (to 1e-5). Raises Unavailable when the device fails.
        """
        ...

    def vectors(self, coordinates: NDArray[np.float64]) -> NDArray[np.float32]:
        """GPS vectors of valid coordinates [n, 2], n ≥ 1: float32 [n, d], of unit length.

        Their products with a photo's vector are its `similarities` (to 1e-5). Raises Unavailable when the device fails.
        """
        ...

    def problem(self) -> str | None:
        """None when the scorer can score, else what is wrong. Cheap while all is well."""
        ...
