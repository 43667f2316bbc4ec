"""What counts as a vector, a candidate, and the same model."""

import math

import numpy as np
import pytest
from g3_kit.errors import G3Error, Mismatch, Rejected, TooLarge, Unavailable
from g3_verification.fakes import FakeScorer
from g3_verification.verification import Verification, unit_vector
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

PARIS, SYDNEY = (48.8566, 2.3522), (-33.8688, 151.2093)
SCORER = FakeScorer()
VERIFICATION = Verification(SCORER)
MODEL = SCORER.model.fingerprint


def wire(vector: NDArray[np.float32] | list[float]) -> bytes:
    return np.asarray(vector, dtype="<f4").tobytes()


PHOTO_OF_PARIS = wire(SCORER.vectors(np.array([PARIS]))[0])


def score(candidates: list[tuple[float, float]]) -> list[float | G3Error]:
    return VERIFICATION.score(PHOTO_OF_PARIS, 8, candidates, MODEL)


def test_the_right_place_wins() -> None:
    paris, sydney = score([PARIS, SYDNEY])
    assert isinstance(sydney, float)
    assert paris == pytest.approx(1.0, abs=1e-6)
    assert sydney < -0.5


@pytest.mark.parametrize(
    ("candidate", "what"),
    [
        ((90.0000001, 0.0), "Latitude"),
        ((-91.0, 0.0), "Latitude"),
        ((0.0, 180.0001), "Longitude"),
        ((0.0, -1e300), "Longitude"),
        ((math.nan, 0.0), "finite"),
        ((0.0, math.inf), "finite"),
        ((-math.inf, math.nan), "finite"),
    ],
)
def test_an_invalid_candidate_is_an_error_of_its_item(candidate: tuple[float, float], what: str) -> None:
    before, refused, after = score([PARIS, candidate, PARIS])
    assert isinstance(refused, Rejected)
    assert what in refused.message
    assert before == after == pytest.approx(1.0, abs=1e-6)


def test_nothing_but_invalid_candidates_is_still_an_answer() -> None:
    outcomes = score([(math.nan, math.nan), (100.0, 200.0)])
    assert [type(outcome) for outcome in outcomes] == [Rejected, Rejected]


def test_both_names_of_the_antimeridian_score_alike() -> None:
    east, west = score([(10.0, 180.0), (10.0, -180.0)])
    assert east == west
    assert isinstance(east, float)


@given(st.lists(st.tuples(st.floats(), st.floats()), min_size=1, max_size=20))
def test_any_doubles_give_a_finite_cosine_or_a_refusal(candidates: list[tuple[float, float]]) -> None:
    outcomes = score(candidates)
    assert len(outcomes) == len(candidates)
    for (latitude, longitude), outcome in zip(candidates, outcomes, strict=True):
        valid = abs(latitude) <= 90 and abs(longitude) <= 180
        if valid:
            assert isinstance(outcome, float)
            assert -1 <= outcome <= 1
        else:
            assert isinstance(outcome, Rejected)


def test_the_number_of_candidates_is_bounded() -> None:
    with pytest.raises(Rejected, match="no candidates"):
        score([])
    assert len(score([PARIS] * 10_000)) == 10_000
    with pytest.raises(TooLarge):
        score([PARIS] * 10_001)


@pytest.mark.parametrize(
    ("values", "dimension"),
    [
        (b"", 0),
        (b"", 8),
        (PHOTO_OF_PARIS[:-1], 8),
        (PHOTO_OF_PARIS + b"\0", 8),
        (PHOTO_OF_PARIS, 7),
        (wire([1.0] + [0.0] * 8), 9),
        (wire([0.0] * 8), 8),
        (wire([0.99] + [0.0] * 7), 8),
        (wire([1e30] * 8), 8),
        (wire([math.nan] + [0.0] * 7), 8),
        (wire([math.inf] + [0.0] * 7), 8),
    ],
)
def test_a_malformed_vector_is_refused(values: bytes, dimension: int) -> None:
    with pytest.raises(Rejected) as caught:
        VERIFICATION.score(values, dimension, [PARIS], MODEL)
    assert caught.value.field == "gps_aligned"


def test_rounding_of_a_unit_vector_is_mended() -> None:
    vector = unit_vector(wire([0.9995] + [0.0] * 7), 8, 8)
    assert vector.dtype == np.float32
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-7)


def test_another_models_vector_is_a_mismatch() -> None:
    with pytest.raises(Mismatch):
        VERIFICATION.score(PHOTO_OF_PARIS, 8, [PARIS], "f" * 64)
    with pytest.raises(Rejected) as caught:
        VERIFICATION.score(PHOTO_OF_PARIS, 8, [PARIS], "")
    assert not isinstance(caught.value, Mismatch)


class NotANumberScorer(FakeScorer):
    """A device gone wrong."""

    def similarities(self, vector: NDArray[np.float32], coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        similarities = super().similarities(vector, coordinates)
        similarities[0] = math.nan
        return similarities


def test_a_broken_devices_nan_never_gets_through() -> None:
    broken = NotANumberScorer()
    first, second = Verification(broken).score(PHOTO_OF_PARIS, 8, [PARIS, SYDNEY], broken.model.fingerprint)
    assert isinstance(first, Unavailable)
    assert isinstance(second, float)
