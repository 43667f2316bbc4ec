"""Shapes, unit length, batch invariance, preprocessing."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import open_clip
import pytest
import torch
from g3_alignment import (
    AlignmentConfiguration,
    AlignmentModel,
    GpsConfiguration,
    PhotoPreprocessor,
    Preprocessing,
    initialise,
    place_text,
    preset,
)
from g3_alignment.configuration import PRESETS
from g3_kit.errors import Missing, Rejected
from PIL import Image


def photos(count: int, size: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(5))


def rendered(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(width * 1000 + height)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def assert_unit(vectors: torch.Tensor, count: int, dimension: int) -> None:
    assert vectors.shape == (count, dimension)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(count), atol=1e-5, rtol=0)


def test_vectors_have_unit_length(tiny_model: AlignmentModel) -> None:
    for vectors in tiny_model.encode_image(photos(3)):
        assert_unit(vectors, 3, 32)
    assert_unit(tiny_model.encode_text(["a street", "another, much longer than the context " * 9]), 2, 32)
    assert tiny_model.encode_text([]).shape == (0, 32)
    assert tiny_model.encode_image(photos(0)).clip.shape == (0, 32)


def test_the_three_views_are_the_tower_and_its_two_heads(tiny_model: AlignmentModel) -> None:
    vectors = tiny_model.encode_image(photos(2))
    with torch.no_grad():
        features = tiny_model.tower.encode_image(photos(2))
        for seen, head in (
            (vectors.clip, torch.nn.Identity()),
            (vectors.text_aligned, tiny_model.image_text_head),
            (vectors.gps_aligned, tiny_model.image_gps_head),
        ):
            expected = head(features)
            torch.testing.assert_close(seen, expected / expected.norm(dim=1, keepdim=True))


def test_results_do_not_depend_on_the_batch(tiny_model: AlignmentModel) -> None:
    batch = photos(7)
    texts = [place_text(city, "", "France") for city in ("Paris", "Lyon", "Saint-Germain-en-Laye", "Nice")]
    coordinates = torch.tensor([[48.9, 2.3], [-33.9, 151.2], [90.0, 0.0]], dtype=torch.float64)
    for alone, together in (
        (torch.cat([torch.cat(tiny_model.encode_image(photo[None])) for photo in batch]),
         torch.stack(tiny_model.encode_image(batch)).transpose(0, 1).reshape(-1, 32)),
        (torch.cat([tiny_model.encode_text([text]) for text in texts]), tiny_model.encode_text(texts)),
        (torch.cat([tiny_model.encode_gps(row[None]) for row in coordinates]), tiny_model.encode_gps(coordinates)),
    ):  # fmt: skip
        assert float((alone * together).sum(dim=1).min()) >= 0.9999


def test_different_inputs_have_different_vectors(tiny_model: AlignmentModel) -> None:
    image = tiny_model.encode_image(photos(2))
    text = tiny_model.encode_text(["Paris", "Dublin"])
    gps = tiny_model.encode_gps(torch.tensor([[48.9, 2.3], [53.3, -6.3]], dtype=torch.float64))
    for vectors in (*image, text, gps):
        assert not torch.allclose(vectors[0], vectors[1], atol=1e-4)


def test_initialisation_is_seeded_and_leaves_the_generator(tiny_configuration: AlignmentConfiguration) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    one, same, other = (initialise(tiny_configuration, seed).state_dict() for seed in (4, 4, 5))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_the_g3_preset_has_the_papers_shapes() -> None:
    with torch.device("meta"):
        model = AlignmentModel(preset("g3"))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    for head in ("image_text_head", "text_head", "image_gps_head"):
        assert [shapes[f"{head}.{layer}.weight"] for layer in (0, 2)] == [(768, 768), (768, 768)]
    assert [shapes[f"gps_head.{layer}.weight"] for layer in (0, 2)] == [(512, 512), (768, 512)]
    for capsule in range(3):
        name = f"gps_encoder.capsules.{capsule}"
        assert shapes[f"{name}.frequencies"] == (256, 2)
        layers = [shapes[f"{name}.layers.{layer}.weight"] for layer in (0, 2, 4, 6)]
        assert layers == [(1024, 512), (1024, 1024), (1024, 1024), (512, 1024)]
    assert "gps_encoder.capsules.3.frequencies" not in shapes
    assert shapes["tower.visual.proj"] == (1024, 768)
    assert shapes["tower.text_projection"] == (768, 768)
    assert "QuickGELU" in str(model.tower.visual)
    assert model.configuration.gps.sigmas == (1.0, 16.0, 256.0)


def test_temperatures_start_where_the_reference_has_them(tiny_model: AlignmentModel) -> None:
    names = {name for name, _ in tiny_model.named_parameters() if name.startswith("logit_scale")}
    assert names == {"logit_scale_image_text", "logit_scale_image_gps", "logit_scale_text_gps"}
    for name in names:
        assert tiny_model.get_parameter(name).detach().item() == pytest.approx(3.99)


def test_fourier_frequencies_are_frozen_and_saved(tiny_model: AlignmentModel) -> None:
    assert "gps_encoder.capsules.0.frequencies" in tiny_model.state_dict()
    assert not any(name.endswith("frequencies") for name, _ in tiny_model.named_parameters())


def test_the_demo_is_small_and_works() -> None:
    model = initialise(preset("demo"), seed=0)
    assert sum(tensor.numel() for tensor in model.parameters()) < 4_000_000
    for vectors in model.encode_image(photos(2, 64)):
        assert_unit(vectors, 2, 128)
    assert_unit(model.encode_text([place_text("Dublin", "Leinster", "Ireland")]), 1, 128)


@pytest.mark.parametrize("name", PRESETS)
def test_configurations_survive_json(name: str) -> None:
    configuration = preset(name)
    again = AlignmentConfiguration.from_json(configuration.to_json())
    assert again == configuration
    assert again.to_json() == configuration.to_json()


def test_configurations_come_from_open_clips_own_files(tiny_configuration: AlignmentConfiguration) -> None:
    tower = tiny_configuration.tower
    assert AlignmentConfiguration.from_json(json.dumps(tower)).tower == tower
    stated = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "shortest"}
    read = AlignmentConfiguration.from_json(json.dumps({"model_cfg": tower, "preprocess_cfg": stated}))
    assert read.preprocessing == Preprocessing(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"tower": {}, "preprocessing": {}, "gps": {}}', '{"embed_dim": 4}', '{"model_cfg": 3}',
     '{"embed_dim": 4, "vision_cfg": {"image_size": [32, 64]}, "text_cfg": {}}',
     '{"embed_dim": 4, "vision_cfg": {}, "text_cfg": {"hf_model_name": "roberta-base"}}'],
)  # fmt: skip
def test_broken_configurations_are_rejected(text: str) -> None:
    with pytest.raises(Rejected):
        AlignmentConfiguration.from_json(text)


def test_unknown_names_are_missing_and_bad_numbers_rejected(tiny_configuration: AlignmentConfiguration) -> None:
    with pytest.raises(Missing, match="no preset"):
        preset("vit-z")
    with pytest.raises(Missing, match="architecture"):
        AlignmentConfiguration.of_tower("ViT-Z-99")
    with pytest.raises(Rejected, match="sigmas"):
        GpsConfiguration(sigmas=())
    with pytest.raises(Rejected, match="web_mercator"):
        GpsConfiguration(projection="plate_carree")
    with pytest.raises(Rejected, match="input size"):
        AlignmentConfiguration(tiny_configuration.tower, Preprocessing(size=64))
    with pytest.raises(Rejected, match="cannot build"):
        initialise(AlignmentConfiguration.of_tower({**tiny_configuration.tower, "surprise": 1}), seed=0)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(224, 224), (500, 333), (333, 500), (1024, 225), (64, 48), (225, 224), (31, 77)])
def test_preprocessing_equals_open_clips(size: tuple[int, int], interpolation: str) -> None:
    ours = Preprocessing(224, interpolation=interpolation)
    theirs = open_clip.image_transform(224, is_train=False, interpolation=interpolation)
    image = rendered(*size)
    assert torch.equal(PhotoPreprocessor(ours).pixels(image), theirs(image))


def test_preprocessing_serves_many_threads() -> None:
    preprocessor = PhotoPreprocessor(Preprocessing(32))
    images = [rendered(40 + n, 90 - n) for n in range(40)]
    expected = [preprocessor.pixels(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for seen, alone in zip(pool.map(preprocessor.pixels, images), expected, strict=True):
            assert torch.equal(seen, alone)


def test_place_texts() -> None:
    assert place_text("Dublin", "Leinster", "Ireland") == "A street view photo taken in Dublin, Leinster, Ireland"
    assert place_text("", " ", "Ireland") == "A street view photo taken in Ireland"
    with pytest.raises(Rejected):
        place_text("", "", "")
