"""From a choice to a result: what is calibrated is told, what is not is not, and nothing said is lost."""

from dataclasses import replace
from pathlib import Path

import g3_choice
import pytest
from g3_choice import DEFAULT, THRESHOLDS_KM, ChoiceModel, Fitted, Proposal
from g3_choice.confidence import SIGNS, Calibration, Curve
from g3_geography import Coordinates
from g3_kit.errors import Missing, Rejected
from g3_orchestrator.fakes import FakeNamer
from g3_orchestrator.judging import MOST_TOLD, Judge, fingerprint, merged
from g3_orchestrator.model import GalleryPoint, Release, Result, Retrieval
from g3_orchestrator.parameters import AbstainBelow, Asked, resolve
from g3_orchestrator.states import Origin, Ranking, Strategy

RETRIEVAL = Retrieval((), (), b"", Release("alignment-1", "gps-1", "photos_v1"))
SURE = {1: 0.1, 25: 0.4, 200: 0.6, 750: 0.8, 2500: 0.95}


def curve(share: float) -> Curve:
    return Curve(weights=dict.fromkeys(SIGNS, 0.0), scores=(0.0,), shares=(share,))


@pytest.fixture
def fitted(tmp_path: Path) -> tuple[Path, ChoiceModel]:
    """A model whose confidence is the same for every answer."""
    calibration = Calibration(curves={km: curve(SURE[km]) for km in THRESHOLDS_KM}, coverage=0.9, level=0.6)
    model = ChoiceModel(
        weights=DEFAULT.weights,
        cluster_km=DEFAULT.cluster_km,
        calibrations={g3_choice.Ranking.CONSENSUS: calibration},
        fitted=Fitted(alignment="alignment-1", data="a test", photos=1, places=1),
    )
    model.save(tmp_path / "choice.json")
    return tmp_path / "choice.json", model


def judged(judge: Judge, asked: Asked, retrieval: Retrieval = RETRIEVAL) -> Result:
    parameters = resolve(asked)
    proposals = [
        Proposal(Coordinates(10, 20), g3_choice.Origin.LMM, similarity=0.4, prompt=0, sample=0),
        Proposal(Coordinates(10.001, 20), g3_choice.Origin.LMM, similarity=0.4, prompt=1, sample=0),
        Proposal(Coordinates(-30, 140), g3_choice.Origin.RETRIEVED, similarity=0.3, reference_id="r", rank=1),
    ]
    return judge.result(merged(proposals, parameters), retrieval, parameters)


def test_a_model_that_fits_the_alignment_states_its_confidence(fitted: tuple[Path, ChoiceModel]) -> None:
    path, model = fitted
    made = judged(Judge(FakeNamer(), path), Asked())
    assert {each.km: each.probability for each in made.confidence} == pytest.approx(SURE)
    assert made.radius_km == pytest.approx(200)
    assert made.coverage == 0.9
    assert made.choice == fingerprint(model)
    assert sum(place.probability or 0 for place in made.places) == pytest.approx(1)


@pytest.mark.parametrize(
    ("below", "abstained"),
    [(AbstainBelow(0.5, 25), True), (AbstainBelow(0.4, 25), False), (AbstainBelow(0.99, 2500), True), (None, False)],
)
def test_an_answer_less_sure_than_asked_abstains_and_is_given_all_the_same(
    fitted: tuple[Path, ChoiceModel], below: AbstainBelow | None, abstained: bool
) -> None:
    made = judged(Judge(FakeNamer(), fitted[0]), Asked(abstain_below=below))
    assert made.abstained is abstained
    assert made.places[0].coordinates == made.coordinates


def test_a_model_of_another_alignment_states_nothing_and_whoever_wanted_to_be_sure_is_not(
    fitted: tuple[Path, ChoiceModel],
) -> None:
    other = replace(RETRIEVAL, release=Release("alignment-2", "gps-2", "photos_v1"))
    made = judged(Judge(FakeNamer(), fitted[0]), Asked(abstain_below=AbstainBelow(0.01, 2500)), other)
    assert (made.confidence, made.radius_km, made.coverage) == ((), None, None)
    assert made.abstained
    assert made.choice == fingerprint(DEFAULT)


def test_a_ranking_that_is_not_calibrated_states_nothing(fitted: tuple[Path, ChoiceModel]) -> None:
    assert judged(Judge(FakeNamer(), fitted[0]), Asked(ranking=Ranking.MEAN)).confidence == ()


def test_img2loc_is_not_judged_by_a_model_of_verified_pools(fitted: tuple[Path, ChoiceModel]) -> None:
    made = judged(Judge(FakeNamer(), fitted[0]), Asked(strategy=Strategy.IMG2LOC))
    assert (made.confidence, made.choice, made.places[0].probability) == ((), "", None)


def test_a_file_that_is_no_model_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        Judge(FakeNamer(), tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(Rejected):
        Judge(FakeNamer(), tmp_path / "bad.json")


def test_every_answer_of_the_lmm_is_told_however_many_candidates_there_are() -> None:
    points = [
        Proposal(
            Coordinates(-60 + row * 0.4, row * 0.5), g3_choice.Origin.GALLERY, similarity=0.9 - row / 1000, rank=row
        )
        for row in range(1, 301)
    ]
    worst = Proposal(Coordinates(80, 170), g3_choice.Origin.LMM, similarity=-0.9)
    parameters = resolve(Asked(ranking=Ranking.SIMILARITY))
    made = Judge(FakeNamer()).result(merged([*points, worst], parameters), RETRIEVAL, parameters)
    assert len(made.candidates) == MOST_TOLD + 1
    assert (made.candidates[-1].origin, made.candidates[-1].rank) == (Origin.LMM, 301)


def test_points_of_the_gallery_within_a_kilometre_are_one_place() -> None:
    near = (GalleryPoint(Coordinates(10, 20), 0.5), GalleryPoint(Coordinates(10.005, 20), 0.4))
    far = (GalleryPoint(Coordinates(50, 60), 0.3),)
    made = Judge(FakeNamer()).at_once(replace(RETRIEVAL, gallery=near + far), resolve(Asked(strategy=Strategy.GALLERY)))
    assert [len(one.sources) for one in made.candidates] == [2, 1]
    assert (made.coordinates, made.similarity) == (Coordinates(10, 20), 0.5)
