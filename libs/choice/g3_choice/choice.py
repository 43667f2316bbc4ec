"""The answer and what stands behind it."""

from dataclasses import dataclass
from enum import StrEnum

from g3_geography import Coordinates

from g3_choice.proposals import Candidate

THRESHOLDS_KM = (1, 25, 200, 750, 2500)
"""Street, city, region, country, continent: the distances at which geolocation is measured."""


class Ranking(StrEnum):
    """How the answer is chosen."""

    SIMILARITY = "similarity"
    CONSENSUS = "consensus"
    FIRST = "first"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate in its rank (from 1). `probability`: its share of the consensus model; all of a photo sum to 1.

    `place`: which of `Choice.places` it belongs to, from 0; a place beyond `top_k` is not listed there.
    """

    candidate: Candidate
    rank: int
    probability: float
    place: int


@dataclass(frozen=True, slots=True)
class DistinctPlace:
    """A cluster of candidates: its medoid, the sum of their probabilities, and how far they lie from the medoid.

    `radius_km` is the greatest distance of a member from `coordinates` (haversine). `members` are ranks.
    """

    coordinates: Coordinates
    probability: float
    radius_km: float
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer of one photo.

    `ranked`: every candidate that could be ranked, best first. `places`: at most top_k, best first, the first one is
    the answer's (but for `mean`, whose answer need not be a candidate: the nearest place comes first).
    `confidence`: by threshold in km (`THRESHOLDS_KM`) the calibrated probability that the answer lies nearer than that
    to the truth: of all answers with confidence 0.7 at 25 km, seven in ten are within 25 km, whatever the photo.
    None when no model fitted to this alignment is at hand: a number would be made up.
    `radius_km`: within it lies the truth for `coverage` of the photos; None likewise.
    `abstained`: the confidence at the asked threshold is below the asked value; the answer is given all the same.
    """

    coordinates: Coordinates
    ranking: Ranking
    ranked: tuple[Ranked, ...]
    places: tuple[DistinctPlace, ...]
    confidence: dict[int, float] | None = None
    radius_km: float | None = None
    coverage: float | None = None
    abstained: bool = False

    @property
    def calibrated(self) -> bool:
        """Whether confidence and radius could be stated."""
        return self.confidence is not None
