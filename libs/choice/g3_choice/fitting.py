"""Fitting a model of the choice: weights, then confidence on folds that the weights were not fitted on."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from g3_geography import Coordinates, distance_km
from g3_kit.errors import Mismatch, Rejected

from g3_choice.calibrating import Answers, calibrated, covering_level
from g3_choice.choice import Ranking
from g3_choice.confidence import SIGNS, Calibration, signs
from g3_choice.consensus import probabilities
from g3_choice.features import Floats
from g3_choice.figures import Held, figures
from g3_choice.model import ChoiceModel, Fitted
from g3_choice.pool_file import PooledPhoto
from g3_choice.ranking import answer, distances_to
from g3_choice.weighing import Lesson, by_name, fitted_weights, lesson

FOLDS = 5
FEWEST = 200
"""Photos with candidates below which nothing is fitted: shares of fewer are no calibration."""

CLUSTER_KM = 25.0

Told = Callable[[str], None]


def fit(
    photos: Iterable[PooledPhoto],
    *,
    data: str,
    cluster_km: float = CLUSTER_KM,
    told: Told = lambda _: None,
) -> ChoiceModel:
    """A model fitted to photos whose places are known; `data` says in words what they are.

    Five folds by place (cells of one degree): the weights of each are fitted on the other four, so that the confidence
    is calibrated on answers in places that their weights have not seen, and the figures (`ChoiceModel.fitted.figures`)
    are of such, too. The weights that the model carries are then fitted on all. `told` hears of progress.
    Raises Rejected for fewer than FEWEST photos with candidates or for too few places, Mismatch when photos were scored
    by several alignment models.
    """
    lessons = _lessons(photos, cluster_km)
    alignment = lessons[0].photo.alignment
    places = [_cell(one.photo.truth) for one in lessons]
    folds = np.array([zlib.crc32(place.encode()) % FOLDS for place in places])
    if min(np.bincount(folds, minlength=FOLDS)) < FEWEST // FOLDS // 4:
        raise Rejected("the photos are of too few places to hold some of them out", field="pools")
    told(f"{len(lessons)} photos of {len(set(places))} places")
    shares: list[Floats] = [np.zeros(0)] * len(lessons)
    for fold in range(FOLDS):
        weights = fitted_weights([one for one, home in zip(lessons, folds, strict=True) if home != fold])
        for row in np.flatnonzero(folds == fold).tolist():
            shares[row] = probabilities(lessons[row].features, weights)
        told(f"fold {fold + 1} of {FOLDS}")
    held = {ranking: _held(lessons, shares, ranking) for ranking in Ranking}
    calibrations, judged = {}, {}
    for ranking, (rows, answers) in held.items():
        if len(rows) >= FEWEST:
            calibrations[ranking], confidences = _calibration(answers, folds[rows])
            radii = [calibrations[ranking].radius_km(confidence) for confidence in confidences]
            judged[ranking] = Held(rows, answers.errors_km, confidences, np.array(radii))
    weights = fitted_weights(lessons)
    told("weights of all photos")
    return ChoiceModel(
        weights=by_name(weights),
        cluster_km=cluster_km,
        calibrations=calibrations,
        fitted=Fitted(
            alignment=alignment,
            data=data,
            photos=len(lessons),
            places=len(set(places)),
            figures=figures(lessons, judged),
        ),
    )


def _lessons(photos: Iterable[PooledPhoto], cluster_km: float) -> list[Lesson]:
    lessons = [made for photo in photos if (made := lesson(photo, cluster_km)) is not None]
    if len(lessons) < FEWEST:
        raise Rejected(f"at least {FEWEST} photos with candidates are needed, not {len(lessons)}", field="pools")
    if len({one.photo.alignment for one in lessons}) > 1:
        raise Mismatch("the pools were scored by several alignment models; fit one for each", field="pools")
    return lessons


def _cell(truth: Coordinates) -> str:
    return f"{int(np.floor(truth.latitude))},{int(np.floor(truth.longitude))}"


def _held(lessons: Sequence[Lesson], shares: Sequence[Floats], ranking: Ranking) -> tuple[np.ndarray, Answers]:
    """The rows that this ranking can answer, and its answers there."""
    rows, told, errors = [], [], []
    for row, (one, share) in enumerate(zip(lessons, shares, strict=True)):
        if ranking is Ranking.SIMILARITY and not np.isfinite(one.weighed.pool.similarity).all():
            # online those without a cosine are left out: such a pool is another one than this
            continue
        weighed = replace(one.weighed, shares=share)
        point = answer(weighed, ranking)
        rows.append(row)
        told.append(signs(weighed.pool, share, distances_to(weighed, point)))
        errors.append(distance_km(point, one.photo.truth))
    return np.array(rows, dtype=np.int64), Answers(np.array(told).reshape(-1, len(SIGNS)), np.array(errors))


def _calibration(answers: Answers, folds: np.ndarray) -> tuple[Calibration, list[dict[int, float]]]:
    """A calibration of all answers, and for each the confidence by a calibration that has not seen its fold."""
    confidences: list[dict[int, float]] = [{}] * len(folds)
    for fold in range(FOLDS):
        without = calibrated(answers.part(folds != fold), level=0.0)
        for row in np.flatnonzero(folds == fold).tolist():
            confidences[row] = without.confidence(answers.signs[row])
    return calibrated(answers, level=covering_level(confidences, answers.errors_km)), confidences
