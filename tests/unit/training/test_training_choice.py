from pathlib import Path

import numpy as np
import pytest
from g3_choice import ChoiceModel, Origin, Proposal
from g3_choice.pool_file import PooledPhoto, write_pools
from g3_geography import Coordinates
from g3_training.command import app
from typer.testing import CliRunner


def photo(number: int) -> PooledPhoto:
    generator = np.random.default_rng(number)
    truth = Coordinates(float(generator.uniform(-60, 60)), float(generator.uniform(-180, 179)))
    near = Coordinates(truth.latitude + 0.02, truth.longitude)
    far = Coordinates(-truth.latitude, truth.longitude)
    return PooledPhoto(
        str(number),
        truth,
        (
            Proposal(near, Origin.RETRIEVED, float(generator.normal(0.6, 0.1)), rank=1, evidence=0.8),
            Proposal(far, Origin.RETRIEVED, float(generator.normal(0.5, 0.1)), rank=2, evidence=0.7),
        ),
        "fingerprint",
    )


def test_pools_become_a_model_and_its_figures(tmp_path: Path) -> None:
    write_pools(tmp_path / "first.jsonl", map(photo, range(150)))
    write_pools(tmp_path / "second.jsonl", map(photo, range(150, 300)))
    files = ["--pools", str(tmp_path / "first.jsonl"), "--pools", str(tmp_path / "second.jsonl")]
    found = CliRunner().invoke(app, ["choice", *files, "--out", str(tmp_path / "model.json")])
    assert found.exit_code == 0, found.output
    assert "| consensus |" in found.stdout
    model = ChoiceModel.load(tmp_path / "model.json")
    assert model.fits("fingerprint")
    assert model.fitted is not None
    assert (model.fitted.photos, model.fitted.data) == (300, "first.jsonl, second.jsonl")


@pytest.mark.parametrize(("content", "told"), [("", "at least 200 photos"), ("{}\n", "pools.jsonl, line 1")])
def test_bad_pools_end_with_one_line_and_leave_no_model(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "pools.jsonl").write_text(content)
    found = CliRunner().invoke(app, ["choice", "--pools", str(tmp_path / "pools.jsonl"), "--out", str(tmp_path / "m")])
    assert found.exit_code == 2
    assert told in found.stderr
    assert not (tmp_path / "m").exists()
