import math

import pytest
from g3_choice import Candidate, Origin, Proposal, Ranking, choose, merged
from g3_geography import Coordinates, haversine_km
from g3_kit.errors import Missing, Rejected
from hypothesis import given, settings
from hypothesis import strategies as st

points = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180, exclude_max=True))
near = st.builds(Coordinates, st.floats(-1, 1), st.floats(179, 181))
proposals = st.lists(
    st.builds(
        Proposal,
        points | near,
        st.sampled_from(Origin),
        similarity=st.none() | st.floats(-1, 1),
        prompt=st.integers(0, 3),
        sample=st.integers(0, 4),
        rank=st.integers(0, 20),
        evidence=st.none() | st.floats(-1, 1),
    ),
    min_size=1,
    max_size=25,
)


def said(latitude: float, longitude: float, similarity: float | None, sample: int = 0) -> Proposal:
    return Proposal(Coordinates(latitude, longitude), Origin.LMM, similarity, sample=sample)


@pytest.mark.parametrize("ranking", Ranking)
@given(given_=proposals, random=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_input_changes_nothing(ranking: Ranking, given_: list[Proposal], random: object) -> None:
    candidates = list(merged(given_))
    if ranking is Ranking.SIMILARITY and all(candidate.similarity is None for candidate in candidates):
        return
    expected = choose(candidates, ranking)
    random.shuffle(candidates)  # type: ignore[attr-defined]
    assert choose(candidates, ranking) == expected


@pytest.mark.parametrize("ranking", Ranking)
@given(given_=proposals)
@settings(max_examples=40, deadline=None)
def test_the_parts_of_a_choice_agree(ranking: Ranking, given_: list[Proposal]) -> None:
    candidates = merged(given_)
    if ranking is Ranking.SIMILARITY and all(candidate.similarity is None for candidate in candidates):
        return
    choice = choose(candidates, ranking, top_k=100)
    assert [one.rank for one in choice.ranked] == list(range(1, len(choice.ranked) + 1))
    assert sum(one.probability for one in choice.ranked) == pytest.approx(1)
    assert sum(place.probability for place in choice.places) == pytest.approx(1)
    members = [rank for place in choice.places for rank in place.members]
    assert sorted(members) == [one.rank for one in choice.ranked]
    for number, place in enumerate(choice.places):
        for rank in place.members:
            one = choice.ranked[rank - 1]
            assert one.place == number
            a, b = one.candidate.coordinates, place.coordinates
            assert haversine_km(a.latitude, a.longitude, b.latitude, b.longitude) <= place.radius_km + 1e-6
    if ranking is not Ranking.MEAN:
        assert choice.coordinates == choice.places[0].coordinates == choice.ranked[0].candidate.coordinates
    assert (choice.confidence, choice.radius_km, choice.coverage, choice.abstained) == (None, None, None, False)


def test_similarity_is_the_arg_max_and_ties_stand_in_the_order_of_the_method() -> None:
    candidates = merged(
        [said(40, 0, 0.2, 3), said(10, 0, 0.5, 0), said(20, 0, 0.9, 2), said(30, 0, 0.9, 1), said(50, 0, None, 4)]
    )
    choice = choose(candidates, Ranking.SIMILARITY)
    assert [one.candidate.coordinates.latitude for one in choice.ranked] == [30, 20, 10, 40]


def test_a_nan_never_wins() -> None:
    candidates = merged([said(10, 0, math.nan), said(20, 0, -0.9, 1)])
    assert choose(candidates, Ranking.SIMILARITY).coordinates == Coordinates(20, 0)
    with pytest.raises(Missing, match="no candidate could be scored"):
        choose(merged([said(10, 0, math.nan)]), Ranking.SIMILARITY)


def test_first_is_the_first_prompts_first_sample() -> None:
    candidates = merged([said(10, 0, 0.9, 1), said(20, 0, None, 0)])
    assert choose(candidates, Ranking.FIRST).coordinates == Coordinates(20, 0)


def test_mean_is_on_the_sphere_and_counts_voices() -> None:
    across = choose(merged([said(0, 179, None), said(0, -179, None, 1)]), Ranking.MEAN)
    assert across.coordinates.latitude == pytest.approx(0)
    assert abs(across.coordinates.longitude) == pytest.approx(180)
    twice = choose(merged([said(0, 0, None), said(0, 0, None, 1), said(0, 3, None, 2)]), Ranking.MEAN)
    assert twice.coordinates.longitude == pytest.approx(1, abs=1e-3)
    assert [one.candidate.coordinates.longitude for one in twice.ranked] == [0, 3]


def test_a_mean_that_cancels_out_is_a_candidate() -> None:
    choice = choose(merged([said(0, 0, None), said(0, -180, None, 1)]), Ranking.MEAN)
    assert choice.coordinates == Coordinates(0, 0)


def test_consensus_follows_agreement_over_a_lone_voice() -> None:
    paris = [said(48.85 + step / 50, 2.35, 0.5, step) for step in range(4)]
    choice = choose(merged([*paris, said(-33.9, 151.2, 0.52, 4)]), Ranking.CONSENSUS, top_k=2)
    assert choice.coordinates.latitude == pytest.approx(48.87, abs=0.03)
    assert choice.places[0].members == (1, 2, 3, 4)
    assert choice.places[0].radius_km < 10
    assert choice.places[1].coordinates == Coordinates(-33.9, 151.2)


def test_top_k_counts_places_not_candidates() -> None:
    candidates = merged([said(latitude, 0, 0.5, latitude) for latitude in range(0, 50, 10)])
    choice = choose(candidates, top_k=2)
    assert (len(choice.places), len(choice.ranked)) == (2, 5)


def test_nothing_and_bad_settings_are_refused() -> None:
    candidates: tuple[Candidate, ...] = merged([said(0, 0, 0.1)])
    with pytest.raises(Missing, match="no candidates"):
        choose([])
    with pytest.raises(Rejected, match="top_k"):
        choose(candidates, top_k=0)
    with pytest.raises(Rejected, match="abstain_below"):
        choose(candidates, abstain_below=math.nan)
    with pytest.raises(Rejected, match="abstain_within_km"):
        choose(candidates, abstain_below=0.5, abstain_within_km=100)
