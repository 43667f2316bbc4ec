"""The scorer without torch, for tests: a place's vector is its point on the unit sphere, so near places look alike."""

import hashlib

import numpy as np
from g3_kit.errors import Unavailable
from numpy.typing import NDArray

from g3_verification.scorer import Model


class FakeScorer:
    """`Scorer` of `dimension` ≥ 3 on the sphere; `broken` makes it fail as a lost device does."""

    def __init__(self, dimension: int = 8, name: str = "fake") -> None:
        self.broken = False
        self._model = Model(
            fingerprint=hashlib.sha256(f"{name} {dimension}".encode()).hexdigest(),
            gps_fingerprint=hashlib.sha256(f"{name} {dimension} gps".encode()).hexdigest(),
            dimension=dimension,
            configuration=name,
            device="cpu",
        )

    @property
    def model(self) -> Model:
        return self._model

    def vectors(self, coordinates: NDArray[np.float64]) -> NDArray[np.float32]:
        """Unit vectors float32 [n, d] of coordinates [n, 2] in degrees."""
        self._require_whole()
        latitude, longitude = np.radians(coordinates).T
        vectors = np.zeros((len(coordinates), self._model.dimension), dtype=np.float32)
        vectors[:, 0] = np.cos(latitude) * np.cos(longitude)
        vectors[:, 1] = np.cos(latitude) * np.sin(longitude)
        vectors[:, 2] = np.sin(latitude)
        return vectors

    def similarities(self, vector: NDArray[np.float32], coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        cosines = self.vectors(coordinates).astype(np.float64) @ vector.astype(np.float64)
        return np.clip(cosines, -1.0, 1.0)

    def _require_whole(self) -> None:
        if self.broken:
            raise Unavailable("The device that scores has failed.")

    def problem(self) -> str | None:
        return "The device that scores has failed." if self.broken else None
