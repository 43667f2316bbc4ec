"""What kind of photo fails: distance bands by where a photo is, what it shows, and how its evidence looks."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from g3_geography import haversine_km

from g3_evaluation.asks import Ask
from g3_evaluation.metrics import THRESHOLDS_KM, Distances
from g3_evaluation.outcomes import Outcome
from g3_evaluation.run_data import RunData

BANDS = (
    *(f"{low:g} to {high:g} km" for low, high in zip((0.0, *THRESHOLDS_KM), THRESHOLDS_KM, strict=False)),
    f"{THRESHOLDS_KM[-1]:g} km and more",
    "no answer",
)
_MOST_GROUPS = 15
_AGREEING_KM = 25.0


@dataclass(frozen=True)
class Group:
    """Photos of one kind: how many, and how many lie in each of `BANDS`."""

    name: str
    photos: int
    bands: list[int]
    median_km: float | None


@dataclass(frozen=True)
class Grouping:
    """Photos by one trait of theirs."""

    by: str
    groups: list[Group]


@cache
def _continents() -> dict[str, str]:
    text = (files("g3_evaluation") / "data" / "continents.json").read_text(encoding="utf-8")
    return {code: name for name, codes in json.loads(text).items() for code in codes.split()}


def groupings(data: RunData, ask: Ask) -> list[Grouping]:
    """The photos by continent, country, scene, retrieval similarity, agreement and degradation of what was answered."""
    outcomes = data.of(ask)
    traits: list[tuple[str, Sequence[str], bool]] = [
        ("all photos", ["all"] * len(outcomes), False),
        ("continent of the truth", [_continents().get(place.country_code, "?") for place in data.named], False),
        ("country of the truth", [place.country or "?" for place in data.named], False),
        ("similarity of the nearest reference", _quarters(outcomes, _nearest), True),
        ("candidates within 25 km of the answer", _quarters(outcomes, _agreement), True),
        ("image-GPS similarity of the answer", _quarters(outcomes, lambda outcome: outcome.similarity), True),
    ]
    if any(query.scene for query in data.queries):
        traits.insert(3, ("scene", [query.scene or "?" for query in data.queries], False))
    if any(outcome.degraded for outcome in outcomes):
        traits.append(
            ("answered without", [", ".join(outcome.degraded) or "nothing left out" for outcome in outcomes], False)
        )
    km = data.off(ask, lambda outcome: outcome.place)
    return [Grouping(by, _groups(names, km, ordered)) for by, names, ordered in traits]


def _groups(names: Sequence[str], km: Distances, ordered: bool) -> list[Group]:
    labels = np.array(names)
    counts = {name: int((labels == name).sum()) for name in set(names)}
    order = sorted(counts) if ordered else sorted(counts, key=lambda name: (-counts[name], name))
    return [_group(name, km[labels == name]) for name in order[:_MOST_GROUPS]]


def _group(name: str, km: Distances) -> Group:
    band = np.searchsorted(THRESHOLDS_KM, km, side="right")
    band[np.isinf(km)] = len(BANDS) - 1
    median = float(np.median(km))
    counted = np.bincount(band, minlength=len(BANDS)).tolist()
    return Group(name, len(km), counted, median if np.isfinite(median) else None)


def _quarters(outcomes: Sequence[Outcome], value: Callable[[Outcome], float | None]) -> list[str]:
    """Which quarter of the photos each belongs to by a value; photos without one are a group of their own."""
    values = [value(outcome) for outcome in outcomes]
    known = np.array([one for one in values if one is not None])
    if not len(known):
        return ["not stated"] * len(values)
    edges = np.quantile(known, (0.25, 0.5, 0.75))
    words = [
        f"1st quarter, below {edges[0]:.3g}",
        f"2nd quarter, from {edges[0]:.3g}",
        f"3rd quarter, from {edges[1]:.3g}",
        f"4th quarter, from {edges[2]:.3g}",
    ]
    return ["not stated" if one is None else words[int(np.searchsorted(edges, one, side="right"))] for one in values]


def _nearest(outcome: Outcome) -> float | None:
    return outcome.references[0].similarity if outcome.references else None


def _agreement(outcome: Outcome) -> float | None:
    """The share of the proposals within 25 km of the answer."""
    if outcome.place is None or not outcome.voices:
        return None
    places = np.array([(voice.latitude, voice.longitude) for voice in outcome.voices])
    return float((haversine_km(*outcome.place, places[:, 0], places[:, 1]) < _AGREEING_KM).mean())
