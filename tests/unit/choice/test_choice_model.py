import json
from pathlib import Path

import pytest
from g3_choice import DEFAULT, ChoiceModel, Origin, Proposal, Ranking, choose, merged, model_for
from g3_choice.features import FEATURES
from g3_choice.model import DEMO, LARGEST_BYTES
from g3_geography import Coordinates
from g3_kit.errors import Missing, Rejected
from g3_world.models import ALIGNMENT_FINGERPRINT


def test_the_shipped_model_is_of_the_demos_alignment() -> None:
    model = model_for(ALIGNMENT_FINGERPRINT)
    assert model == ChoiceModel.load(DEMO)
    assert model.fitted is not None
    assert model.fitted.photos > 1000
    assert set(model.calibrations) == set(Ranking)


def test_another_alignment_gets_the_default_weights_and_no_made_up_number() -> None:
    model = model_for("some other model")
    assert model is DEFAULT
    choice = choose(merged([Proposal(Coordinates(1, 2), Origin.LMM, 0.5)]), model=model)
    assert (choice.calibrated, choice.confidence, choice.radius_km) == (False, None, None)


def test_a_given_file_comes_before_the_shipped_one(tmp_path: Path) -> None:
    shipped = ChoiceModel.load(DEMO)
    mine = shipped.model_copy(update={"cluster_km": 40.0})
    mine.save(tmp_path / "mine.json")
    assert model_for(ALIGNMENT_FINGERPRINT, tmp_path / "mine.json").cluster_km == 40.0
    assert model_for("some other model", tmp_path / "mine.json") is DEFAULT


def test_a_file_is_read_back(tmp_path: Path) -> None:
    model = ChoiceModel.load(DEMO)
    model.save(tmp_path / "model.json")
    assert ChoiceModel.load(tmp_path / "model.json") == model
    assert [file.name for file in tmp_path.iterdir()] == ["model.json"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "version"),
        ({"format": "other"}, "format"),
        ({"weights": {"similarity": 1.0}}, "weights must be those of the features"),
        ({"weights": dict.fromkeys(FEATURES, 0.0) | {"similarity": None}}, "weights.similarity"),
        ({"cluster_km": -1}, "cluster_km"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_bad_file_is_refused_by_its_field(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(DEFAULT.model_dump_json()) | change))
    with pytest.raises(Rejected, match=reason):
        ChoiceModel.load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\x00", b"[]", b"x" * (LARGEST_BYTES + 1)])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(Rejected, match=r"model\.json"):
        ChoiceModel.load(path)


def test_no_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"no model of the choice named absent\.json"):
        ChoiceModel.load(tmp_path / "absent.json")


def test_a_calibrated_choice_abstains_below_the_asked_confidence() -> None:
    candidates = merged([Proposal(Coordinates(1, 2), Origin.LMM, 0.5), Proposal(Coordinates(50, 90), Origin.LMM, 0.5)])
    model = ChoiceModel.load(DEMO)
    choice = choose(candidates, model=model)
    assert choice.confidence is not None
    assert choice.radius_km is not None
    assert choice.coverage == 0.8
    assert not choice.abstained
    sure = choice.confidence[200]
    assert choose(candidates, model=model, abstain_below=min(sure + 0.01, 1)).abstained
    assert not choose(candidates, model=model, abstain_below=max(sure - 0.01, 0)).abstained
