from dataclasses import replace

import numpy as np
import pytest
from g3_choice import DEFAULT, ChoiceModel, Origin, Proposal, Ranking, choose, merged
from g3_choice.features import FEATURES, of_candidates, pool_of
from g3_choice.fitting import fit
from g3_choice.pool_file import PooledPhoto
from g3_choice.weighing import fitted_weights, lesson
from g3_geography import Coordinates, distance_km
from g3_kit.errors import Mismatch, Rejected


def photos(count: int, seed: int) -> list[PooledPhoto]:
    """Three references of five near the truth where retrieval is right, and cosines that often mislead."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        truth = Coordinates(float(generator.uniform(-60, 60)), float(generator.uniform(-180, 179)))
        right = generator.uniform() < 0.85
        proposals = []
        for rank in range(1, 6):
            near = rank in (1, 3, 4) and right
            shift = generator.normal(0, 0.05, 2) if near else generator.uniform(-15, 15, 2)
            at = Coordinates(truth.latitude + float(shift[0]), truth.longitude + float(shift[1]))
            cosine = float(generator.normal(0.5 + 0.03 * near, 0.03))
            proposals.append(
                Proposal(at, Origin.RETRIEVED, cosine, reference_id=str(rank), rank=rank, evidence=0.9 - rank / 100)
            )
        made.append(PooledPhoto(str(number), truth, tuple(proposals), "model", "even" if number % 2 else "odd"))
    return made


@pytest.fixture(scope="module")
def model() -> ChoiceModel:
    return fit(photos(800, 0), data="made up")


def within(model: ChoiceModel, ranking: Ranking, asked: list[PooledPhoto]) -> float:
    chosen = [choose(merged(photo.proposals), ranking, model=model).coordinates for photo in asked]
    return float(np.mean([distance_km(point, photo.truth) < 25 for point, photo in zip(chosen, asked, strict=True)]))


def test_the_consensus_beats_the_arg_max_where_agreement_tells(model: ChoiceModel) -> None:
    fresh = photos(400, 1)
    assert within(model, Ranking.CONSENSUS, fresh) > within(model, Ranking.SIMILARITY, fresh) + 0.1
    assert within(model, Ranking.CONSENSUS, fresh) > 0.8


def test_confidence_and_radius_hold_on_fresh_photos(model: ChoiceModel) -> None:
    fresh = photos(600, 2)
    stated, hits, covered = [], [], []
    for photo in fresh:
        choice = choose(merged(photo.proposals), model=model)
        assert choice.confidence is not None
        assert choice.radius_km is not None
        error = distance_km(choice.coordinates, photo.truth)
        stated.append(choice.confidence[25])
        hits.append(error < 25)
        covered.append(error <= choice.radius_km)
    assert np.mean(stated) == pytest.approx(np.mean(hits), abs=0.05)
    # calibration is by steps: more than half of the photos may share the highest
    sure = np.array(stated) >= np.median(stated)
    assert not sure.all()
    assert np.mean(np.array(hits)[sure]) > np.mean(np.array(hits)[~sure])
    assert np.mean(covered) == pytest.approx(0.8, abs=0.05)


def test_a_fit_tells_what_it_was_fitted_on_and_what_it_is_worth(model: ChoiceModel) -> None:
    fitted = model.fitted
    assert fitted is not None
    assert (fitted.alignment, fitted.data, fitted.photos) == ("model", "made up", 800)
    assert set(fitted.figures) == {"all", "even", "odd"}
    consensus, nearest = fitted.figures["all"]["consensus"], fitted.figures["all"]["nearest_reference"]
    assert consensus["within_percent"][1] > fitted.figures["all"]["similarity"]["within_percent"][1]
    assert consensus["within_percent"] == sorted(consensus["within_percent"])
    assert 80 < nearest["within_percent"][1] < 90
    assert consensus["covered_percent"] == pytest.approx(80, abs=2)
    assert ChoiceModel.model_validate_json(model.model_dump_json()) == model


def test_what_the_data_do_not_speak_of_keeps_its_default(model: ChoiceModel) -> None:
    assert model.weights["lmm_25"] == pytest.approx(DEFAULT.weights["lmm_25"])
    assert model.weights["retrieved_25"] != pytest.approx(DEFAULT.weights["retrieved_25"], abs=0.05)


def test_the_same_photos_give_the_same_weights() -> None:
    lessons = [made for photo in photos(250, 3) if (made := lesson(photo, 25.0)) is not None]
    assert np.array_equal(fitted_weights(lessons), fitted_weights(lessons))


def test_too_little_or_mixed_data_are_refused() -> None:
    few = photos(250, 4)
    with pytest.raises(Rejected, match="at least 200 photos"):
        fit(few[:100], data="few")
    with pytest.raises(Rejected, match="at least 200 photos"):
        fit([replace(photo, proposals=()) for photo in few], data="none")
    with pytest.raises(Mismatch, match="several alignment models"):
        fit([*few[1:], replace(few[0], alignment="another")], data="mixed")
    with pytest.raises(Rejected, match="too few places"):
        fit([replace(photo, truth=Coordinates(1, 2)) for photo in few], data="one place")


def test_features_are_finite_whatever_is_missing() -> None:
    point = Coordinates(0, 0)
    bare = merged([Proposal(point, Origin.LMM), Proposal(Coordinates(5, 5), Origin.RETRIEVED)])
    features = of_candidates(pool_of(bare))
    assert features.shape == (2, len(FEATURES))
    assert np.isfinite(features).all()
    unscored = merged([Proposal(point, Origin.LMM, 0.9), Proposal(Coordinates(5, 5), Origin.LMM, sample=1)])
    assert choose(unscored).coordinates == point
