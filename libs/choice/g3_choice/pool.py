"""The pool of candidates (G3, section 3.3): proposals in the order of the method, duplicates merged."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from g3_geography import haversine_km
from g3_kit.errors import Rejected, TooLarge

from g3_choice.proposals import Candidate, Proposal, method_order

WITHIN_KM = 1.0
"""What the default way takes for one place."""

MOST = 5_000
"""Proposals of one photo. Ranking takes time and memory with their square; the API allows 16·32 + 100 + 1,000."""

_AT_ONCE = 512


def merged(proposals: Iterable[Proposal], within_km: float = WITHIN_KM) -> tuple[Candidate, ...]:
    """Candidates in the order of the method (LMM by prompt and sample, retrieved by rank, gallery by rank).

    A proposal joins the first candidate whose coordinates lie at most `within_km` from it (haversine), and is a new one
    otherwise; so no two candidates are that near, and none is a point that nobody proposed. `within_km` 0, for the
    paper's way, merges equal coordinates only. The result does not depend on the order of the input.
    Raises Rejected for a negative `within_km`, TooLarge beyond `MOST` proposals.
    """
    if not within_km >= 0:
        raise Rejected("within_km must be zero or more", field="within_km")
    ordered = sorted(proposals, key=method_order)
    if len(ordered) > MOST:
        raise TooLarge(f"at most {MOST} proposals for one photo, not {len(ordered)}", field="proposals")
    sources: list[list[Proposal]] = []
    for proposal, home in zip(ordered, _homes(ordered, within_km), strict=True):
        if home == len(sources):
            sources.append([proposal])
        else:
            sources[home].append(proposal)
    return tuple(Candidate(group[0].coordinates, tuple(group), group[0].similarity) for group in sources)


def scored(candidates: Sequence[Candidate], similarities: Sequence[float | None]) -> tuple[Candidate, ...]:
    """The same candidates with their image-GPS cosines; None or NaN: could not be scored.

    Raises Rejected when there is not one number for each candidate.
    """
    if len(candidates) != len(similarities):
        raise Rejected("one similarity for each candidate is needed", field="similarities")
    return tuple(
        replace(candidate, similarity=similarity)
        for candidate, similarity in zip(candidates, similarities, strict=True)
    )


def _homes(ordered: Sequence[Proposal], within_km: float) -> list[int]:
    """For each proposal the number of the candidate that it belongs to, candidates numbered as they begin."""
    if within_km == 0:
        numbers: dict[object, int] = {}
        return [numbers.setdefault(proposal.coordinates, len(numbers)) for proposal in ordered]
    latitudes = np.array([proposal.coordinates.latitude for proposal in ordered])
    longitudes = np.array([proposal.coordinates.longitude for proposal in ordered])
    homes = np.full(len(ordered), -1)
    # all distances at once for a usual pool: a call for each candidate costs more than the arithmetic
    table = (
        haversine_km(latitudes[:, None], longitudes[:, None], latitudes, longitudes)
        if len(ordered) <= _AT_ONCE
        else None
    )
    begun = 0
    while (free := np.flatnonzero(homes < 0)).size:
        # who is nobody's yet begins a candidate and takes those near; a chain of proposals does not carry it away
        leader = free[0]
        if table is None:
            distances = haversine_km(latitudes[leader], longitudes[leader], latitudes[free], longitudes[free])
        else:
            distances = table[leader, free]
        homes[free[distances <= within_km]] = begun
        homes[leader] = begun
        begun += 1
    return homes.tolist()
