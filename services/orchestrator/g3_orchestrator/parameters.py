"""How one job is answered (G3, sections 3.2 and 3.3): every value, its range, and the named profiles.

`resolve(Asked(...))` turns what a caller stated into `Parameters` with every value filled in. Values out of range, or
that contradict the strategy, are `Rejected`, naming the field.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from g3_choice import THRESHOLDS_KM
from g3_geography import BoundingBox, Coordinates
from g3_kit.errors import Rejected

from g3_orchestrator import strategies
from g3_orchestrator.states import Dissimilar, Profile, PromptOrder, Ranking, RetrievalVector, Strategy

MAX_PROMPTS = 16
MAX_EXCLUDED = 1_000
MAX_EXCLUDED_CHARACTERS = 200
MAX_COUNTRY_CODES = 250
# Half the circumference of the Earth: no two places are farther apart.
MAX_RADIUS_KM = 20_038.0


@dataclass(frozen=True, slots=True)
class Circle:
    """A disc on the ellipsoid: geodesic `radius_km` > 0 around `center`. Raises Rejected otherwise."""

    center: Coordinates
    radius_km: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.radius_km) and 0 < self.radius_km <= MAX_RADIUS_KM):
            raise Rejected(f"radius_km must be above 0 and at most {MAX_RADIUS_KM:g}", field="hints.circle.radius_km")


@dataclass(frozen=True, slots=True)
class Hints:
    """Where the photo is known to be: inside one of the countries and inside the box and inside the circle."""

    country_codes: tuple[str, ...] = ()
    bounding_box: BoundingBox | None = None
    circle: Circle | None = None

    def __bool__(self) -> bool:
        return bool(self.country_codes) or self.bounding_box is not None or self.circle is not None


@dataclass(frozen=True, slots=True)
class AbstainBelow:
    """The calibrated probability that an answer must have to lie nearer than `within_km`. Raises Rejected."""

    probability: float
    within_km: int

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise Rejected("a probability lies above 0 and is at most 1", field="abstain_below.probability")
        if self.within_km not in THRESHOLDS_KM:
            known = ", ".join(map(str, THRESHOLDS_KM))
            raise Rejected(f"confidence is stated within {known} km", field="abstain_below.within_km")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller stated. None means: the profile's value. `profile` None means Profile.DEFAULT."""

    profile: Profile | None = None
    strategy: Strategy | None = None
    retrieval_vector: RetrievalVector | None = None
    references_per_prompt: Sequence[int] | None = None
    samples_per_prompt: int | None = None
    retrieved_candidates: int | None = None
    dissimilar: Dissimilar | None = None
    temperature: float | None = None
    prompt_order: PromptOrder | None = None
    gallery: int | None = None
    ranking: Ranking | None = None
    top_k: int | None = None
    hints: Hints | None = None
    excluded_references: Sequence[str] = ()
    excluded_authors: Sequence[str] = ()
    abstain_below: AbstainBelow | None = None


