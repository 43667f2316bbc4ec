"""Calibrating the confidence of answers on photos that the weights were not fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression, minimize  # type: ignore[import-untyped]

from g3_choice.choice import THRESHOLDS_KM
from g3_choice.confidence import SIGNS, Calibration, Curve, reached_at
from g3_choice.features import Floats

COVERAGE = 0.8
"""How much of the photos the radius covers."""

# Of the standardised signs' weights
_PULL = 1e-3
# A step of the curve is a share of so many photos at least
_STEP_PHOTOS = 25


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of m photos by one ranking: `signs` float64 [m, len(SIGNS)], `errors_km` [m] geodesic."""

    signs: Floats
    errors_km: Floats

    def part(self, rows: np.ndarray) -> "Answers":
        """Some of them."""
        return Answers(self.signs[rows], self.errors_km[rows])


def calibrated(answers: Answers, level: float | None = None) -> Calibration:
    """A calibration of these answers, by a logistic regression on the signs and an isotonic one on its scores.

    `level` None: the level of the radius is the one that covers COVERAGE of these very answers; take it from answers
    that the curves were not fitted on (`covering_level`).
    """
    curves = {threshold: _curve(answers.signs, answers.errors_km < threshold) for threshold in THRESHOLDS_KM}
    draft = Calibration(curves=curves, coverage=COVERAGE, level=0.0)
    if level is None:
        level = covering_level([draft.confidence(told) for told in answers.signs], answers.errors_km)
    return draft.model_copy(update={"level": level})


def covering_level(confidences: Sequence[dict[int, float]], errors_km: Floats) -> float:
    """The level whose radius covers COVERAGE of the photos: split-conformal with the confidence at the error as score
    (Chernozhukov, Wüthrich and Zhu 2021, distributional conformal prediction), hence the (m + 1) in the rank.
    """
    scores = np.sort(
        [reached_at(confidence, error) for confidence, error in zip(confidences, errors_km.tolist(), strict=True)]
    )
    rank = int(np.ceil((len(scores) + 1) * COVERAGE))
    return float(scores[rank - 1]) if rank <= len(scores) else 1.0


def _curve(signs: Floats, hits: np.ndarray) -> Curve:
    weights = _logistic(signs, hits)
    scores = signs @ weights
    order = np.argsort(scores, kind="stable")
    bins = np.array_split(order, max(1, len(order) // _STEP_PHOTOS))
    counts = np.array([len(rows) for rows in bins], dtype=float)
    # half a photo each way: no finite number of photos makes an answer certain
    rates = np.array([(hits[rows].sum() + 0.5) / (len(rows) + 1.0) for rows in bins])
    middles = np.array([scores[rows].mean() for rows in bins])
    shares = isotonic_regression(rates, weights=counts).x.clip(0.0, 1.0)
    kept = _corners(shares)
    named = {name: float(f"{weight:.6g}") for name, weight in zip(SIGNS, weights.tolist(), strict=True)}
    return Curve(weights=named, scores=tuple(middles[kept].tolist()), shares=tuple(shares[kept].tolist()))


def _corners(shares: Floats) -> np.ndarray:
    """The first and the last of every run of equal shares: the lines between say the rest."""
    change = np.flatnonzero(np.diff(shares) > 0)
    return np.unique(np.concatenate(([0], change, change + 1, [len(shares) - 1])))


def _logistic(signs: Floats, hits: np.ndarray) -> Floats:
    """Logistic regression float64 [len(SIGNS)]; signs that do not vary get no weight."""
    middle, spread = signs.mean(axis=0), signs.std(axis=0)
    varied = spread > 1e-9
    inputs = np.column_stack([np.ones(len(signs)), (signs - middle)[:, varied] / spread[varied]])
    outcome = np.where(hits, 1.0, -1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = outcome * (inputs @ weights)
        slope = -outcome / (1.0 + np.exp(np.minimum(margin, 500.0)))
        pull = np.concatenate(([0.0], weights[1:]))
        total = float(np.logaddexp(0.0, -margin).mean()) + _PULL * float(pull @ pull)
        return total, inputs.T @ slope / len(margin) + 2 * _PULL * pull

    found = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B").x
    weights = np.zeros(signs.shape[1])
    weights[varied] = found[1:] / spread[varied]
    # the first sign is the constant 1
    weights[0] = found[0] - float(middle @ weights)
    return weights
