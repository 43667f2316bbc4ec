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
# Among the candidates of a photo cosines differ by some hundredths: these make them numbers around 1
_COSINES = 20.0
_SHARPNESS = 30.0
_FAMILIAR = 0.5

# What is worth more or less where the encoder knows the land
_WEIGHED = (
    "similarity_gap",
    "evidence_gap",
    "reference_rank",
    "lmm_25",
    "retrieved_25",
    "retrieved_200",
    "gallery_25",
)
_AGREED = ("similarity_gap", "evidence_gap", "retrieved_25")

FEATURES = (
    "similarity",
    "similarity_gap",
    "similarity_near",
    "similarity_nearest",
    *(f"{origin}_{kernel}" for origin in Origin for kernel in KERNELS_KM),
    "evidence_gap",
    "reference_rank",
    "lmm_alone",
    "gallery_alone",
    *(f"evidence_mass_{kernel}" for kernel in (10, 25, 100)),
    *(f"similarity_mass_{kernel}" for kernel in (25, 100)),
    *(f"{name}_by_best" for name in _WEIGHED),
    *(f"{name}_by_shortfall" for name in _WEIGHED),
    *(f"{name}_by_agreement" for name in _AGREED),
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
        similarity_gap        how much it falls short of the pool's best, in 1/20 of a cosine, so 0 or less; _near: at
                              least -1, _nearest: at least -0.3
        {origin}_{h}          log(1 + sum over proposals of that origin of exp(-d / h km)): agreeing voices
        evidence_gap          the best over references of (its similarity's shortfall from the best reference's, in 1/20
                              of a cosine, less d / 25 km), at least -5
        reference_rank        the best over references of (-log rank - d / 25 km), at least -5
        lmm_alone             for an answer of the LMM: 1 when no reference and no gallery point is near, less with each
        gallery_alone         for a gallery point: the same with references and answers
        evidence_mass_{h}     log of the references around, exp(-d / h km) each, the most similar counted most
        similarity_mass_{h}   log of the candidates around, the most similar counted most
        {feature}_by_{sign}   a feature times a sign of the pool: `best`, its best image-GPS cosine; `shortfall` of the
                              best reference's image-GPS cosine from that, in [0, 1); `agreement`, the correlation
                              of both similarities among the references: does the GPS encoder know the land?

    A candidate without a cosine is taken to be as unlike the photo as the pool's least similar one; when no candidate
    has one, all that is made of cosines is 0, as is all that is made of references without any.
    """
    filled = _filled(pool.similarity)
    gap = (filled - filled.max()) * _COSINES
    spread = float(filled.std())
    columns = {
        # candidates that are all alike say nothing, however rounding tells them apart
        "similarity": (filled - filled.mean()) / spread if spread > 1e-9 else np.zeros(len(filled)),
        "similarity_gap": gap,
        "similarity_near": np.maximum(gap, -1.0),
        "similarity_nearest": np.maximum(gap, -0.3),
    }
    columns |= _voices(pool)
    columns |= _references(pool)
    likely = np.exp(gap / _COSINES * _SHARPNESS)
    scored = bool(np.isfinite(pool.similarity).any())
    for kernel in (25, 100):
        mass = _mass(likely, pool.distances, kernel) if scored else np.zeros(len(gap))
        columns[f"similarity_mass_{kernel}"] = mass
    best, shortfall, agreement = _signs(pool, filled)
    columns |= {f"{name}_by_best": columns[name] * best for name in _WEIGHED}
    columns |= {f"{name}_by_shortfall": columns[name] * shortfall for name in _WEIGHED}
    columns |= {f"{name}_by_agreement": columns[name] * agreement for name in _AGREED}
    return np.column_stack([columns[name] for name in FEATURES])


def _filled(similarity: Floats) -> Floats:
    known = np.isfinite(similarity)
    return np.where(known, similarity, similarity[known].min()) if known.any() else np.zeros(len(similarity))


def _voices(pool: Pool) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    for kernel in KERNELS_KM:
        near = np.log1p(np.exp(-pool.distances / kernel) @ pool.counts)
        columns |= {f"{origin}_{kernel}": near[:, number] for number, origin in enumerate(Origin)}
    closest = np.exp(-pool.distances / KERNELS_KM[0]) @ (pool.counts > 0)
    for own, name in ((0, "lmm_alone"), (2, "gallery_alone")):
        others = closest[:, [kind for kind in range(3) if kind != own]].sum(axis=1)
        columns[name] = (pool.counts[:, own] > 0) * np.exp(-others)
    return columns


def _references(pool: Pool) -> dict[str, Floats]:
    known = np.isfinite(pool.evidence)
    behind = pool.evidence - (pool.evidence[known].max() if known.any() else 0.0)
    columns = {
        "evidence_gap": _reached(behind * _COSINES, pool.distances, _FLOOR),
        "reference_rank": _reached(-np.log(pool.rank), pool.distances, _FLOOR),
    }
    telling = np.where(known, np.exp(np.where(known, behind, 0.0) * _SHARPNESS), 0.0)
    for kernel in (10, 25, 100):
        mass = _mass(telling, pool.distances, kernel) if known.any() else np.zeros(len(behind))
        columns[f"evidence_mass_{kernel}"] = mass
    return columns


def _signs(pool: Pool, filled: Floats) -> tuple[float, float, float]:
    scored = bool(np.isfinite(pool.similarity).any())
    best = (float(filled.max()) - _FAMILIAR) * _COSINES / 2 if scored else 0.0
    known = np.flatnonzero(np.isfinite(pool.evidence))
    if not known.size or not scored:
        return best, 0.0, 0.0
    one, other = pool.evidence[known], filled[known]
    top = other[one >= one.max()].max()
    shortfall = float(np.tanh((filled.max() - top) * _COSINES / 2))
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((one @ one) * (other @ other)))
    # of three points or fewer a correlation says nothing
    agreement = float(one @ other) / spread if known.size > 3 and spread > 1e-9 else 0.0
    return best, shortfall, agreement


def _mass(worth: Floats, distances: Floats, kernel: float) -> Floats:
    # a floor, so that what lies alone is not infinitely unlikely
    mass: Floats = np.log(0.02 + np.exp(-distances / kernel) @ worth)
    return mass


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