@dataclass(frozen=True, slots=True)
class Parameters:
    """Every value of DESIGN section 6, resolved and valid.

    `references_per_prompt` are the K prompts: references in each, 0 to 50, as many dissimilar ones unless
    `dissimilar` is none; empty means that the LMM is not asked. `samples_per_prompt` is N, 1 to 32.
    `retrieved_candidates` is S, 0 to 100. `temperature` lies in [0, 2], `gallery` in 0 to 1,000, `top_k` in 1 to 50.
    `abstain_below` None: the answer never abstains.
    """

    profile: Profile
    strategy: Strategy
    retrieval_vector: RetrievalVector
    references_per_prompt: tuple[int, ...]
    samples_per_prompt: int
    retrieved_candidates: int
    dissimilar: Dissimilar
    temperature: float
    prompt_order: PromptOrder
    gallery: int
    ranking: Ranking
    top_k: int
    hints: Hints = Hints()
    excluded_references: tuple[str, ...] = ()
    excluded_authors: tuple[str, ...] = ()
    abstain_below: AbstainBelow | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back to an equal value."""
        box, circle = self.hints.bounding_box, self.hints.circle
        written: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        written = {name: value.value if isinstance(value, StrEnum) else value for name, value in written.items()}
        for name in ("references_per_prompt", "excluded_references", "excluded_authors"):
            written[name] = list(written[name])
        written["hints"] = {
            "country_codes": list(self.hints.country_codes),
            "bounding_box": box and {"south": box.south, "west": box.west, "north": box.north, "east": box.east},
            "circle": circle
            and {
                "latitude": circle.center.latitude,
                "longitude": circle.center.longitude,
                "radius_km": circle.radius_km,
            },
        }
        written["abstain_below"] = self.abstain_below and asdict(self.abstain_below)
        return written

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> "Parameters":
        """The parameters that `to_json` wrote. Raises KeyError, TypeError or Rejected for anything else."""
        box, circle = written["hints"]["bounding_box"], written["hints"]["circle"]
        hints = Hints(
            tuple(written["hints"]["country_codes"]),
            BoundingBox(**box) if box else None,
            Circle(Coordinates(circle["latitude"], circle["longitude"]), circle["radius_km"]) if circle else None,
        )
        return cls(
            profile=Profile(written["profile"]),
            strategy=Strategy(written["strategy"]),
            retrieval_vector=RetrievalVector(written["retrieval_vector"]),
            references_per_prompt=tuple(written["references_per_prompt"]),
            samples_per_prompt=written["samples_per_prompt"],
            retrieved_candidates=written["retrieved_candidates"],
            dissimilar=Dissimilar(written["dissimilar"]),
            temperature=written["temperature"],
            prompt_order=PromptOrder(written["prompt_order"]),
            gallery=written["gallery"],
            ranking=Ranking(written["ranking"]),
            top_k=written["top_k"],
            hints=hints,
            excluded_references=tuple(written["excluded_references"]),
            excluded_authors=tuple(written["excluded_authors"]),
            # Jobs of before have none.
            abstain_below=AbstainBelow(**below) if (below := written.get("abstain_below")) else None,
        )


PAPER = Parameters(
    profile=Profile.PAPER,
    strategy=Strategy.G3,
    retrieval_vector=RetrievalVector.ALL,
    references_per_prompt=(0, 5, 10, 15),
    samples_per_prompt=5,
    retrieved_candidates=1,
    dissimilar=Dissimilar.FARTHEST,
    temperature=1.2,
    prompt_order=PromptOrder.PAPER,
    gallery=0,
    ranking=Ranking.SIMILARITY,
    top_k=10,
)
"""As the reference implementation has it."""

DEFAULT = Parameters(
    profile=Profile.DEFAULT,
    strategy=Strategy.G3,
    retrieval_vector=RetrievalVector.ALL,
    references_per_prompt=(0, 5, 10, 15),
    samples_per_prompt=5,
    # One retrieved candidate leaves verification almost no choice when the LMM is wrong or away.
    retrieved_candidates=15,
    # Farthest references are hubs: the same few photos in every prompt.
    dissimilar=Dissimilar.HARD,
    temperature=1.2,
    # The photo and the instruction are one prefix of all prompts, computed once.
    prompt_order=PromptOrder.IMAGE_FIRST,
    # Places that fit the photo by the model's own judgement, where nothing that looks like it was found.
    gallery=10,
    # The cosine alone takes the best of many chances; agreement is an independent voice.
    ranking=Ranking.CONSENSUS,
    top_k=10,
)
"""What is believed best."""

# What a profile and a strategy have a say in.
_CHOSEN = (
    "retrieval_vector",
    "references_per_prompt",
    "samples_per_prompt",
    "retrieved_candidates",
    "dissimilar",
    "temperature",
    "prompt_order",
    "gallery",
    "ranking",
)

PROFILES = {Profile.PAPER: PAPER, Profile.DEFAULT: DEFAULT}


def resolve(asked: Asked) -> Parameters:
    """Every value filled in from the profile and the strategy, and checked. Raises Rejected, naming the field."""
    profile = PROFILES[asked.profile or Profile.DEFAULT]
    strategy = asked.strategy or profile.strategy
    stated = {name: value for name in _CHOSEN if (value := getattr(asked, name)) is not None}
    usual = {name: getattr(profile, name) for name in _CHOSEN}
    chosen = strategies.defaults(strategy, usual, stated) | stated
    values: dict[str, Any] = {
        "retrieval_vector": chosen["retrieval_vector"],
        "references_per_prompt": _counts(chosen["references_per_prompt"]),
        "samples_per_prompt": _whole(chosen["samples_per_prompt"], "samples_per_prompt", 1, 32),
        "retrieved_candidates": _whole(chosen["retrieved_candidates"], "retrieved_candidates", 0, 100),
        "dissimilar": chosen["dissimilar"],
        "temperature": _temperature(chosen["temperature"]),
        "prompt_order": chosen["prompt_order"],
        "gallery": _whole(chosen["gallery"], "gallery", 0, 1_000),
        "ranking": chosen["ranking"],
    }
    strategies.check(strategy, values)
    if asked.abstain_below is not None and strategy is not Strategy.G3:
        raise Rejected("only the strategy g3 has a confidence to abstain by", field="abstain_below")
    return Parameters(
        profile=profile.profile,
        strategy=strategy,
        top_k=_whole(profile.top_k if asked.top_k is None else asked.top_k, "top_k", 1, 50),
        hints=_hints(asked.hints or profile.hints),
        excluded_references=_excluded(asked.excluded_references, "excluded_references"),
        excluded_authors=_excluded(asked.excluded_authors, "excluded_authors"),
        abstain_below=asked.abstain_below,
        **values,
    )


def _whole(value: object, field: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Rejected(f"{field} must be a whole number from {least} to {most}", field=field)
    return value


def _counts(counts: Sequence[int]) -> tuple[int, ...]:
    if len(counts) > MAX_PROMPTS:
        raise Rejected(f"at most {MAX_PROMPTS} prompts", field="references_per_prompt")
    return tuple(_whole(count, "references_per_prompt", 0, 50) for count in counts)


def _temperature(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
        raise Rejected("temperature must lie between 0 and 2", field="temperature")
    return float(value)


def _hints(hints: Hints) -> Hints:
    if len(hints.country_codes) > MAX_COUNTRY_CODES:
        raise Rejected(f"at most {MAX_COUNTRY_CODES} country codes", field="hints.country_codes")
    for code in hints.country_codes:
        if not re.fullmatch("[A-Z]{2}", code):
            message = "a country code is two capital letters (ISO 3166-1 alpha-2)"
            raise Rejected(message, field="hints.country_codes")
    return Hints(tuple(dict.fromkeys(hints.country_codes)), hints.bounding_box, hints.circle)


def _excluded(values: Sequence[str], field: str) -> tuple[str, ...]:
    if len(values) > MAX_EXCLUDED:
        raise Rejected(f"at most {MAX_EXCLUDED} entries", field=field)
    for value in values:
        if not value or len(value) > MAX_EXCLUDED_CHARACTERS or "\0" in value:
            raise Rejected(f"each entry must have 1 to {MAX_EXCLUDED_CHARACTERS} characters", field=field)
    return tuple(dict.fromkeys(values))
