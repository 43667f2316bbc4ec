"""Towers of one file with the heads of another, and GeoCLIP's GPS encoder as a start."""

from pathlib import Path
from typing import Any

import pytest
import torch
from g3_alignment import AlignmentConfiguration, AlignmentModel, GpsConfiguration, describe, initialise, load, save
from g3_alignment.__main__ import main
from g3_alignment.gps import web_mercator
from g3_alignment.published import load_location_encoder
from g3_kit.errors import Rejected
from safetensors.torch import save_file
from torch import Tensor

PLACES = torch.tensor([[53.35, -6.26], [-33.9, 151.2], [0.0, 0.0]], dtype=torch.float64)
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def ours(tiny_configuration: AlignmentConfiguration, tmp_path: Path) -> Path:
    model = initialise(tiny_configuration, seed=2)
    model.trained = True
    save(model, tmp_path / "ours.safetensors")
    return tmp_path / "ours.safetensors"


@pytest.fixture
def location_encoder(tiny_configuration: AlignmentConfiguration) -> dict[str, Tensor]:
    """GeoCLIP's layout, in the sizes of the tiny model."""
    gps, draw = tiny_configuration.gps, torch.Generator().manual_seed(5)
    inner = [(2 * gps.rff_features, gps.hidden), (gps.hidden, gps.hidden), (gps.hidden, gps.hidden)]
    state = {}
    for capsule, sigma in enumerate(gps.sigmas):
        state[f"LocEnc{capsule}.capsule.0.b"] = torch.randn(gps.rff_features, 2, generator=draw) * sigma
        for place, (width, out) in zip((1, 3, 5), inner, strict=True):
            state[f"LocEnc{capsule}.capsule.{place}.weight"] = torch.randn(out, width, generator=draw) / width**0.5
            state[f"LocEnc{capsule}.capsule.{place}.bias"] = torch.randn(out, generator=draw)
        state[f"LocEnc{capsule}.head.0.weight"] = torch.randn(gps.width, gps.hidden, generator=draw)
        state[f"LocEnc{capsule}.head.0.bias"] = torch.randn(gps.width, generator=draw)
    return state


def encoded(state: dict[str, Tensor]) -> Tensor:
    """What that encoder makes of PLACES, in plain torch."""
    summed = torch.zeros(())
    for capsule in range(3):
        turns = 2 * torch.pi * web_mercator(PLACES) @ state[f"LocEnc{capsule}.capsule.0.b"].double().T
        features = torch.cat((turns.cos(), turns.sin()), dim=1)
        for place in (1, 3, 5):
            layer = f"LocEnc{capsule}.capsule.{place}"
            features = (features @ state[f"{layer}.weight"].double().T + state[f"{layer}.bias"].double()).relu()
        head = f"LocEnc{capsule}.head.0"
        summed = summed + features @ state[f"{head}.weight"].double().T + state[f"{head}.bias"].double()
    return summed


@pytest.mark.parametrize("prefix", ["", "location_encoder.", "module.location_encoder."])
def test_a_location_encoder_becomes_the_gps_encoder(
    ours: Path, location_encoder: dict[str, Tensor], prefix: str, tmp_path: Path
) -> None:
    file, out = tmp_path / "location_encoder.pth", tmp_path / "started.safetensors"
    torch.save({prefix + key: tensor for key, tensor in location_encoder.items()}, file)
    assert main(["convert", "--geoclip", str(file), "--model", str(ours), "--out", str(out)]) == 0
    before, after = load(ours), load(out)
    wanted = encoded(location_encoder)
    torch.testing.assert_close(after.gps_encoder(PLACES).double(), wanted, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(before.gps_encoder(PLACES).double(), wanted, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(after.encode_image(PIXELS).gps_aligned, before.encode_image(PIXELS).gps_aligned)
    assert describe(ours).trained
    assert not describe(out).trained


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"LocEnc2.head.0.bias": None}, "location_encoder.LocEnc2.head.0.bias is missing"),
        ({"LocEnc3.head.0.bias": torch.zeros(24)}, "location_encoder.LocEnc3.head.0.bias is unknown"),
        ({"LocEnc1.capsule.0.b": torch.zeros(256, 2)}, "LocEnc1.capsule.0.b is [256, 2] and not [32, 2]"),
        ({"LocEnc1.capsule.1.bias": torch.full((48,), torch.inf)}, "LocEnc1.capsule.1.bias has no finite numbers"),
    ],
)
def test_a_location_encoder_that_does_not_fit_changes_nothing(
    tiny_configuration: AlignmentConfiguration,
    location_encoder: dict[str, Tensor],
    tmp_path: Path,
    change: dict[str, Any],
    said: str,
) -> None:
    changed = {key: tensor for key, tensor in {**location_encoder, **change}.items() if tensor is not None}
    torch.save(changed, tmp_path / "changed.pth")
    model = initialise(tiny_configuration, seed=2)
    with pytest.raises(Rejected) as refused:
        load_location_encoder(model, tmp_path / "changed.pth")
    assert said in refused.value.message
    for weight, same in zip(
        model.state_dict().values(), initialise(tiny_configuration, seed=2).state_dict().values(), strict=True
    ):
        assert torch.equal(weight, same)


@pytest.mark.parametrize("same", [True, False])
def test_towers_of_one_file_and_heads_of_another(
    tiny_configuration: AlignmentConfiguration, ours: Path, tmp_path: Path, same: bool
) -> None:
    towers: AlignmentModel = load(ours) if same else initialise(tiny_configuration, seed=9)
    towers_file, out = tmp_path / "open_clip.safetensors", tmp_path / "both.safetensors"
    save_file({key: tensor.half() for key, tensor in towers.tower.state_dict().items()}, towers_file)
    assert main(["convert", "--towers", str(towers_file), "--heads", str(ours), "--out", str(out)]) == 0
    both, heads = load(out), load(ours)
    torch.testing.assert_close(both.encode_image(PIXELS).clip, towers.encode_image(PIXELS).clip, rtol=0, atol=5e-3)
    torch.testing.assert_close(both.encode_gps(PLACES), heads.encode_gps(PLACES))
    for kept, given in zip(both.text_head.parameters(), heads.text_head.parameters(), strict=True):
        assert torch.equal(kept, given)
    assert describe(out).trained is same  # heads know only the towers that they were trained with


def test_wrong_usage_and_wrong_digests_write_nothing(
    ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    for given, said in (
        (["--towers", str(ours)], "--towers needs --heads"),
        (["--geoclip", str(ours)], "--geoclip needs --model"),
        (["--published", str(ours), "--heads", str(ours)], "--published neither"),
        (["--towers", str(ours), "--heads", str(ours), "--model-sha256", "0" * 64], "another SHA-256"),
        (["--towers", str(ours), "--heads", str(ours), "--sha256", "0" * 64], "another SHA-256"),
        (["--towers", str(ours), "--heads", str(ours)], "does not fit"),
    ):
        assert main(["convert", *given, "--out", str(out)]) == 1
        assert said in capsys.readouterr().err
        assert not out.exists()


def test_another_number_of_capsules_is_refused(location_encoder: dict[str, Tensor], tmp_path: Path) -> None:
    gps = GpsConfiguration(sigmas=(1.0, 16.0, 256.0, 2048.0), rff_features=32, hidden=48, width=24)
    tower = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    torch.save(location_encoder, tmp_path / "three.pth")
    with pytest.raises(Rejected, match=r"LocEnc3\.capsule\.0\.b is missing"):
        load_location_encoder(initialise(AlignmentConfiguration.of_tower(tower, gps), 0), tmp_path / "three.pth")
