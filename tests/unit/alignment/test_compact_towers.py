"""The demo's own towers."""

from pathlib import Path

import pytest
import torch
from g3_alignment import AlignmentConfiguration, initialise, load, preset, save
from g3_kit.errors import Rejected


def test_a_texts_vector_does_not_depend_on_its_neighbours() -> None:
    model = initialise(preset("demo"), seed=0)
    texts = ["A street view photo taken in Rome", "A street view photo taken in Llanfairpwllgwyngyll, Wales, Britain"]
    together = model.encode_text(texts)
    for row, text in enumerate(texts):
        assert torch.allclose(together[row], model.encode_text([text])[0], atol=1e-6)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_where_a_thing_stands_counts() -> None:
    model = initialise(preset("demo"), seed=0)
    pixels = torch.zeros(1, 3, 64, 64)
    pixels[:, :, 8:24, 8:24] = 1.0
    moved = pixels.roll((32, 32), dims=(2, 3))
    assert (model.encode_image(pixels).clip - model.encode_image(moved).clip).abs().max() > 1e-3


def test_its_checkpoint_loads_unchanged(tmp_path: Path) -> None:
    model = initialise(preset("demo"), seed=0)
    pixels = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model.tower.train()
    model.tower.encode_image(pixels)  # moves the running means of the norms
    model.eval()
    model.trained = True
    save(model, tmp_path / "demo.safetensors")
    again = load(tmp_path / "demo.safetensors")
    assert again.trained
    assert again.encode_image(pixels).clip.equal(model.encode_image(pixels).clip)


@pytest.mark.parametrize("part", ["vision_cfg", "text_cfg"])
def test_other_shapes_are_rejected(part: str) -> None:
    tower = {**preset("demo").tower}
    tower[part] = {**tower[part], "surprise": 1}
    with pytest.raises(Rejected, match="compact"):
        initialise(AlignmentConfiguration.of_tower(tower), seed=0)
