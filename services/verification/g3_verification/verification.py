"""Geo-verification: the cosine of a photo with each candidate place (G3, section 3.3).

The reference lets a latitude beyond 90° become NaN, which arg-max then prefers. Here invalid candidates are refused
one by one before the model sees them.
"""

import math
from collections.abc import Sequence

import numpy as np
from g3_kit.errors import G3Error, Mismatch, Rejected, TooLarge, Unavailable
from numpy.typing import NDArray

from g3_verification.scorer import Model, Scorer

MAX_CANDIDATES = 10_000  # ScoreRequest.candidates in verification.proto
# What float32 sums of a thousand squares and another library's way of normalising can differ by, ten times over.
_LENGTH_TOLERANCE = 1e-3


class Verification:
    """Judges requests and has the valid part of them scored. Thread-safe as its scorer is."""

    def __init__(self, scorer: Scorer) -> None:
        """`scorer` compares valid coordinates."""
        self._scorer = scorer

    @property
    def model(self) -> Model:
        """Which model scores."""
        return self._scorer.model

    def score(
        self, values: bytes, dimension: int, candidates: Sequence[tuple[float, float]], model: str
    ) -> list[float | G3Error]:
        """One cosine in [-1, 1] for each candidate (latitude, longitude in WGS 84 degrees), or why there is none.

        `values`: the photo's gps_aligned vector, little-endian float32, `4 * dimension` bytes, unit length, made by
        the model with fingerprint `model`. Raises Rejected for a malformed vector or no candidates, TooLarge for more
        than 10,000, Mismatch for a vector of another model, Unavailable when the device fails.
        """
        if not candidates:
            raise Rejected("There are no candidates: send at least one.", field="candidates")
        if len(candidates) > MAX_CANDIDATES:
            raise TooLarge(
                f"There are {len(candidates)} candidates and at most {MAX_CANDIDATES} are taken.", field="candidates"
            )
        require_model(model, self.model)
        vector = unit_vector(values, dimension, self.model.dimension)
        outcomes: list[float | G3Error | None] = [refusal(*candidate) for candidate in candidates]
        valid = [index for index, error in enumerate(outcomes) if error is None]
        if valid:
            coordinates = np.array([_canonical(*candidates[index]) for index in valid], dtype=np.float64)
            similarities = np.clip(self._scorer.similarities(vector, coordinates), -1.0, 1.0)  # keeps NaN
            for index, similarity in zip(valid, similarities.tolist(), strict=True):
                # Only a broken device comes here; its NaN must not reach an arg-max.
                finite = math.isfinite(similarity)
                outcomes[index] = similarity if finite else Unavailable("The device gave no finite similarity.")
        return [outcome for outcome in outcomes if outcome is not None]


def require_model(model: str, served: Model) -> None:
    """Raises Rejected when a vector's model is not said, Mismatch when it is not the one served."""
    if not model:
        raise Rejected("Say which model made the vector: its fingerprint.", field="model")
    if model != served.fingerprint:
        raise Mismatch(
            f"The vector is of model {model[:12]} and this room serves {served.fingerprint[:12]}: "
            "they cannot be compared.",
            field="model",
        )


def unit_vector(values: bytes, dimension: int, expected: int) -> NDArray[np.float32]:
    """The vector on the wire as float32 [d], scaled to unit length exactly.

    Raises Rejected unless it has `expected` components, is finite and has length 1 within 0.001.
    """
    if dimension != expected or len(values) != 4 * expected:
        raise Rejected(
            f"gps_aligned must have dimension {expected} in {4 * expected} bytes, "
            f"not dimension {dimension} in {len(values)} bytes.",
            field="gps_aligned",
        )
    # float64 sums any finite float32 squares without overflow
    vector = np.frombuffer(values, dtype="<f4").astype(np.float64)
    if not np.isfinite(vector).all():
        raise Rejected("gps_aligned must consist of finite numbers.", field="gps_aligned")
    length = float(np.linalg.norm(vector))
    if abs(length - 1.0) > _LENGTH_TOLERANCE:
        raise Rejected(f"gps_aligned must have length 1, not {length:.6g}.", field="gps_aligned")
    return (vector / length).astype(np.float32)


def refusal(latitude: float, longitude: float, field: str = "candidates") -> Rejected | None:
    """Why these are no coordinates; None when they are. 180° east is taken as 180° west, the same meridian."""
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        return Rejected("Coordinates must be finite numbers.", field=field)
    if not -90.0 <= latitude <= 90.0:
        return Rejected(f"Latitude {latitude:.6g} is outside [-90, 90].", field=field)
    if not -180.0 <= longitude <= 180.0:
        return Rejected(f"Longitude {longitude:.6g} is outside [-180, 180].", field=field)
    return None


def _canonical(latitude: float, longitude: float) -> tuple[float, float]:
    return latitude, -180.0 if longitude == 180.0 else longitude
