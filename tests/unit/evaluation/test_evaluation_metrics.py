"""Figures: strict thresholds, Wilson intervals, a seeded paired bootstrap by author."""

import math

import numpy as np
import pytest
from g3_evaluation.metrics import THRESHOLDS_KM, accuracy, difference, wilson
from g3_kit.errors import Rejected
from hypothesis import given
from hypothesis import strategies as st


def test_a_threshold_is_strict() -> None:
    distances = np.array([float(np.nextafter(km, 0)) for km in THRESHOLDS_KM] + list(THRESHOLDS_KM))
    found = accuracy(distances)
    # Just below the first threshold is within all five; the first threshold itself is within the other four; …
    assert [share.value for share in found.within] == [count / 10 for count in (1, 3, 5, 7, 9)]


def test_failures_are_failures_at_every_threshold() -> None:
    found = accuracy(np.array([0.0, 0.5, math.inf, math.inf]))
    assert [share.value for share in found.within] == [0.5] * 5
    assert (found.n, found.failures, found.median_km) == (4, 2, math.inf)
    assert accuracy(np.array([1.0, 3.0, math.inf])).median_km == 3.0


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Newcombe (1998), table I, method 3 (score, no continuity correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_the_published_interval(successes: int, n: int, low: float, high: float) -> None:
    share = wilson(successes, n)
    assert share.low == pytest.approx(low, abs=5e-5)
    assert share.high == pytest.approx(high, abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share(drawn: tuple[int, int]) -> None:
    successes, n = drawn
    share = wilson(successes, n)
    assert 0.0 <= share.low <= share.value <= share.high <= 1.0
    other = wilson(n - successes, n)
    assert share.low == pytest.approx(1 - other.high, abs=1e-12)


def test_what_is_no_share_or_no_distance_is_refused() -> None:
    for successes, n in ((0, 0), (2, 1), (-1, 3)):
        with pytest.raises(Rejected):
            wilson(successes, n)
    for bad in ([], [math.nan], [-1.0]):
        with pytest.raises(Rejected):
            accuracy(np.array(bad))


def test_a_difference_is_seeded_paired_and_holds_the_truth() -> None:
    dice = np.random.default_rng(3)
    worse = dice.uniform(0, 400, 800)
    better = worse * 0.7
    authors = [""] * 800
    first, again = (difference(better, worse, authors, seed=5) for _ in range(2))
    assert first == again
    assert first != difference(better, worse, authors, seed=6)
    at_200 = first.within[2]
    assert at_200.value == pytest.approx(float(np.mean(better < 200) - np.mean(worse < 200)))
    assert 0 < at_200.low < at_200.value < at_200.high
    nothing = difference(worse, worse, authors).within
    assert all((share.value, share.low, share.high) == (0.0, 0.0, 0.0) for share in nothing)
    assert difference(worse, better, authors, seed=5).within[2].value == -at_200.value


def test_photos_of_one_author_widen_the_interval() -> None:
    # Ten authors of eighty photos each, all of an author right or wrong together: ten photos' worth of evidence.
    right = np.repeat(np.arange(10) % 2, 80)
    better, worse = np.where(right, 0.0, 9e3), np.full(800, 9e3)
    alone = difference(better, worse, [""] * 800, seed=1).within[0]
    together = difference(better, worse, [f"author {row // 80}" for row in range(800)], seed=1).within[0]
    assert alone.value == together.value == 0.5
    assert alone.high - alone.low < 0.08
    assert together.high - together.low > 0.4


def test_a_bootstrap_is_a_normal_one_where_that_is_known() -> None:
    dice = np.random.default_rng(0)
    better, worse = (np.where(dice.random(2000) < share, 0.0, 9e3) for share in (0.5, 0.4))
    share = difference(better, worse, [""] * 2000).within[0]
    gains = (better < 1).astype(float) - (worse < 1).astype(float)
    half = 1.96 * gains.std() / math.sqrt(2000)
    assert share.high - share.low == pytest.approx(2 * half, rel=0.1)


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(Rejected):
        difference(np.zeros(3), np.zeros(2), ["", "", ""])
