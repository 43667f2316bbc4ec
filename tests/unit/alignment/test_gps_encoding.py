"""The projection against pyproj, and no NaN anywhere on Earth."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from g3_alignment import AlignmentModel, GpsConfiguration
from g3_alignment.gps import HALF_WORLD_M, GpsEncoder, web_mercator
from g3_kit.errors import Rejected
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)


def places(*rows: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_projection_equals_pyproj() -> None:
    random = np.random.default_rng(3)
    latitude = np.concatenate([random.uniform(-85.06, 85.06, 20_000), [0, 1e-9, -1e-6, 85.06, -85.06, 45]])
    longitude = np.concatenate([random.uniform(-180, 180, 20_000), [0, -1e-9, 1e-6, -180, 179.999999, 90]])
    easting, northing = Transformer.from_crs(4326, 3857, always_xy=True).transform(longitude, latitude)
    ours = web_mercator(torch.from_numpy(np.stack([latitude, longitude], axis=1))).numpy() * HALF_WORLD_M
    np.testing.assert_allclose(ours[:, 0], northing, rtol=1e-9, atol=0)
    np.testing.assert_allclose(ours[:, 1], easting, rtol=1e-9, atol=0)


def test_latitude_is_clamped_and_longitude_wrapped() -> None:
    projected = web_mercator(places((90, 0), (85.06, 0), (-90, 0), (0, 180), (0, -180), (0, 541), (0, -179), (0, 1)))
    assert torch.equal(projected[0], projected[1])
    assert torch.equal(projected[2], -projected[0])
    assert torch.equal(projected[3], projected[4])
    assert float(projected[3, 1]) == pytest.approx(-1.0, rel=1e-12)
    assert float(projected[5, 1]) == pytest.approx(float(projected[6, 1]), rel=1e-12)
    assert float(projected[7, 1]) == pytest.approx(1 / 180, rel=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(LATITUDES, LONGITUDES), min_size=1, max_size=8))
@example([(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0), (85.06, 0.0), (5e-324, -5e-324), (-0.0, 179.99999999999997)])
def test_every_coordinate_has_a_finite_unit_vector(
    tiny_model: AlignmentModel, coordinates: list[tuple[float, float]]
) -> None:
    vectors = tiny_model.encode_gps(places(*coordinates))
    assert vectors.shape == (len(coordinates), 32)
    assert vectors.dtype == torch.float32
    assert torch.isfinite(vectors).all()
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(coordinates)), atol=1e-5, rtol=0)


@settings(max_examples=50, deadline=None)
@given(latitude=LATITUDES, longitude=LONGITUDES)
@example(latitude=90.0, longitude=180.0)
@example(latitude=-90.0, longitude=-180.0)
def test_gradients_are_finite(latitude: float, longitude: float) -> None:
    torch.manual_seed(0)
    encoder = GpsEncoder(GpsConfiguration(rff_features=8, hidden=16, width=4))
    coordinates = places((latitude, longitude)).requires_grad_()
    encoder(coordinates).square().sum().backward()
    assert coordinates.grad is not None
    assert torch.isfinite(coordinates.grad).all()
    for parameter in encoder.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


def test_the_gradient_is_the_slope() -> None:
    torch.manual_seed(0)
    encoder = GpsEncoder(GpsConfiguration(sigmas=(1.0,), rff_features=8, hidden=16, width=4)).double()
    coordinates = places((48.9, 2.3), (-33.9, 151.2)).requires_grad_()
    assert torch.autograd.gradcheck(encoder, (coordinates,), eps=1e-5, atol=1e-6)


def test_fourier_features_are_as_published() -> None:
    """cos and sin of 2π v·b, here computed plainly with mathematics in double precision."""
    torch.manual_seed(0)
    encoder = GpsEncoder(GpsConfiguration(sigmas=(256.0,), rff_features=16, hidden=8, width=4))
    capsule: Any = encoder.capsules[0]
    seen: list[torch.Tensor] = []
    capsule.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder(places((48.858, 2.294)))
    northing, easting = web_mercator(places((48.858, 2.294)))[0].tolist()
    angles = [2 * math.pi * (b[0] * northing + b[1] * easting) for b in capsule.frequencies.tolist()]
    expected = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
    assert seen[0][0].tolist() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        places((math.nan, 0)),
        places((0, math.inf)),
        places((90.0000001, 0)),
        places((-91, 0)),
        torch.zeros(3, dtype=torch.float64),
        torch.zeros((2, 3), dtype=torch.float64),
    ],
)
def test_what_is_no_coordinate_is_rejected(tiny_model: AlignmentModel, wrong: torch.Tensor) -> None:
    with pytest.raises(Rejected) as caught:
        tiny_model.encode_gps(wrong)
    assert caught.value.field == "coordinates"


def test_no_places_have_no_vectors(tiny_model: AlignmentModel) -> None:
    assert tiny_model.encode_gps(torch.empty((0, 2), dtype=torch.float64)).shape == (0, 32)
