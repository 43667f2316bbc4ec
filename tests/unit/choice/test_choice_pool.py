import math
from itertools import combinations

import pytest
from g3_choice import Candidate, Origin, Proposal, merged, scored
from g3_choice.pool import MOST
from g3_geography import Coordinates, haversine_km
from g3_kit.errors import Rejected, TooLarge
from hypothesis import given, settings
from hypothesis import strategies as st

# Within a few kilometres across the antimeridian, so that some merge.
spots = st.builds(Coordinates, st.floats(-0.02, 0.02), st.floats(179.98, 180.02))
proposals = st.lists(
    st.builds(
        Proposal,
        spots,
        st.sampled_from(Origin),
        similarity=st.none() | st.floats(-1, 1),
        prompt=st.integers(0, 2),
        sample=st.integers(0, 2),
        rank=st.integers(0, 3),
        evidence=st.none() | st.floats(-1, 1),
    ),
    max_size=25,
)


def at(kilometres_north: float, origin: Origin = Origin.LMM, **fields: object) -> Proposal:
    return Proposal(Coordinates(kilometres_north / 111.195, 0), origin, **fields)  # type: ignore[arg-type]


@given(proposals)
@settings(max_examples=60, deadline=None)
def test_no_two_candidates_are_near_and_no_proposal_is_lost(given_: list[Proposal]) -> None:
    candidates = merged(given_)
    for one, other in combinations(candidates, 2):
        a, b = one.coordinates, other.coordinates
        assert haversine_km(a.latitude, a.longitude, b.latitude, b.longitude) > 1.0
    kept = [source for candidate in candidates for source in candidate.sources]
    assert sorted(map(repr, kept)) == sorted(map(repr, given_))
    for candidate in candidates:
        assert candidate.coordinates == candidate.sources[0].coordinates
        for source in candidate.sources:
            a, b = candidate.coordinates, source.coordinates
            assert haversine_km(a.latitude, a.longitude, b.latitude, b.longitude) <= 1.0


@given(proposals, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_input_changes_nothing(given_: list[Proposal], random: object) -> None:
    shuffled = list(given_)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merged(shuffled) == merged(given_)
    assert merged(shuffled, within_km=0) == merged(given_, within_km=0)


def test_candidates_stand_in_the_order_of_the_method() -> None:
    candidates = merged(
        [
            at(60, Origin.GALLERY, rank=1),
            at(40, Origin.RETRIEVED, rank=2),
            at(50, Origin.RETRIEVED, rank=0),
            at(30, Origin.RETRIEVED, rank=1),
            at(20, prompt=1, sample=0),
            at(10, prompt=0, sample=1),
        ]
    )
    assert [round(candidate.coordinates.latitude * 111.195) for candidate in candidates] == [10, 20, 30, 40, 50, 60]


def test_a_merged_candidate_tells_who_proposed_it() -> None:
    (candidate,) = merged(
        [
            at(0.0, prompt=2, sample=4, similarity=0.3),
            at(0.2, prompt=0, sample=1, similarity=0.5),
            at(0.4, Origin.RETRIEVED, reference_id="a", rank=3, evidence=0.8),
            at(0.6, Origin.RETRIEVED, reference_id="b", rank=1, evidence=0.9),
        ]
    )
    assert (candidate.origin, candidate.similarity) == (Origin.LMM, 0.5)
    assert [candidate.support(origin) for origin in Origin] == [2, 2, 0]
    assert [source.reference_id for source in candidate.sources] == ["", "", "b", "a"]
    assert candidate.evidence == 0.9


def test_a_chain_of_proposals_does_not_carry_a_candidate_away() -> None:
    candidates = merged([at(0.8 * step, sample=step) for step in range(4)])
    assert [len(candidate.sources) for candidate in candidates] == [2, 2]


def test_the_papers_way_merges_equal_coordinates_only() -> None:
    candidates = merged([at(0), at(0.001, sample=1), at(0, sample=2)], within_km=0)
    assert [len(candidate.sources) for candidate in candidates] == [2, 1]


def test_scores_come_by_position_and_a_nan_is_no_score() -> None:
    candidates = scored(merged([at(0), at(10, sample=1), at(20, sample=2)]), [0.1, math.nan, None])
    assert [candidate.similarity for candidate in candidates] == [0.1, None, None]
    with pytest.raises(Rejected, match="one similarity for each"):
        scored(candidates, [0.1])


def test_bad_input_is_refused() -> None:
    with pytest.raises(Rejected, match="within_km"):
        merged([at(0)], within_km=math.nan)
    with pytest.raises(TooLarge, match="at most"):
        merged([at(0)] * (MOST + 1))
    with pytest.raises(Rejected, match="at least one proposal"):
        Candidate(Coordinates(0, 0), ())
    assert merged([]) == ()
