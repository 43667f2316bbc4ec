"""One contract for every scorer: the fake and the one on torch."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from g3_alignment import AlignmentConfiguration, GpsConfiguration, initialise, load_gps, preset, save
from g3_kit.errors import Missing, Rejected
from g3_verification.fakes import FakeScorer
from g3_verification.scorer import Scorer
from g3_verification.torch_scorer import TorchScorer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

EDGES = [
    (latitude, longitude)
    for latitude in (-90.0, -89.999999, -85.06, 0.0, -0.0, 5e-324, 85.0511287798066, 89.5, 90.0)
    for longitude in (-180.0, -179.999999999, -0.0, 0.0, 5e-324, 179.99999999999997)
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verification") / "demo.safetensors"
    save(initialise(preset("demo"), seed=3), path)
    return path


@pytest.fixture(scope="module", params=["fake", "torch"])
def scorer(request: pytest.FixtureRequest, checkpoint: Path) -> Scorer:
    return FakeScorer(dimension=16) if request.param == "fake" else TorchScorer(checkpoint, "cpu")


def some_vector(scorer: Scorer, seed: int = 0) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).normal(size=scorer.model.dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_states_its_model(scorer: Scorer) -> None:
    model = scorer.model
    assert len(model.fingerprint) == len(model.gps_fingerprint) == 64
    assert model.fingerprint != model.gps_fingerprint
    assert model.dimension >= 3
    assert model.device == "cpu"
    assert model.configuration
    assert scorer.problem() is None


@settings(max_examples=300, deadline=None)
@given(
    latitude=st.floats(-90, 90, allow_nan=False),
    longitude=st.floats(-180, 180, allow_nan=False, exclude_max=True),
)
def test_every_valid_coordinate_has_a_finite_cosine(scorer: Scorer, latitude: float, longitude: float) -> None:
    similarity = scorer.similarities(some_vector(scorer), np.array([[latitude, longitude]]))
    assert similarity.shape == (1,)
    assert math.isfinite(similarity[0])
    assert -1 - 1e-5 <= similarity[0] <= 1 + 1e-5


def test_the_edges_of_the_map_are_finite(scorer: Scorer) -> None:
    similarities = scorer.similarities(some_vector(scorer), np.array(EDGES))
    assert similarities.shape == (len(EDGES),)
    assert np.isfinite(similarities).all()


def test_neighbours_in_a_call_change_nothing(scorer: Scorer) -> None:
    generator = np.random.default_rng(1)
    places = np.stack([generator.uniform(-90, 90, 37), generator.uniform(-180, 180, 37)], axis=1)
    vector = some_vector(scorer)
    together = scorer.similarities(vector, places)
    alone = np.concatenate([scorer.similarities(vector, places[index : index + 1]) for index in range(len(places))])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert np.ptp(together) > 1e-3, "places that differ must score differently"


def test_more_rows_than_one_pass_takes(scorer: Scorer) -> None:
    places = np.stack([np.linspace(-90, 90, 5001), np.linspace(-180, 179, 5001)], axis=1)
    vector = some_vector(scorer)
    similarities = scorer.similarities(vector, places)
    np.testing.assert_allclose(
        similarities[[0, 2048, 5000]], scorer.similarities(vector, places[[0, 2048, 5000]]), atol=1e-5
    )


def test_vectors_are_of_unit_length_and_give_the_similarities(scorer: Scorer) -> None:
    places = np.array([*EDGES, *np.stack([np.linspace(-90, 90, 3001), np.linspace(-180, 179, 3001)], axis=1).tolist()])
    vectors, query = scorer.vectors(places), some_vector(scorer)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(places), scorer.model.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(vectors @ query, scorer.similarities(query, places), atol=1e-5)


def test_opposite_vectors_score_oppositely(scorer: Scorer) -> None:
    vector, places = some_vector(scorer), np.array([[48.85, 2.29], [-33.9, 151.2]])
    np.testing.assert_allclose(scorer.similarities(vector, places), -scorer.similarities(-vector, places), atol=1e-5)


def test_torch_scores_as_the_whole_model_does(checkpoint: Path) -> None:
    import torch

    model, scorer = initialise(preset("demo"), seed=3), TorchScorer(checkpoint, "cpu")
    places = np.array([[48.85, 2.29], [-33.9, 151.2], [90.0, 0.0]])
    vectors = model.encode_gps(torch.from_numpy(places)).numpy()
    for place, vector in enumerate(vectors):
        assert scorer.similarities(vector, places)[place] == pytest.approx(1.0, abs=1e-5)
    assert scorer.model.configuration == "demo"


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(Rejected):
        TorchScorer(broken, "cpu")
    with pytest.raises(Missing):
        TorchScorer(tmp_path / "absent.safetensors", "cpu")
    with pytest.raises(Rejected, match="SHA-256"):
        TorchScorer(checkpoint, "cpu", sha256="0" * 64)
    with pytest.raises(Rejected, match="warp"):
        TorchScorer(checkpoint, "warp")


@pytest.mark.parametrize("rows", [1, 40, 333])
def test_vectors_equal_the_plain_models_at_full_size(tmp_path: Path, rows: int) -> None:
    """The scorer lays its weights out anew; whatever the number of rows, nothing but float32's rounding may change."""
    small = preset("demo")
    full = AlignmentConfiguration({**small.tower, "embed_dim": 768}, small.preprocessing, GpsConfiguration())
    save(initialise(full, seed=5), tmp_path / "full.safetensors")
    scorer = TorchScorer(tmp_path / "full.safetensors", "cpu")
    dice = np.random.default_rng(rows)
    places = np.column_stack([dice.uniform(-90, 90, rows), dice.uniform(-180, 180, rows)])
    plain = load_gps(tmp_path / "full.safetensors").encode_gps(torch.from_numpy(places)).numpy()
    ours = scorer.vectors(places)
    assert float((plain * ours).sum(axis=1).min()) >= 0.999999
    query = some_vector(scorer)
    assert np.abs(scorer.similarities(query, places) - plain @ query).max() <= 1e-5
