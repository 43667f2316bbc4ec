"""What a stated confidence is worth: accuracy of the surest photos, calibration, and radii that cover."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g3_evaluation.asks import Ask
from g3_evaluation.metrics import THRESHOLDS_KM, Distances
from g3_evaluation.outcomes import Outcome
from g3_evaluation.run_data import RunData

_COVERAGES = tuple(tenth / 10 for tenth in range(1, 11))
_BINS = 10


@dataclass(frozen=True)
class Covered:
    """Accuracy among the surest photos. `by`: "confidence" (calibrated) or "similarity" (a cosine, no probability).

    `accuracy[i][j]`: the share within threshold i among the `coverages[j]` surest of all photos.
    """

    ask: str
    by: str
    coverages: list[float]
    accuracy: list[list[float]]


@dataclass(frozen=True)
class Calibrated:
    """Of the photos with a stated confidence at one threshold: its mean, what came true, and the calibration error.

    `error`: the mean over ten bins of the difference of the two, weighted by photos (ECE).
    """

    threshold_km: float
    photos: int
    stated: float
    true: float
    error: float


@dataclass(frozen=True)
class Radii:
    """Of the photos with a stated radius: how many there are, how often the truth lay within, and the median radius."""

    photos: int
    covered: float
    median_km: float


def covered(data: RunData, ask: Ask) -> Covered:
    """The coverage-accuracy curve of what the jobs answered; photos without an answer are the least sure."""
    outcomes, km = data.of(ask), data.off(ask, lambda outcome: outcome.place)
    stated = all(outcome.confidence for outcome in outcomes if outcome.place is not None)
    by = "confidence" if stated and any(outcome.confidence for outcome in outcomes) else "similarity"
    accuracy = []
    for threshold in THRESHOLDS_KM:
        sure = np.array([_sureness(outcome, threshold, by) for outcome in outcomes])
        order = np.argsort(-sure, kind="stable")
        hits = (km < threshold)[order]
        accuracy.append([float(hits[: max(1, round(share * len(hits)))].mean()) for share in _COVERAGES])
    return Covered(ask.value, by, list(_COVERAGES), accuracy)


def calibrated(data: RunData, ask: Ask) -> list[Calibrated]:
    """By threshold; none where no confidence is stated."""
    km = data.off(ask, lambda outcome: outcome.place)
    found = []
    for threshold in THRESHOLDS_KM:
        key = f"{threshold:g}"
        rows = [row for row, outcome in enumerate(data.of(ask)) if key in outcome.confidence]
        if rows:
            stated = np.array([data.of(ask)[row].confidence[key] for row in rows])
            true = km[rows] < threshold
            found.append(
                Calibrated(threshold, len(rows), float(stated.mean()), float(true.mean()), _error(stated, true))
            )
    return found


def radii(data: RunData, ask: Ask) -> Radii | None:
    """What stated radii cover; None where none is stated."""
    km: Distances = data.off(ask, lambda outcome: outcome.place)
    stated = [(row, outcome.radius_km) for row, outcome in enumerate(data.of(ask)) if outcome.radius_km is not None]
    if not stated:
        return None
    inside = [km[row] <= radius for row, radius in stated]
    return Radii(len(stated), float(np.mean(inside)), float(np.median([radius for _, radius in stated])))


def _sureness(outcome: Outcome, threshold: float, by: str) -> float:
    if outcome.place is None:
        return -np.inf
    if by == "confidence":
        return outcome.confidence.get(f"{threshold:g}", 0.0)
    return -1.0 if outcome.similarity is None else outcome.similarity


def _error(stated: Distances, true: NDArray[np.bool_]) -> float:
    bins = np.minimum((stated * _BINS).astype(int), _BINS - 1)
    gaps = [
        abs(float(stated[bins == at].mean() - true[bins == at].mean())) * int((bins == at).sum()) for at in set(bins)
    ]
    return sum(gaps) / len(stated)
