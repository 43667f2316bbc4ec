"""float16 files: half the bytes, the same fingerprint after every load, Fourier frequencies to the last digit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from g3_alignment import (
    AlignmentConfiguration,
    AlignmentModel,
    describe,
    fingerprint,
    initialise,
    load,
    load_gps,
    preset,
    save,
)
from g3_alignment.__main__ import main
from g3_kit.errors import Rejected
from safetensors import safe_open
from safetensors.torch import load_file, save_file

PLACES = torch.tensor([[48.9, 2.3], [-90.0, -180.0], [53.35, -6.26]], dtype=torch.float64)


@pytest.fixture
def half(tiny_model: AlignmentModel, tmp_path: Path) -> Path:
    save(tiny_model, tmp_path / "half.safetensors", dtype="float16")
    return tmp_path / "half.safetensors"


def test_a_half_file_is_half_the_size_and_loads_as_float32(
    tiny_model: AlignmentModel, half: Path, tmp_path: Path
) -> None:
    save(tiny_model, tmp_path / "whole.safetensors")
    assert half.stat().st_size < 0.55 * (tmp_path / "whole.safetensors").stat().st_size
    assert (describe(half).dtype, describe(tmp_path / "whole.safetensors").dtype) == ("float16", "float32")
    whole = load(half)
    for model in (whole, load_gps(half)):
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
        torch.testing.assert_close(model.encode_gps(PLACES), tiny_model.encode_gps(PLACES), atol=5e-3, rtol=0)
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for ours, exact in zip(whole.encode_image(pixels), tiny_model.encode_image(pixels), strict=True):
        torch.testing.assert_close(ours, exact, atol=5e-3, rtol=0)


def test_the_fingerprint_is_of_the_weights_as_loaded(tiny_model: AlignmentModel, half: Path, tmp_path: Path) -> None:
    stated = describe(half).fingerprint
    model = load(half)
    assert fingerprint(model) == stated.full == load_gps(half).fingerprint
    assert fingerprint(tiny_model) not in {stated.full, stated.gps, stated.rest}
    # the same model in either form is the same model
    assert save(model, tmp_path / "again.safetensors", dtype="float16") == stated
    assert (tmp_path / "again.safetensors").read_bytes() == half.read_bytes()
    assert save(model, tmp_path / "wide.safetensors") == stated
    assert fingerprint(load(tmp_path / "wide.safetensors")) == stated.full


def test_saving_leaves_the_model_as_it_was(tiny_model: AlignmentModel, tmp_path: Path) -> None:
    before = fingerprint(tiny_model)
    save(tiny_model, tmp_path / "half.safetensors", dtype="float16")
    assert fingerprint(tiny_model) == before


def test_buffers_keep_every_digit(tmp_path: Path) -> None:
    """At the finest scale of the demo float16 would turn a feature by more than a whole turn; see `precision`."""
    model = initialise(preset("demo"), seed=1)
    save(model, tmp_path / "demo.safetensors", dtype="float16")
    buffers = dict(model.named_buffers())
    finest = buffers[f"gps_encoder.capsules.{len(model.configuration.gps.sigmas) - 1}.frequencies"]
    assert not torch.equal(finest.half().float(), finest)
    again = dict(load(tmp_path / "demo.safetensors").named_buffers())
    of_gps = dict(load_gps(tmp_path / "demo.safetensors").named_buffers())
    with safe_open(tmp_path / "demo.safetensors", framework="pt") as file:
        for name in set(file.keys()) & buffers.keys():
            assert torch.equal(again[name], buffers[name])
            assert again[name].dtype == file.get_tensor(name).dtype == buffers[name].dtype
            assert not name.startswith("gps_") or torch.equal(of_gps[name], buffers[name])


@pytest.mark.parametrize("value", [70_000.0, -1e30])
def test_weights_beyond_float16_are_named(
    tiny_configuration: AlignmentConfiguration, tmp_path: Path, value: float
) -> None:
    model = initialise(tiny_configuration, seed=1)
    with torch.no_grad():
        model.get_parameter("gps_head.2.bias")[3] = value
    with pytest.raises(Rejected, match=r"gps_head\.2\.bias"):
        save(model, tmp_path / "half.safetensors", dtype="float16")
    assert not list(tmp_path.iterdir())
    save(model, tmp_path / "whole.safetensors")


def test_other_dtypes_are_rejected(tiny_model: AlignmentModel, half: Path, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="bfloat16"):
        save(tiny_model, tmp_path / "other.safetensors", dtype="bfloat16")
    for stated in ("bfloat16", "float32", 3, None):
        with safe_open(half, framework="pt") as file:
            statement = json.loads(file.metadata()["g3-alignment"])
        changed = half.with_name("changed.safetensors")
        save_file(load_file(half), changed, metadata={"g3-alignment": json.dumps({**statement, "dtype": stated})})
        for read in (load, load_gps):
            with pytest.raises(Rejected):
                read(changed)


def test_a_flipped_bit_of_a_half_file_is_rejected(half: Path) -> None:
    tensors: dict[str, Any] = load_file(half)
    with safe_open(half, framework="pt") as file:
        metadata = file.metadata()
    weight = tensors["gps_head.0.weight"]
    weight[0, 0] += 1e-2
    save_file(tensors, half.with_name("flipped.safetensors"), metadata=metadata)
    for read in (load, load_gps):
        with pytest.raises(Rejected, match="other weights"):
            read(half.with_name("flipped.safetensors"))


def test_the_command_writes_either(
    tiny_configuration: AlignmentConfiguration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.json").write_text(tiny_configuration.to_json())
    out = tmp_path / "half.safetensors"
    assert main(["init", "--config", str(tmp_path / "tiny.json"), "--dtype", "float16", "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out)["dtype"] == "float16"
    assert describe(out).fingerprint.full == fingerprint(load(out))
