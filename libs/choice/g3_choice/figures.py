"""What a fit is worth, on photos of places that neither its weights nor its calibration have seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from g3_choice.choice import THRESHOLDS_KM, Ranking
from g3_choice.features import Floats
from g3_choice.weighing import Lesson

_BINS = 10


@dataclass(frozen=True, slots=True)
class Held:
    """Held-out answers of a ranking: `rows` of the lessons int64 [m], errors and radii in km [m], confidences."""

    rows: np.ndarray
    errors_km: Floats
    confidences: Sequence[Mapping[int, float]]
    radii_km: Floats


def figures(lessons: Sequence[Lesson], judged: Mapping[Ranking, Held]) -> dict[str, object]:
    """By set (`all` of them first): per cent within the thresholds (geodesic, strictly below) of every ranking, of the
    nearest reference and of the best candidate there was; of every ranking Brier score and expected calibration error
    by threshold, and the radius: how many it covered, and its median.
    """
    names = [one.photo.set_name for one in lessons]
    sets = ["all", *sorted(set(names))] if len(set(names)) > 1 else ["all"]
    return {name: _of_set(lessons, judged, [name in ("all", own) for own in names]) for name in sets}


def _of_set(lessons: Sequence[Lesson], judged: Mapping[Ranking, Held], chosen: Sequence[bool]) -> dict[str, object]:
    inside = np.array(chosen)
    mine = [one for one, taken in zip(lessons, chosen, strict=True) if taken]
    nearest = np.array([_nearest(one) for one in mine])
    best = np.array([float(one.distances.min()) for one in mine])
    told: dict[str, object] = {
        "photos": len(mine),
        "nearest_reference": {"within_percent": _within(nearest)},
        "best_candidate": {"within_percent": _within(best)},
    }
    for ranking, held in judged.items():
        kept = inside[held.rows]
        if kept.any():
            told[ranking.value] = _of_ranking(held, kept)
    return told


def _of_ranking(held: Held, kept: np.ndarray) -> dict[str, object]:
    errors, radii = held.errors_km[kept], held.radii_km[kept]
    stated = [one for one, taken in zip(held.confidences, kept, strict=True) if taken]
    shares = np.array([[one[threshold] for threshold in THRESHOLDS_KM] for one in stated])
    hits = np.array([errors < threshold for threshold in THRESHOLDS_KM]).T
    columns = range(len(THRESHOLDS_KM))
    return {
        "photos": len(errors),
        "within_percent": _within(errors),
        "median_km": round(float(np.median(errors)), 1),
        "brier": [round(float(score), 4) for score in ((shares - hits) ** 2).mean(axis=0)],
        "calibration_error": [round(calibration_error(shares[:, one], hits[:, one]), 4) for one in columns],
        "covered_percent": round(float(100 * (errors <= radii).mean()), 1),
        "median_radius_km": round(float(np.median(radii)), 1),
    }


def calibration_error(stated: Floats, hits: np.ndarray) -> float:
    """Expected calibration error in ten bins of equal width: the mean gap of stated and seen shares, by photos."""
    bins = np.minimum((stated * _BINS).astype(int), _BINS - 1)
    gaps = [abs(stated[bins == one].sum() - hits[bins == one].sum()) for one in range(_BINS)]
    return float(sum(gaps)) / len(stated)


def _nearest(one: Lesson) -> float:
    """The error of the most similar reference; infinite without any."""
    evidence = one.weighed.pool.evidence
    if not np.isfinite(evidence).any():
        return float("inf")
    return float(one.distances[int(np.nanargmax(evidence))])


def _within(errors: Floats) -> list[float]:
    return [round(float(100 * (errors < threshold).mean()), 1) for threshold in THRESHOLDS_KM]
