"""How sure an answer is: one probability a threshold, calibrated on photos that the weights were not fitted on."""

import math
from typing import Annotated

import numpy as np
from g3_kit.errors import Rejected
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from g3_choice.choice import THRESHOLDS_KM
from g3_choice.features import Floats, Pool

SIGNS = (
    "bias",
    "mass_25",
    "mass_200",
    "mass_750",
    "entropy",
    "similarity",
    "similarity_gap",
    "evidence",
    "evidence_gap",
    "candidates",
)
"""What tells a sure answer from an unsure one, in order."""

# Half the way around the Earth: every truth is nearer than this.
FARTHEST_KM = 20_038.0
# Below the first threshold the probability falls to nothing with the logarithm of the distance, down to here.
NEAREST_KM = 0.05
_MASSES_KM = (25, 200, 750)

Share = Annotated[float, Field(ge=0.0, le=1.0)]


def signs(pool: Pool, shares: Floats, to_answer: Floats) -> Floats:
    """The signs of one photo's answer, float64 [len(SIGNS)], all finite.

    `shares` [n] are the probabilities of the candidates, `to_answer` [n] km from each to the answer.

    ::

        mass_{r}         log odds of the probability of the candidates within r km of the answer
        entropy          of the probabilities, as a logarithm of a number of candidates
        similarity       the best image-GPS cosine within 25 km of the answer; _gap: its shortfall from the pool's best
        evidence         the best reference's similarity within 25 km of the answer; _gap likewise
        candidates       logarithm of their number
    """
    masses = np.array([shares[to_answer <= radius].sum() for radius in _MASSES_KM]).clip(1e-4, 1 - 1e-4)
    entropy = -float((shares * np.log(np.maximum(shares, 1e-12))).sum())
    near = to_answer <= _MASSES_KM[0]
    return np.array(
        [
            1.0,
            *np.log(masses / (1 - masses)),
            entropy,
            *_best(pool.similarity, near),
            *_best(pool.evidence, near),
            math.log(len(shares)),
        ]
    )


def _best(values: Floats, near: np.ndarray) -> tuple[float, float]:
    known = np.isfinite(values)
    if not known.any():
        return 0.0, 0.0
    best = float(values[known].max())
    # where nothing is known near the answer, it is as far behind as the worst of all
    here = float(values[known & near].max()) if (known & near).any() else float(values[known].min())
    return here, here - best


class Curve(BaseModel):
    """From the sign's weighted sum to a probability: increasing steps of an isotonic regression, joined by lines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: dict[str, FiniteFloat]
    scores: tuple[FiniteFloat, ...] = Field(min_length=1)
    shares: tuple[Share, ...]

    @model_validator(mode="after")
    def _consistent(self) -> "Curve":
        if set(self.weights) != set(SIGNS):
            raise ValueError(f"weights must be those of {', '.join(SIGNS)}")
        if len(self.scores) != len(self.shares):
            raise ValueError("scores and shares must be of one length")
        if any(np.diff(self.scores) < 0) or any(np.diff(self.shares) < 0):
            raise ValueError("scores and shares must not decrease")
        return self

    def at(self, told: Floats) -> float:
        """The probability for these `signs`."""
        score = float(np.dot(told, [self.weights[name] for name in SIGNS]))
        return float(np.interp(score, self.scores, self.shares))


class Calibration(BaseModel):
    """Of the answers of one ranking: a curve for every threshold, and the level that makes radii cover.

    `coverage` of held-out photos had their truth within the radius at which the confidence reaches `level`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    curves: dict[int, Curve]
    coverage: Share
    level: Share

    @model_validator(mode="after")
    def _every_threshold(self) -> "Calibration":
        if tuple(sorted(self.curves)) != THRESHOLDS_KM:
            raise ValueError(f"curves must be those of {', '.join(map(str, THRESHOLDS_KM))} km")
        return self

    def confidence(self, told: Floats) -> dict[int, float]:
        """By threshold in km the probability that the answer is nearer than that; it never falls with the distance."""
        shares = np.maximum.accumulate([self.curves[threshold].at(told) for threshold in THRESHOLDS_KM])
        return dict(zip(THRESHOLDS_KM, shares.tolist(), strict=True))

    def radius_km(self, confidence: dict[int, float]) -> float:
        """The radius around the answer within which the truth lies for `coverage` of the photos."""
        return radius_at(confidence, self.level)


def _ladder(confidence: dict[int, float]) -> tuple[Floats, Floats]:
    kilometres = np.log([NEAREST_KM, *confidence, FARTHEST_KM])
    return kilometres, np.array([0.0, *confidence.values(), 1.0])


def reached_at(confidence: dict[int, float], distance_km: float) -> float:
    """The confidence at any distance: lines over the logarithm of the distance between the thresholds, in [0, 1]."""
    kilometres, shares = _ladder(confidence)
    return float(np.interp(math.log(max(distance_km, NEAREST_KM)), kilometres, shares))


def radius_at(confidence: dict[int, float], level: float) -> float:
    """The smallest distance in km at which the confidence is `level`: the inverse of `reached_at`.

    Raises Rejected for a level outside [0, 1].
    """
    if not 0.0 <= level <= 1.0:
        raise Rejected("level must lie between 0 and 1", field="level")
    kilometres, shares = _ladder(confidence)
    step = int(np.searchsorted(shares, level))
    if step == 0:
        return NEAREST_KM
    rise = shares[step] - shares[step - 1]
    way = (level - shares[step - 1]) / rise
    return float(math.exp(kilometres[step - 1] + way * (kilometres[step] - kilometres[step - 1])))
