"""Runs that are killed, runs of two processes, caches that are damaged: the same result or a clear refusal."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from g3_alignment import AlignmentModel, load
from g3_kit.errors import Conflict, Mismatch, Missing, Rejected
from g3_training import runs
from g3_training.cache import CachePlan, open_cache
from g3_training.pixels import PixelLoader
from g3_training.processes import Processes
from g3_training.recipe import Recipe
from g3_training.sources import FolderSource, TarSource, WorldSource
from g3_training.training import STATE
from torch import Tensor

from tests.servers.training_runs import RECIPE, features, tiny, write_arrays
from tests.unit.training.conftest import Published

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Trained:
    """The folders that `tests.servers.training_runs` filled, and how often it killed."""

    folder: Path
    kills: int
    cache_kills: int


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    arrays = write_arrays(folder / "arrays", 160)
    done = subprocess.run(
        [sys.executable, "-m", "tests.servers.training_runs", str(folder), str(arrays)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Trained(folder, **json.loads(done.stdout))


def weights(folder: Path) -> dict[str, Tensor]:
    return dict(load(folder / runs.MODEL).state_dict())


def losses(folder: Path) -> dict[str, list[float]]:
    kept = torch.load(folder / STATE, weights_only=True)["state"]
    return {**kept["losses"], "validation": [entry["loss"] for entry in kept["validations"]]}


def test_a_run_killed_at_random_moments_ends_as_an_undisturbed_one(trained: Trained) -> None:
    assert trained.kills >= 4
    undisturbed, killed = trained.folder / "undisturbed", trained.folder / "killed"
    one = losses(undisturbed)
    assert one == losses(killed)
    assert len(one["image_gps"]) > 20
    assert one["image_gps"][-1] < one["image_gps"][0]
    after = weights(killed)
    assert all(tensor.equal(after[name]) for name, tensor in weights(undisturbed).items())
    report = json.loads((killed / "report.json").read_text())
    assert report["numbers"]["ended_because"] == "all epochs are done"
    assert (killed / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("one", "two"), [("undisturbed", "two"), ("towers", "towers-of-two")])
def test_two_processes_equal_one_with_the_same_batch(trained: Trained, one: str, two: str) -> None:
    alone, shared, begun = weights(trained.folder / one), weights(trained.folder / two), tiny().state_dict()
    for name, tensor in alone.items():
        difference = (tensor - shared[name]).abs()
        if name.endswith("in_proj_bias"):
            # attention does not depend on the keys' biases: their gradients are rounding alone, and Adam scales it up
            difference = torch.cat(difference.chunk(3)[::2])
        assert difference.max() < 1e-5, name
    assert losses(trained.folder / one)["validation"] == pytest.approx(
        losses(trained.folder / two)["validation"], abs=1e-5
    )
    assert any(not tensor.equal(begun[name]) for name, tensor in alone.items())


def test_a_cache_killed_at_random_moments_ends_as_an_undisturbed_one(trained: Trained) -> None:
    assert trained.cache_kills >= 2
    whole, killed = trained.folder / "cache", trained.folder / "cache-killed"
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in killed.iterdir() if not path.name.endswith(".part")) == names
    for name in names:
        if name.endswith(".npy"):
            assert (killed / name).read_bytes() == (whole / name).read_bytes()
    one, other = open_cache(whole, tiny()), open_cache(killed, tiny())
    assert (one.coordinates == other.coordinates).all()
    assert (one.text == other.text).all()


def test_a_cache_holds_what_the_towers_give(model: AlignmentModel, published: Published, tmp_path: Path) -> None:
    source = TarSource(published.csv, published.archives, tmp_path)
    plan = CachePlan(shard=7, batch=3, neighbourhood=True, threads=1)
    counts = runs.make_cache(model, source, tmp_path / "cache", plan, Processes("cpu"))
    assert counts["photos"] == 24
    assert counts["rejects"]["a placeholder of 5120 bytes or less"] == 1
    assert sum(counts["rejects"].values()) == 6
    cache = open_cache(tmp_path / "cache", model)
    folder = FolderSource(published.folder, published.csv)
    row_of = {tuple(where): row for row, where in enumerate(folder.table.coordinates.tolist())}
    loader = PixelLoader(folder, model.configuration.preprocessing, threads=1)
    rows = np.array([row_of[tuple(where)] for where in cache.coordinates.tolist()])
    with torch.inference_mode():
        direct = model.tower.encode_image(loader.block(rows).pixels).numpy()
        texts = [folder.table.places[folder.table.place[row]] for row in rows]
        said = model.tower.encode_text(model.tokens([names.text() for names in texts])).numpy()
        longer = model.tower.encode_text(model.tokens([names.text(neighbourhood=True) for names in texts])).numpy()
    loader.close()
    assert cache.images.rows(np.arange(24)) == pytest.approx(direct, abs=1e-5)
    assert cache.texts.rows(cache.text) == pytest.approx(said, abs=1e-5)
    finer = open_cache(tmp_path / "cache", model, neighbourhood=True)
    assert finer.texts.rows(finer.text) == pytest.approx(longer, abs=1e-5)
    assert len(finer.texts) > len(cache.texts)


def test_damaged_stale_and_unfinished_caches_are_refused(model: AlignmentModel, tmp_path: Path) -> None:
    source = WorldSource([write_arrays(tmp_path / "arrays", 20)])
    folder, plan, processes = tmp_path / "cache", CachePlan(shard=8, threads=1), Processes("cpu")
    with pytest.raises(Missing, match="no cache"):
        open_cache(folder, model)
    runs.make_cache(model, source, folder, plan, processes)
    with pytest.raises(Mismatch, match="other towers"):
        open_cache(folder, tiny(seed=2))
    with pytest.raises(Conflict, match="another source"):
        runs.make_cache(model, WorldSource([write_arrays(tmp_path / "b", 20, seed=1)]), folder, plan, processes)
    with pytest.raises(Conflict, match="another towers"):
        runs.make_cache(tiny(seed=2), source, folder, plan, processes)
    whole = open_cache(folder, model).images.rows(np.arange(20))
    shard = folder / "images-00001.npy"
    data = bytearray(shard.read_bytes())
    data[-3] ^= 4
    shard.write_bytes(data)
    with pytest.raises(Rejected, match="images-00001"):
        open_cache(folder, model)
    runs.make_cache(model, source, folder, plan, processes)
    assert (open_cache(folder, model).images.rows(np.arange(20)) == whole).all()
    with pytest.raises(Missing, match="neighbourhood"):
        open_cache(folder, model, neighbourhood=True)


def test_another_run_does_not_go_on_in_the_folder(tmp_path: Path) -> None:
    recipe = Recipe(**{**RECIPE, "epochs": 1})  # type: ignore[arg-type]
    runs.align(tiny(), features(), recipe, runs.Output(tmp_path), Processes("cpu"))
    for model, cache, other in (
        (tiny(seed=2), features(), recipe),
        (tiny(), features(seed=2), recipe),
        (tiny(), features(), Recipe(**{**RECIPE, "epochs": 2})),  # type: ignore[arg-type]
    ):
        with pytest.raises(Conflict, match="run with another"):
            runs.align(model, cache, other, runs.Output(tmp_path), Processes("cpu"))
    (tmp_path / STATE).write_bytes(b"PK half")
    with pytest.raises(Rejected, match="cannot be read"):
        runs.align(tiny(), features(), recipe, runs.Output(tmp_path), Processes("cpu"))


def test_variants_train_what_they_name(tmp_path: Path) -> None:
    recipe = Recipe(**{**RECIPE, "epochs": 1})  # type: ignore[arg-type]
    begun = tiny().state_dict()
    changed = {}
    for variant in ("image", "image-gps", "image-gps-text"):
        runs.align(tiny(), features(), recipe, runs.Output(tmp_path / variant), Processes("cpu"), variant=variant)
        after = weights(tmp_path / variant)
        changed[variant] = {name.split(".")[0] for name, tensor in after.items() if not tensor.equal(begun[name])}
    gps = {"image_gps_head", "gps_encoder", "gps_head", "logit_scale_image_gps"}
    assert changed["image"] == set()
    assert changed["image-gps"] == gps
    assert changed["image-gps-text"] == gps | {"image_text_head", "text_head", "logit_scale_image_text"}


def test_a_run_ends_early_when_validation_gets_no_better(tmp_path: Path) -> None:
    recipe = Recipe(**{**RECIPE, "epochs": 40, "learning_rate": 0.05, "patience": 2})  # type: ignore[arg-type]
    state = runs.align(tiny(), features(), recipe, runs.Output(tmp_path), Processes("cpu"))
    assert "no better validation" in state.finished
    assert state.epoch == state.best_epoch + 2 < 40


def test_accumulated_batches_make_one_step(tmp_path: Path) -> None:
    recipe = Recipe(**{**RECIPE, "epochs": 1, "accumulate": 3})  # type: ignore[arg-type]
    state = runs.align(tiny(), features(), recipe, runs.Output(tmp_path), Processes("cpu"))
    assert state.step == -(-len(state.losses["image_gps"]) // 3)
