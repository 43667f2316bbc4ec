"""Profiles, strategies and ranges."""

import json
from dataclasses import replace
from typing import Any

import pytest
from g3_geography import BoundingBox, Coordinates
from g3_kit.errors import NotYet, Rejected
from g3_orchestrator.parameters import DEFAULT, PAPER, AbstainBelow, Asked, Circle, Hints, Parameters, resolve
from g3_orchestrator.states import Dissimilar, Profile, PromptOrder, Ranking, RetrievalVector, Strategy
from hypothesis import given
from hypothesis import strategies as st


def test_nothing_stated_is_the_default_profile() -> None:
    assert resolve(Asked()) == DEFAULT
    assert (DEFAULT.retrieved_candidates, DEFAULT.dissimilar) == (15, Dissimilar.HARD)


def test_the_paper_profile_is_the_reference_implementation() -> None:
    paper = resolve(Asked(profile=Profile.PAPER))
    assert paper == PAPER
    assert (paper.references_per_prompt, paper.samples_per_prompt, paper.retrieved_candidates) == ((0, 5, 10, 15), 5, 1)
    assert (paper.temperature, paper.dissimilar, paper.ranking) == (1.2, Dissimilar.FARTHEST, Ranking.SIMILARITY)


@pytest.mark.parametrize("profile", Profile)
def test_every_profile_resolves_to_what_this_release_does(profile: Profile) -> None:
    assert resolve(Asked(profile=profile)).profile is profile


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"samples_per_prompt": 0}, "samples_per_prompt"),
        ({"samples_per_prompt": 33}, "samples_per_prompt"),
        ({"samples_per_prompt": True}, "samples_per_prompt"),
        ({"retrieved_candidates": -1}, "retrieved_candidates"),
        ({"retrieved_candidates": 101}, "retrieved_candidates"),
        ({"references_per_prompt": [51]}, "references_per_prompt"),
        ({"references_per_prompt": [-1]}, "references_per_prompt"),
        ({"references_per_prompt": [0] * 17}, "references_per_prompt"),
        ({"references_per_prompt": [], "retrieved_candidates": 0, "gallery": 0}, "retrieved_candidates"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 51}, "top_k"),
        ({"gallery": 1001}, "gallery"),
        ({"hints": Hints(("nl",))}, "hints.country_codes"),
        ({"hints": Hints(("NLD",))}, "hints.country_codes"),
        ({"excluded_references": [""]}, "excluded_references"),
        ({"excluded_references": ["a"] * 1001}, "excluded_references"),
        ({"excluded_authors": ["a" * 201]}, "excluded_authors"),
        ({"excluded_authors": ["a\0"]}, "excluded_authors"),
    ],
)
def test_out_of_range_is_rejected_by_name(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as caught:
        resolve(Asked(**asked))
    assert not isinstance(caught.value, NotYet)
    assert caught.value.field == field


def test_the_default_profile_departs_from_the_paper_as_written() -> None:
    assert (DEFAULT.prompt_order, DEFAULT.ranking, DEFAULT.gallery) == (PromptOrder.IMAGE_FIRST, Ranking.CONSENSUS, 10)
    assert (PAPER.prompt_order, PAPER.ranking, PAPER.gallery) == (PromptOrder.PAPER, Ranking.SIMILARITY, 0)


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.KNN, ((), 100, 0)),
        (Strategy.GALLERY, ((), 0, 50)),
        (Strategy.IMG2LOC, ((10,), 0, 0)),
    ],
)
def test_a_strategy_takes_the_place_of_the_profiles_values(
    profile: Profile, strategy: Strategy, expected: tuple[object, ...]
) -> None:
    made = resolve(Asked(profile=profile, strategy=strategy))
    assert (made.references_per_prompt, made.retrieved_candidates, made.gallery) == expected
    # What was resolved can be asked for again.
    again = {name: getattr(made, name) for name in ("profile", "strategy", "retrieval_vector", "references_per_prompt")}
    again |= {name: getattr(made, name) for name in ("samples_per_prompt", "retrieved_candidates", "dissimilar")}
    again |= {name: getattr(made, name) for name in ("temperature", "prompt_order", "gallery", "ranking", "top_k")}
    assert resolve(Asked(**again)) == made


