"""Equal Earth and the sphere as inputs: against pyproj, finite everywhere, each with its own fingerprint."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from g3_alignment import AlignmentConfiguration, GpsConfiguration, describe, initialise, load, load_gps, save
from g3_alignment.configuration import PROJECTIONS
from g3_alignment.gps import EARTH_RADIUS_M, EQUAL_EARTH_HALF_WIDTH_M, GpsEncoder, equal_earth, spherical
from g3_kit.errors import Rejected
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Proj, Transformer

PLACES = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180, exclude_max=True)), min_size=1, max_size=8)
EDGES = [(90.0, 180.0), (-90.0, -180.0), (90.0, 0.0), (0.0, 180.0), (0.0, -180.0), (0.0, 0.0), (-0.0, 541.0)]
EQUAL_EARTH = Proj(f"+proj=eqearth +R={EARTH_RADIUS_M:.0f}")
GEOCENTRIC = Transformer.from_pipeline("+proj=pipeline +step +proj=cart +R=1")


def rows(coordinates: list[tuple[float, float]]) -> torch.Tensor:
    return torch.tensor(coordinates, dtype=torch.float64)


@settings(max_examples=200, deadline=None)
@given(PLACES)
@example([(90.0, -180.0), (-90.0, 179.99999999999997), (1e-9, -1e-9), (89.999999, 45.0), (0.0, 0.0), (5e-324, 5e-324)])
def test_equal_earth_is_proj_s(coordinates: list[tuple[float, float]]) -> None:
    latitude, longitude = np.array(coordinates).T
    easting, northing = EQUAL_EARTH(longitude, latitude)
    ours = equal_earth(rows(coordinates)).numpy() * EQUAL_EARTH_HALF_WIDTH_M
    np.testing.assert_allclose(ours[:, 0], northing, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(ours[:, 1], easting, rtol=1e-9, atol=1e-300)


@settings(max_examples=200, deadline=None)
@given(PLACES)
@example([(90.0, -180.0), (-90.0, 0.0), (0.0, 90.0), (0.0, 0.0)])
def test_the_sphere_is_proj_s(coordinates: list[tuple[float, float]]) -> None:
    latitude, longitude = np.array(coordinates).T
    expected = GEOCENTRIC.transform(longitude, latitude, np.zeros_like(latitude))
    np.testing.assert_allclose(spherical(rows(coordinates)).numpy(), np.stack(expected, axis=1), rtol=0, atol=1e-12)


def test_scale_and_seams() -> None:
    flat = equal_earth(rows(EDGES))
    assert flat[:, 1].abs().max().item() == pytest.approx(1.0, rel=1e-12)
    assert flat[0, 0].item() == pytest.approx(0.4867, abs=1e-4)
    assert torch.equal(flat[3], flat[4])
    round_ = spherical(rows(EDGES))
    assert torch.equal(round_[3], round_[4])
    east, west = spherical(rows([(10, 180 - 1e-9), (10, -180 + 1e-9)]))
    torch.testing.assert_close(east, west, rtol=0, atol=1e-10)


@pytest.mark.parametrize("projection", ["equal_earth", "spherical"])
@settings(max_examples=40, deadline=None)
@given(coordinates=PLACES)
@example(coordinates=EDGES)
def test_values_and_gradients_are_finite(projection: str, coordinates: list[tuple[float, float]]) -> None:
    torch.manual_seed(0)
    encoder = GpsEncoder(GpsConfiguration(rff_features=8, hidden=16, width=4, projection=projection))
    places = rows(coordinates).requires_grad_()
    vectors = encoder(places)
    vectors.square().sum().backward()
    assert torch.isfinite(vectors).all()
    assert places.grad is not None
    assert torch.isfinite(places.grad).all()


@pytest.mark.parametrize("projection", ["equal_earth", "spherical"])
def test_the_gradient_is_the_slope(projection: str) -> None:
    torch.manual_seed(0)
    of = GpsConfiguration(sigmas=(1.0,), rff_features=8, hidden=16, width=4, projection=projection)
    places = rows([(48.9, 2.3), (-33.9, 151.2)]).requires_grad_()
    assert torch.autograd.gradcheck(GpsEncoder(of).double(), (places,), eps=1e-5, atol=1e-6)


def test_each_projection_saves_loads_and_has_its_fingerprint(
    tiny_configuration: AlignmentConfiguration, tmp_path: Path
) -> None:
    fingerprints, parts = set(), []
    for projection, inputs in PROJECTIONS.items():
        configuration = replace(tiny_configuration, gps=replace(tiny_configuration.gps, projection=projection))
        model, path = initialise(configuration, seed=1).eval(), tmp_path / f"{projection}.safetensors"
        save(model, path)
        stated = describe(path).fingerprint
        fingerprints.add(stated.full)
        parts.append(stated.gps)
        loaded = load(path)
        assert loaded.configuration.gps.projection == projection
        assert loaded.state_dict()["gps_encoder.capsules.0.frequencies"].shape == (32, inputs)
        expected = model.encode_gps(rows(EDGES))
        assert torch.isfinite(expected).all()
        assert torch.equal(loaded.eval().encode_gps(rows(EDGES)), expected)
        assert torch.equal(load_gps(path).eval().encode_gps(rows(EDGES)), expected)
    assert len(fingerprints) == len(PROJECTIONS)
    # the maps share shapes and seeds: the configuration alone tells them apart
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize("wrong", ["plate_carree", "", None, 3, ["spherical"]])
def test_another_name_is_rejected(tiny_configuration: AlignmentConfiguration, wrong: object) -> None:
    document = json.loads(tiny_configuration.to_json())
    document["gps"]["projection"] = wrong
    with pytest.raises(Rejected, match="equal_earth") as caught:
        AlignmentConfiguration.from_json(json.dumps(document))
    assert caught.value.field == "gps.projection"
