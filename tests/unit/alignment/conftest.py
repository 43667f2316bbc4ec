"""A model small enough to build many times."""

import pytest
from g3_alignment import AlignmentConfiguration, AlignmentModel, GpsConfiguration, initialise

TINY_TOWER = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session")
def tiny_configuration() -> AlignmentConfiguration:
    gps = GpsConfiguration(rff_features=32, hidden=48, width=24)
    return AlignmentConfiguration.of_tower(TINY_TOWER, gps)


@pytest.fixture(scope="session")
def tiny_model(tiny_configuration: AlignmentConfiguration) -> AlignmentModel:
    """Shared: tests that change weights make their own."""
    return initialise(tiny_configuration, seed=1)
