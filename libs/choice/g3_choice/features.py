"""What the consensus weighs: the features of every candidate of one photo, and of the photo's pool as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from g3_geography import EARTH_RADIUS_KM
from g3_geography.coordinates import unit_vectors
from numpy.typing import NDArray

from g3_choice.proposals import Candidate, Origin

Floats = NDArray[np.float64]

KERNELS_KM = (25, 200, 750)
"""A voice at distance d supports a candidate by exp(-d / h): city, region, country."""

# How far a candidate may be from the best reference before it is of no use to it, in the units of the feature
_FLOOR = -5.0
# Cosines between the first and the twentieth reference of a photo differ by some hundredths
_EVIDENCE_SCALE = 20.0
_GAP_SCALE = 10.0

FEATURES = (
    "similarity",
    "similarity_gap",
    "similarity_familiar",
    *(f"{origin}_{kernel}" for origin in Origin for kernel in KERNELS_KM),
    "evidence_gap",
    "evidence_near",
    "reference_rank",
    "lmm_alone",
    "gallery_alone",
)
"""The columns of `of_candidates`, in order; the file of a model names the ones that it was fitted with."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidates of one photo as arrays. n candidates.

    `distances` float64 [n, n] km on the sphere; `similarity` and `evidence` [n], NaN where there is none; `counts`
    [n, 3] proposals of each origin, in the order of `Origin`; `rank` [n] the best rank among merged references, NaN
    without.
    """

    distances: Floats
    similarity: Floats
    evidence: Floats
    counts: Floats
    rank: Floats


def pool_of(candidates: Sequence[Candidate]) -> Pool:
    """The arrays of at least one candidate."""
    vectors = unit_vectors(
        [candidate.coordinates.latitude for candidate in candidates],
        [candidate.coordinates.longitude for candidate in candidates],
    )
    # arcsin of half the chord, exact for near points, where the cosine is not
    chords = np.sqrt(((vectors[:, None, :] - vectors[None, :, :]) ** 2).sum(axis=2))
    return Pool(
        distances=2.0 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chords / 2.0, 1.0)),
        similarity=_numbers([candidate.similarity for candidate in candidates]),
        evidence=_numbers([candidate.evidence for candidate in candidates]),
        counts=np.array([[candidate.support(origin) for origin in Origin] for candidate in candidates], dtype=float),
        rank=_numbers([_best_rank(candidate) for candidate in candidates]),
    )


def of_candidates(pool: Pool) -> Floats:
    """The features float64 [n, len(FEATURES)], all finite.

    ::

        similarity            image-GPS cosine, standardised within the pool
        similarity_gap        how much it falls short of the pool's best, in tenths of a cosine
        similarity_familiar   similarity times the pool's best cosine: what it is worth where the encoder knows the land
        {origin}_{h}          log(1 + sum over proposals of that origin of exp(-d / h km)): agreeing voices
        evidence_gap          the best over references of (its similarity's shortfall from the best reference's in 1/20
                              of a cosine, less d / 25 km), at least -5
        evidence_near         the same by the similarity itself: absolute, not against the pool
        reference_rank        the best over references of (-log rank - d / 25 km), at least -5
        lmm_alone             1 for an answer of the LMM that no reference and no gallery point is near to
        gallery_alone         1 for a gallery point that no reference and no answer is near to

    A candidate without a cosine is taken to be as unlike the photo as the pool's least similar one; when no candidate
    has one, the three features of similarity are 0, as those of references are without any.
    """
    gap, standard, best = _similarities(pool.similarity)
    near = [np.log1p(np.exp(-pool.distances / kernel) @ pool.counts) for kernel in KERNELS_KM]
    voices = np.stack(near, axis=2).reshape(len(gap), -1)
    closest = np.exp(-pool.distances / KERNELS_KM[0]) @ (pool.counts > 0)
    evidence, rank = pool.evidence, -np.log(pool.rank)
    top = float(np.nanmax(evidence)) if np.isfinite(evidence).any() else 0.0
    alone = [
        (pool.counts[:, own] > 0) * np.exp(-closest[:, [kind for kind in range(3) if kind != own]].sum(axis=1))
        for own in (0, 2)
    ]
    return np.column_stack(
        [
            standard,
            gap * _GAP_SCALE,
            standard * best,
            voices,
            _reached((evidence - top) * _EVIDENCE_SCALE, pool.distances, _FLOOR),
            _reached(evidence * _EVIDENCE_SCALE, pool.distances, top * _EVIDENCE_SCALE + _FLOOR) / _EVIDENCE_SCALE,
            _reached(rank, pool.distances, _FLOOR),
            *alone,
        ]
    )


def _similarities(similarity: Floats) -> tuple[Floats, Floats, float]:
    known = np.isfinite(similarity)
    if not known.any():
        return np.zeros(len(similarity)), np.zeros(len(similarity)), 0.0
    filled = np.where(known, similarity, similarity[known].min())
    spread = float(filled.std())
    # candidates that are all alike say nothing, however rounding tells them apart
    standard = (filled - filled.mean()) / spread if spread > 1e-9 else np.zeros(len(filled))
    best = float(filled.max())
    return filled - best, standard, best


def _reached(worth: Floats, distances: Floats, floor: float) -> Floats:
    """For each candidate the best of `worth` [n] less the way to it in 25 km; NaN counts for nothing."""
    known = np.isfinite(worth)
    if not known.any():
        return np.zeros(len(worth))
    reached: Floats = (worth[known] - distances[:, known] / KERNELS_KM[0]).max(axis=1)
    return np.maximum(reached, floor)


def _best_rank(candidate: Candidate) -> float | None:
    ranks = [source.rank for source in candidate.sources if source.origin is Origin.RETRIEVED and source.rank > 0]
    return float(min(ranks)) if ranks else None


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
