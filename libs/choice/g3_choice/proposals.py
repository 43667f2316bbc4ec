"""What is chosen among: proposals by the LMM, by retrieval and by the gallery, and the candidates they merge into."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from g3_geography import Coordinates
from g3_kit.errors import Rejected


class Origin(StrEnum):
    """Where a proposal came from. The order of the members is the order of the method: m = K·N + S, then gallery."""

    LMM = "lmm"
    RETRIEVED = "retrieved"
    GALLERY = "gallery"


_ORDER = {origin: number for number, origin in enumerate(Origin)}


@dataclass(frozen=True, slots=True)
class Proposal:
    """One voice for one point.

    `similarity` is the image-GPS cosine in [-1, 1]; None: not scored (a NaN is taken as None). LMM: `prompt` and
    `sample`, both from 0, say which answer. Retrieved: `reference_id` and `evidence`, its similarity to the photo
    (mean cosine of the compared vectors). Gallery: `reference_id` of the point, if it has one. `rank` counts from 1
    within the origin, most similar first; 0: not known.
    """

    coordinates: Coordinates
    origin: Origin
    similarity: float | None = None
    prompt: int = 0
    sample: int = 0
    reference_id: str = ""
    rank: int = 0
    evidence: float | None = None

    def __post_init__(self) -> None:
        for name in ("similarity", "evidence"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                object.__setattr__(self, name, None)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point that is ranked, and every proposal that merged into it, in the order of the method.

    `coordinates` are those of the first source, which are the ones to score. Raises Rejected without a source.
    """

    coordinates: Coordinates
    sources: tuple[Proposal, ...]
    similarity: float | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise Rejected("a candidate needs at least one proposal that it comes from", field="sources")
        if self.similarity is not None and not math.isfinite(self.similarity):
            object.__setattr__(self, "similarity", None)

    @property
    def origin(self) -> Origin:
        """Of the first source."""
        return self.sources[0].origin

    def support(self, origin: Origin) -> int:
        """How many proposals of this origin merged into it."""
        return sum(source.origin is origin for source in self.sources)

    @property
    def evidence(self) -> float | None:
        """The greatest similarity to the photo among the references that merged into it; None without any."""
        known = [source.evidence for source in self.sources if source.evidence is not None]
        return max(known, default=None)


Key = tuple[int, int, int, int, str, float, float, float, float]


def method_order(proposal: Proposal) -> Key:
    """The key of the method's order: LMM by prompt and sample, retrieved by rank, gallery by rank.

    What follows the rank only makes the order the same whatever order the proposals came in.
    """
    return (
        _ORDER[proposal.origin],
        proposal.prompt,
        proposal.sample,
        # an unknown rank is after the known ones
        proposal.rank or 2**31,
        proposal.reference_id,
        proposal.coordinates.latitude,
        proposal.coordinates.longitude,
        -math.inf if proposal.similarity is None else proposal.similarity,
        -math.inf if proposal.evidence is None else proposal.evidence,
    )


def in_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates in the order of the method, by their first sources."""
    return sorted(
        candidates, key=lambda one: (method_order(one.sources[0]), one.coordinates.latitude, one.coordinates.longitude)
    )
