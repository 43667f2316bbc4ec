"""The packaged model is the one that was measured, and it places rendered photos."""

import hashlib

import numpy as np
import torch
from g3_alignment import PhotoPreprocessor, describe, load, load_gps, preset
from g3_geography import distances_km
from g3_world import models, photo, places
from g3_world.sampling import CitySet
from PIL import Image


def test_the_file_is_the_one_that_is_pinned() -> None:
    assert hashlib.sha256(models.ALIGNMENT.read_bytes()).hexdigest() == models.ALIGNMENT_SHA256
    described = describe(models.ALIGNMENT)
    assert described.fingerprint.full == models.ALIGNMENT_FINGERPRINT
    assert described.trained
    assert described.configuration == preset("demo")
    assert models.ALIGNMENT.stat().st_size < 7_000_000
    card = models.ALIGNMENT.with_name("alignment.md").read_text()
    assert models.ALIGNMENT_SHA256 in card
    assert models.ALIGNMENT_FINGERPRINT in card


def test_it_places_photos_that_it_has_never_seen() -> None:
    model = load(models.ALIGNMENT, sha256=models.ALIGNMENT_SHA256)
    preprocessor = PhotoPreprocessor(model.configuration.preprocessing)
    cities = CitySet(25)

    def vectors(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        spots = places(count, seed, cities)
        photos = [photo(spot.latitude, spot.longitude, (seed << 32) | i) for i, spot in enumerate(spots)]
        encoded = model.encode_image(torch.stack([preprocessor.pixels(Image.fromarray(image)) for image in photos]))
        return encoded.clip, encoded.gps_aligned, np.array([(spot.latitude, spot.longitude) for spot in spots])

    known, _, references = vectors(200, seed=101)
    asked, aligned, truth = vectors(60, seed=102)
    nearest = references[(asked @ known.T).argmax(dim=1).numpy()]
    assert (distances_km(*truth.T, *nearest.T) < 200).mean() > 0.6
    gallery = load_gps(models.ALIGNMENT).encode_gps(torch.from_numpy(references))
    chosen = references[(aligned @ gallery.T).argmax(dim=1).numpy()]
    assert (distances_km(*truth.T, *chosen.T) < 200).mean() > 0.6


def test_the_lmm_is_the_one_of_its_card_and_all_weights_are_small() -> None:
    card = models.LMM.with_name("lmm.md").read_text()
    files = sorted(models.LMM.glob("*.safetensors"))
    assert files
    for file in files:
        assert hashlib.sha256(file.read_bytes()).hexdigest() in card
        assert file.stat().st_size < 10_000_000
    assert sum(file.stat().st_size for file in (*files, models.ALIGNMENT)) <= 20_000_000
