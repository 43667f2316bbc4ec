import numpy as np
import pytest
from g3_choice import THRESHOLDS_KM
from g3_choice.calibrating import Answers, calibrated, covering_level
from g3_choice.confidence import FARTHEST_KM, NEAREST_KM, SIGNS, Calibration, Curve, radius_at, reached_at
from g3_choice.figures import calibration_error
from g3_kit.errors import Rejected
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

confidences = st.lists(st.floats(0, 1), min_size=5, max_size=5).map(
    lambda shares: dict(zip(THRESHOLDS_KM, sorted(shares), strict=True))
)


@given(confidences, st.floats(0.001, 1))
def test_the_radius_is_where_the_confidence_reaches_the_level(confidence: dict[int, float], level: float) -> None:
    radius = radius_at(confidence, level)
    assert NEAREST_KM <= radius <= FARTHEST_KM + 1e-6
    assert reached_at(confidence, radius * (1 + 1e-9)) >= level - 1e-6
    assert reached_at(confidence, radius * (1 - 1e-6)) <= level + 1e-6


def test_between_thresholds_confidence_is_read_off_a_line() -> None:
    confidence = {1: 0.2, 25: 0.6, 200: 0.8, 750: 0.9, 2500: 1.0}
    assert [reached_at(confidence, threshold) for threshold in THRESHOLDS_KM] == pytest.approx(
        [0.2, 0.6, 0.8, 0.9, 1.0]
    )
    assert reached_at(confidence, 5) == pytest.approx(0.4)
    assert radius_at(confidence, 0.4) == pytest.approx(5)
    assert radius_at(confidence, 0.0) == NEAREST_KM
    with pytest.raises(Rejected, match="level"):
        radius_at(confidence, 1.1)


def answers(count: int, seed: int) -> tuple[Answers, np.ndarray]:
    """Photos whose one sign says how likely they are right, and that likelihood."""
    generator = np.random.default_rng(seed)
    told = generator.normal(size=count)
    likely = 1 / (1 + np.exp(-2 * told))
    errors = np.where(generator.uniform(size=count) < likely, generator.uniform(1, 25, count), 5_000.0)
    signs = np.zeros((count, len(SIGNS)))
    signs[:, 0], signs[:, 1] = 1.0, told
    return Answers(signs, errors), likely


def test_a_stated_confidence_is_the_share_that_is_right() -> None:
    fitted, fresh = answers(4000, 0)[0], answers(4000, 1)
    calibration = calibrated(fitted)
    stated = np.array([calibration.confidence(told)[25] for told in fresh[0].signs])
    assert calibration_error(stated, fresh[0].errors_km < 25) < 0.03
    assert np.abs(stated - fresh[1]).mean() < 0.04
    assert 0 < stated.min() < stated.max() < 1


def test_the_radius_covers_what_it_says_on_fresh_photos() -> None:
    calibration = calibrated(answers(4000, 0)[0])
    fresh = answers(4000, 1)[0]
    radii = np.array([calibration.radius_km(calibration.confidence(told)) for told in fresh.signs])
    assert (fresh.errors_km <= radii).mean() == pytest.approx(0.8, abs=0.03)
    # not by one radius for all
    assert np.quantile(radii, 0.9) > 10 * np.quantile(radii, 0.1)


def test_confidence_never_falls_with_the_distance() -> None:
    calibration = calibrated(answers(500, 0)[0])
    for told in answers(50, 1)[0].signs:
        shares = list(calibration.confidence(told).values())
        assert shares == sorted(shares)


def test_too_few_photos_for_the_coverage_give_the_widest_radius() -> None:
    assert covering_level([dict.fromkeys(THRESHOLDS_KM, 0.5)] * 3, np.array([1.0, 2.0, 3.0])) == 1.0


def test_answers_that_are_all_right_or_all_wrong_are_not_certain() -> None:
    signs = np.ones((300, len(SIGNS)))
    shares = calibrated(Answers(signs, np.full(300, 0.5))).confidence(signs[0])
    assert 0.9 < shares[1] < 1
    shares = calibrated(Answers(signs, np.full(300, 9_999.0))).confidence(signs[0])
    assert 0 < shares[2500] < 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"scores": (1.0, 0.0)},
        {"shares": (0.6, 0.5)},
        {"shares": (0.5,)},
        {"shares": (0.5, 1.5)},
        {"weights": {"bias": 1.0}},
    ],
)
def test_a_curve_that_is_none_is_refused(change: dict[str, object]) -> None:
    good: dict[str, object] = {"weights": dict.fromkeys(SIGNS, 0.0), "scores": (0.0, 1.0), "shares": (0.5, 0.6)}
    curve = Curve.model_validate(good)
    with pytest.raises(ValidationError):
        Curve.model_validate(good | change)
    with pytest.raises(ValidationError, match="curves must be those of"):
        Calibration(curves={25: curve}, coverage=0.8, level=0.5)
