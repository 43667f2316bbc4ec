"""What every `Encoder` keeps to: the fake that tests use and the one on torch."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from g3_alignment import fingerprint_of, initialise, preset
from g3_embedding.encoder import Encoder, Floats, ImageVectors
from g3_embedding.fakes import FakeEncoder
from g3_embedding.torch_encoder import TorchEncoder
from PIL import Image

POINTS = np.array([[48.85, 2.35], [-33.9, 151.2], [90.0, 0.0], [0.0, -180.0]], dtype=np.float64)
TEXTS = ["A street view photo taken in Paris, France", "北京", "x " * 900]


def torch_encoder() -> Encoder:
    model = initialise(preset("demo"), seed=3)
    return TorchEncoder(model, fingerprint_of(model))


@pytest.fixture(scope="module", params=[FakeEncoder, torch_encoder], ids=["fake", "torch"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    make: Callable[[], Encoder] = request.param
    return make()


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    generator = np.random.default_rng(1)
    sizes = [(64, 64), (97, 40), (33, 120), (200, 150), (640, 480)]
    return [Image.fromarray(generator.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def encoded(encoder: Encoder, photos: Sequence[Image.Image]) -> ImageVectors:
    return encoder.encode_images([encoder.stage(encoder.pixels(photo)) for photo in photos])


def assert_unit_rows(rows: Floats, count: int, encoder: Encoder) -> None:
    assert rows.dtype == np.float32
    assert rows.shape == (count, encoder.model.dimension)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


def test_the_model_is_described(encoder: Encoder) -> None:
    model = encoder.model
    assert len(model.fingerprint) == len(model.gps_fingerprint) == 64
    assert model.fingerprint != model.gps_fingerprint
    assert model.configuration
    assert model.device


def test_pixels_have_one_shape_whatever_the_photo(encoder: Encoder, photos: list[Image.Image]) -> None:
    shapes = {encoder.pixels(photo).shape for photo in photos}
    assert len(shapes) == 1
    assert shapes.pop()[0] == 3
    assert encoder.pixels(photos[0]).dtype == np.float32


def test_vectors_are_unit_float32_rows(encoder: Encoder, photos: list[Image.Image]) -> None:
    for view in encoded(encoder, photos):
        assert_unit_rows(view, len(photos), encoder)
    assert_unit_rows(encoder.encode_texts(TEXTS), len(TEXTS), encoder)
    assert_unit_rows(encoder.encode_coordinates(POINTS), len(POINTS), encoder)


def test_a_batch_gives_what_each_item_gives_alone(encoder: Encoder, photos: list[Image.Image]) -> None:
    together = encoded(encoder, photos)
    for row, photo in enumerate(photos):
        for many, one in zip(together, encoded(encoder, [photo]), strict=True):
            assert float(many[row] @ one[0]) >= 0.9999
    rows: list[tuple[Floats, Floats]] = [
        (encoder.encode_texts(TEXTS), np.concatenate([encoder.encode_texts([text]) for text in TEXTS])),
        (encoder.encode_coordinates(POINTS), np.concatenate([encoder.encode_coordinates(p[None]) for p in POINTS])),
    ]
    for many, single in rows:
        assert float(np.einsum("nd,nd->n", many, single).min()) >= 0.9999


def test_other_content_has_other_vectors(encoder: Encoder, photos: list[Image.Image]) -> None:
    for view in encoded(encoder, photos):
        assert len(np.unique(view, axis=0)) == len(photos)
    assert len(np.unique(encoder.encode_texts(TEXTS), axis=0)) == len(TEXTS)
    assert len(np.unique(encoder.encode_coordinates(POINTS), axis=0)) == len(POINTS)