def test_img2loc_asks_once_unless_a_mean_is_wanted() -> None:
    assert resolve(Asked(strategy=Strategy.IMG2LOC)).samples_per_prompt == 1
    mean = resolve(Asked(strategy=Strategy.IMG2LOC, ranking=Ranking.MEAN))
    assert (mean.samples_per_prompt, mean.ranking) == (5, Ranking.MEAN)
    assert resolve(Asked(strategy=Strategy.IMG2LOC, samples_per_prompt=9)).samples_per_prompt == 9


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"strategy": Strategy.KNN, "samples_per_prompt": 3}, "samples_per_prompt"),
        ({"strategy": Strategy.KNN, "references_per_prompt": [5]}, "references_per_prompt"),
        ({"strategy": Strategy.KNN, "temperature": 0.1}, "temperature"),
        ({"strategy": Strategy.KNN, "gallery": 5}, "gallery"),
        ({"strategy": Strategy.KNN, "ranking": Ranking.MEAN}, "ranking"),
        ({"strategy": Strategy.KNN, "retrieved_candidates": 0}, "retrieved_candidates"),
        ({"strategy": Strategy.GALLERY, "retrieved_candidates": 5}, "retrieved_candidates"),
        ({"strategy": Strategy.GALLERY, "retrieval_vector": RetrievalVector.CLIP}, "retrieval_vector"),
        ({"strategy": Strategy.GALLERY, "prompt_order": PromptOrder.PAPER}, "prompt_order"),
        ({"strategy": Strategy.GALLERY, "gallery": 0}, "gallery"),
        ({"strategy": Strategy.IMG2LOC, "gallery": 5}, "gallery"),
        ({"strategy": Strategy.IMG2LOC, "retrieved_candidates": 1}, "retrieved_candidates"),
        ({"strategy": Strategy.IMG2LOC, "references_per_prompt": [0, 5]}, "references_per_prompt"),
        ({"strategy": Strategy.IMG2LOC, "references_per_prompt": []}, "references_per_prompt"),
        ({"strategy": Strategy.IMG2LOC, "ranking": Ranking.SIMILARITY}, "ranking"),
        ({"strategy": Strategy.IMG2LOC, "ranking": Ranking.CONSENSUS}, "ranking"),
        ({"strategy": Strategy.KNN, "abstain_below": AbstainBelow(0.5, 25)}, "abstain_below"),
    ],
)
def test_a_value_that_contradicts_its_strategy_is_rejected_by_name(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(Rejected) as caught:
        resolve(Asked(**asked))
    assert not isinstance(caught.value, NotYet)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "asked",
    [
        {"retrieval_vector": RetrievalVector.CLIP},
        {"references_per_prompt": [15]},
        {"ranking": Ranking.MEAN},
        {"ranking": Ranking.FIRST},
        {"references_per_prompt": [], "retrieved_candidates": 0, "gallery": 20},
    ],
    ids=["alignment", "diversification", "verification-mean", "verification-first", "gallery-alone"],
)
def test_the_posters_ablations_are_parameters(asked: dict[str, Any]) -> None:
    assert resolve(Asked(profile=Profile.PAPER, **asked)).strategy is Strategy.G3


@pytest.mark.parametrize(
    ("probability", "within_km", "field"),
    [(0.0, 25, "probability"), (1.1, 25, "probability"), (float("nan"), 25, "probability"), (0.5, 30, "within_km")],
)
def test_abstention_names_a_probability_and_a_threshold(probability: float, within_km: int, field: str) -> None:
    with pytest.raises(Rejected) as caught:
        AbstainBelow(probability, within_km)
    assert caught.value.field == f"abstain_below.{field}"


@pytest.mark.parametrize("radius_km", [0.0, -1.0, float("nan"), float("inf"), 30_000.0])
def test_circles_are_circles(radius_km: float) -> None:
    with pytest.raises(Rejected):
        Circle(Coordinates(0, 0), radius_km)


hints = st.builds(
    Hints,
    st.lists(st.sampled_from(["NL", "DE", "BR"]), unique=True).map(tuple),
    st.none() | st.just(BoundingBox(-10, 170, 10, -170)),
    st.none() | st.builds(Circle, st.just(Coordinates(1, 2)), st.floats(0.1, 20_000)),
)


@given(
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=16),
    temperature=st.floats(0, 2),
    vector=st.sampled_from(RetrievalVector),
    hints=hints,
    excluded=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20)),
)
def test_json_keeps_every_value(
    counts: list[int], temperature: float, vector: RetrievalVector, hints: Hints, excluded: list[str]
) -> None:
    parameters = resolve(
        Asked(
            references_per_prompt=counts,
            temperature=temperature,
            retrieval_vector=vector,
            hints=hints,
            excluded_references=excluded,
            abstain_below=AbstainBelow(0.25, 200),
        )
    )
    assert Parameters.from_json(json.loads(json.dumps(parameters.to_json()))) == parameters


def test_json_tells_different_values_apart() -> None:
    assert replace(PAPER, top_k=3).to_json() != PAPER.to_json()
