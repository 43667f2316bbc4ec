"""Profiles, ranges and what this release does not do."""

import json
from dataclasses import replace
from typing import Any

import pytest
from g3_geography import BoundingBox, Coordinates
from g3_kit.errors import NotYet, Rejected
from g3_orchestrator.parameters import DEFAULT, PAPER, Asked, Circle, Hints, Parameters, resolve
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
        ({"references_per_prompt": [], "retrieved_candidates": 0}, "retrieved_candidates"),
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


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"strategy": Strategy.IMG2LOC}, "strategy"),
        ({"strategy": Strategy.KNN}, "strategy"),
        ({"strategy": Strategy.GALLERY}, "strategy"),
        ({"prompt_order": PromptOrder.IMAGE_FIRST}, "prompt_order"),
        ({"gallery": 1}, "gallery"),
        ({"ranking": Ranking.CONSENSUS}, "ranking"),
        ({"ranking": Ranking.MEAN}, "ranking"),
    ],
)
def test_later_releases_are_not_yet(asked: dict[str, Any], field: str) -> None:
    with pytest.raises(NotYet) as caught:
        resolve(Asked(**asked))
    assert caught.value.field == field


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
        )
    )
    assert Parameters.from_json(json.loads(json.dumps(parameters.to_json()))) == parameters


def test_json_tells_different_values_apart() -> None:
    assert replace(PAPER, top_k=3).to_json() != PAPER.to_json()
