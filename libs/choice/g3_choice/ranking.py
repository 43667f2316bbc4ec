"""Choosing the answer among the candidates of one photo (G3, equation 7, and what goes beyond it)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from g3_geography import Coordinates, haversine_km
from g3_geography.coordinates import unit_vectors
from g3_kit.errors import Missing, Rejected, TooLarge

from g3_choice.choice import THRESHOLDS_KM, Choice, DistinctPlace, Ranked, Ranking
from g3_choice.confidence import signs
from g3_choice.consensus import best_first, central, grouped, probabilities
from g3_choice.features import Floats, Pool, of_candidates, pool_of
from g3_choice.model import DEFAULT, ChoiceModel
from g3_choice.pool import MOST
from g3_choice.proposals import Candidate, in_order


@dataclass(frozen=True, slots=True)
class Weighed:
    """The candidates of one photo in the order of the method, as arrays, with their probabilities float64 [n]."""

    candidates: list[Candidate]
    pool: Pool
    shares: Floats
    groups: list[list[int]]


@dataclass(frozen=True, slots=True)
class Answered:
    """Indices of candidates best first, clusters best first, the point that stands for each, and the answer."""

    order: list[int]
    groups: list[list[int]]
    centers: list[int]
    answer: Coordinates


def choose(
    candidates: Sequence[Candidate],
    ranking: Ranking = Ranking.CONSENSUS,
    *,
    top_k: int = 10,
    model: ChoiceModel | None = None,
    abstain_below: float | None = None,
    abstain_within_km: int = 200,
) -> Choice:
    """The answer, its rivals and how sure it is. The same for every order of the candidates.

    ::

        similarity   arg-max of the image-GPS cosine, ties in the order of the method; those without a cosine are left
                     out (the paper's)
        consensus    the medoid of the cluster with the greatest probability
        first        the first in the order of the method
        mean         the mean of all candidates on the sphere, each counted by its sources; where they cancel out, their
                     medoid. Candidates are ranked by their distance to it

    `model`: weights and calibration; None: `DEFAULT`. Take the one that fits the alignment model (`model_for`).
    `top_k` distinct places are told, 1 or more. `abstain_below` (in [0, 1]) with the confidence at
    `abstain_within_km` (one of THRESHOLDS_KM) below it, the choice says that it abstains; None, or no calibration:
    never. Raises Missing when there is nothing to choose from, Rejected for other faults.
    """
    _check(candidates, top_k, abstain_below, abstain_within_km)
    ranking = Ranking(ranking)
    kept = in_order(candidates)
    if ranking is Ranking.SIMILARITY:
        kept = [candidate for candidate in kept if candidate.similarity is not None]
    if not kept:
        raise Missing("nothing to choose from: no candidate could be scored" if candidates else "no candidates")
    weighed = weigh(kept, model or DEFAULT)
    found = _WAYS[ranking](weighed)
    confidence = radius_km = coverage = None
    calibration = (model or DEFAULT).calibrations.get(ranking)
    if calibration is not None:
        confidence = calibration.confidence(signs(weighed.pool, weighed.shares, distances_to(weighed, found.answer)))
        radius_km, coverage = calibration.radius_km(confidence), calibration.coverage
    return Choice(
        coordinates=found.answer,
        ranking=ranking,
        ranked=_ranked(weighed, found),
        places=_places(weighed, found)[:top_k],
        confidence=confidence,
        radius_km=radius_km,
        coverage=coverage,
        abstained=abstain_below is not None
        and confidence is not None
        and confidence[abstain_within_km] < abstain_below,
    )


def weigh(candidates: list[Candidate], model: ChoiceModel) -> Weighed:
    """Features, probabilities and clusters of candidates that are in the order of the method already."""
    pool = pool_of(candidates)
    shares = probabilities(of_candidates(pool), model.vector)
    return Weighed(candidates, pool, shares, grouped(candidates, model.cluster_km))


def answer(weighed: Weighed, ranking: Ranking) -> Coordinates:
    """The answer alone."""
    return _WAYS[ranking](weighed).answer


def distances_to(weighed: Weighed, point: Coordinates) -> Floats:
    """From each candidate to a point, km on the sphere, float64 [n]."""
    return haversine_km(
        [candidate.coordinates.latitude for candidate in weighed.candidates],
        [candidate.coordinates.longitude for candidate in weighed.candidates],
        point.latitude,
        point.longitude,
    )


def _check(candidates: Sequence[Candidate], top_k: int, abstain_below: float | None, within_km: int) -> None:
    if len(candidates) > MOST:
        raise TooLarge(f"at most {MOST} candidates for one photo, not {len(candidates)}", field="candidates")
    if top_k < 1:
        raise Rejected("top_k must be one or more", field="top_k")
    if abstain_below is not None and not 0 <= abstain_below <= 1:
        raise Rejected("abstain_below must lie between 0 and 1", field="abstain_below")
    if within_km not in THRESHOLDS_KM:
        raise Rejected(f"abstain_within_km must be one of {THRESHOLDS_KM}", field="abstain_within_km")


def _by_similarity(weighed: Weighed) -> Answered:
    # stable: equal cosines stay in the order of the method
    return _in_ranks(weighed, np.argsort(-weighed.pool.similarity, kind="stable").tolist())


def _by_order(weighed: Weighed) -> Answered:
    return _in_ranks(weighed, list(range(len(weighed.candidates))))


def _in_ranks(weighed: Weighed, order: list[int]) -> Answered:
    """Clusters stand in the rank of their best member, which also stands for them."""
    ranks = {index: rank for rank, index in enumerate(order)}
    groups = sorted(weighed.groups, key=lambda group: min(ranks[index] for index in group))
    centers = [min(group, key=ranks.__getitem__) for group in groups]
    return Answered(order, groups, centers, weighed.candidates[order[0]].coordinates)


def _by_consensus(weighed: Weighed) -> Answered:
    groups = best_first(weighed.groups, weighed.shares)
    centers = [central(group, weighed.shares, weighed.pool.distances) for group in groups]
    best = centers[0]
    rest = np.argsort(-weighed.shares, kind="stable").tolist()
    order = [best, *(index for index in rest if index != best)]
    return Answered(order, groups, centers, weighed.candidates[best].coordinates)


def _by_mean(weighed: Weighed) -> Answered:
    points = [candidate.coordinates for candidate in weighed.candidates]
    vectors = unit_vectors([point.latitude for point in points], [point.longitude for point in points])
    x, y, z = weighed.pool.counts.sum(axis=1) @ vectors
    if float(np.sqrt(x * x + y * y + z * z)) < 1e-9:
        everyone = list(range(len(points)))
        point = points[central(everyone, weighed.pool.counts.sum(axis=1), weighed.pool.distances)]
    else:
        point = Coordinates(float(np.degrees(np.arctan2(z, np.hypot(x, y)))), float(np.degrees(np.arctan2(y, x))))
    order = np.argsort(distances_to(weighed, point), kind="stable").tolist()
    found = _in_ranks(weighed, order)
    return Answered(found.order, found.groups, found.centers, point)


_WAYS: dict[Ranking, Callable[[Weighed], Answered]] = {
    Ranking.SIMILARITY: _by_similarity,
    Ranking.CONSENSUS: _by_consensus,
    Ranking.FIRST: _by_order,
    Ranking.MEAN: _by_mean,
}


def _ranked(weighed: Weighed, found: Answered) -> tuple[Ranked, ...]:
    homes = {index: number for number, group in enumerate(found.groups) for index in group}
    return tuple(
        Ranked(weighed.candidates[index], rank, float(weighed.shares[index]), homes[index])
        for rank, index in enumerate(found.order, start=1)
    )


def _places(weighed: Weighed, found: Answered) -> tuple[DistinctPlace, ...]:
    ranks = {index: rank for rank, index in enumerate(found.order, start=1)}
    return tuple(
        DistinctPlace(
            coordinates=weighed.candidates[center].coordinates,
            probability=float(weighed.shares[group].sum()),
            radius_km=float(weighed.pool.distances[center, group].max()),
            members=tuple(sorted(ranks[index] for index in group)),
        )
        for group, center in zip(found.groups, found.centers, strict=True)
    )
