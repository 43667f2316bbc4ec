"""The ways of answering as sets of values: what each strategy fixes, what it defaults to, what contradicts it.

`g3` takes every value from the profile. The baselines of the poster leave parts of the method out, and a value stated
for a part that is left out is refused instead of ignored.
"""

from collections.abc import Mapping
from typing import Any

from g3_kit.errors import Rejected

from g3_orchestrator.states import Dissimilar, Ranking, Strategy

IMG2LOC_REFERENCES = 10
"""Similar references in the one prompt of `img2loc` unless told otherwise, and as many dissimilar ones."""

KNN_REFERENCES = 100
"""Neighbours of `knn` unless told otherwise: as many as the authors' published code weighs."""

GALLERY_POINTS = 50
"""Points that `gallery` returns unless told otherwise; the answer is the first of them."""

_NO_LMM = "does not ask the LMM"
_WHY: dict[Strategy, dict[str, str]] = {
    Strategy.IMG2LOC: {
        "retrieved_candidates": "answers by the LMM alone",
        "gallery": "answers by the LMM alone",
    },
    Strategy.KNN: {
        **dict.fromkeys(("references_per_prompt", "samples_per_prompt", "temperature", "prompt_order"), _NO_LMM),
        "dissimilar": _NO_LMM,
        "gallery": "compares with references, not with the gallery",
        "ranking": "has a ranking of its own, the density of its neighbours",
    },
    Strategy.GALLERY: {
        **dict.fromkeys(("references_per_prompt", "samples_per_prompt", "temperature", "prompt_order"), _NO_LMM),
        "dissimilar": _NO_LMM,
        "retrieved_candidates": "compares with the gallery, not with references",
        "retrieval_vector": "compares with the gallery, not with references",
        "ranking": "has a ranking of its own, the image-GPS cosine",
    },
}
# What stands in the place of a part that is left out; for the others of `_WHY` the profile's value does no harm.
_FIXED: dict[Strategy, dict[str, Any]] = {
    Strategy.IMG2LOC: {"retrieved_candidates": 0, "gallery": 0},
    Strategy.KNN: {
        "references_per_prompt": (),
        "dissimilar": Dissimilar.NONE,
        "gallery": 0,
        "ranking": Ranking.SIMILARITY,
    },
    Strategy.GALLERY: {
        "references_per_prompt": (),
        "dissimilar": Dissimilar.NONE,
        "retrieved_candidates": 0,
        "ranking": Ranking.SIMILARITY,
    },
}


def defaults(strategy: Strategy, profile: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """The profile's values with what the strategy puts in their place.

    `stated` are the values that the caller named. Raises Rejected, naming the field, for one that contradicts the
    strategy; the value that stands there anyway is none, so that parameters read from a job can be sent again.
    """
    values = {**profile, **_FIXED.get(strategy, {})}
    if strategy is Strategy.IMG2LOC:
        values |= {"references_per_prompt": (IMG2LOC_REFERENCES,), "ranking": Ranking.FIRST}
        if stated.get("ranking", Ranking.FIRST) is Ranking.FIRST:
            # More would be asked and thrown away.
            values["samples_per_prompt"] = 1
    elif strategy is Strategy.KNN:
        values["retrieved_candidates"] = KNN_REFERENCES
    elif strategy is Strategy.GALLERY:
        values["gallery"] = GALLERY_POINTS
    for field, why in _WHY.get(strategy, {}).items():
        if field in stated and _plain(stated[field]) != _plain(values[field]):
            raise Rejected(f"the strategy {strategy} {why}: leave {field} out", field=field)
    return values


def check(strategy: Strategy, values: Mapping[str, Any]) -> None:
    """Raises Rejected, naming the field, for values that leave nothing to answer from."""
    prompts, ranking = values["references_per_prompt"], values["ranking"]
    if strategy is Strategy.IMG2LOC:
        if len(prompts) != 1:
            raise Rejected("the strategy img2loc has exactly one prompt", field="references_per_prompt")
        if ranking not in (Ranking.FIRST, Ranking.MEAN):
            raise Rejected("the strategy img2loc has no verification: its ranking is first or mean", field="ranking")
    elif strategy is Strategy.KNN and not values["retrieved_candidates"]:
        raise Rejected("the strategy knn needs at least one neighbour", field="retrieved_candidates")
    elif strategy is Strategy.GALLERY and not values["gallery"]:
        raise Rejected("the strategy gallery needs at least one point", field="gallery")
    elif strategy is Strategy.G3 and not prompts and not values["retrieved_candidates"] and not values["gallery"]:
        raise Rejected("no prompts and no other candidates: nothing to choose from", field="retrieved_candidates")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
