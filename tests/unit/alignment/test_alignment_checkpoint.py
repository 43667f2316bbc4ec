"""Round trips, fingerprints, and refusal of every file that is not what it says."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from g3_alignment import (
    AlignmentConfiguration,
    AlignmentModel,
    describe,
    fingerprint,
    fingerprint_of,
    initialise,
    load,
    load_gps,
    load_tower_weights,
    save,
)
from g3_alignment.__main__ import main
from g3_kit.errors import Missing, Rejected
from safetensors import safe_open
from safetensors.torch import load_file, save_file

COORDINATES = torch.tensor([[48.9, 2.3], [-90.0, -180.0], [53.35, -6.26]], dtype=torch.float64)


@pytest.fixture
def file(tiny_model: AlignmentModel, tmp_path: Path) -> Path:
    save(tiny_model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def statement_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as opened:
        return dict(json.loads(opened.metadata()["g3-alignment"]))


def rewritten(path: Path, tensors: dict[str, Any] | None = None, statement: dict[str, Any] | None = None) -> Path:
    """The file with some tensors (None: left out) or its header's statement exchanged."""
    whole = {**load_file(path), **(tensors or {})}
    changed = path.with_name("changed.safetensors")
    kept = {name: tensor for name, tensor in whole.items() if tensor is not None}
    save_file(kept, changed, metadata={"g3-alignment": json.dumps(statement or statement_of(path))})
    return changed


def test_a_loaded_model_is_the_saved_one(tiny_model: AlignmentModel, file: Path) -> None:
    loaded = load(file)
    assert loaded.configuration == tiny_model.configuration
    assert fingerprint(loaded) == fingerprint(tiny_model) == describe(file).fingerprint.full
    assert not loaded.training
    pixels = torch.randn(2, 3, 32, 32)
    for ours, theirs in zip(loaded.encode_image(pixels), tiny_model.encode_image(pixels), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(loaded.encode_text(["Paris"]), tiny_model.encode_text(["Paris"]))
    assert torch.equal(loaded.encode_gps(COORDINATES), tiny_model.encode_gps(COORDINATES))


def test_the_gps_part_alone_gives_the_same_vectors(tiny_model: AlignmentModel, file: Path) -> None:
    gps = load_gps(file)
    assert torch.equal(gps.encode_gps(COORDINATES), tiny_model.encode_gps(COORDINATES))
    assert gps.fingerprint == fingerprint(tiny_model)
    assert {name.split(".")[0] for name in gps.state_dict()} == {"gps_encoder", "gps_head", "logit_scale_image_gps"}


def test_the_gps_part_loads_without_open_clip(file: Path) -> None:
    script = (
        "import sys, g3_alignment; g3_alignment.load_gps(sys.argv[1]); "
        "print(sorted({'open_clip', 'timm', 'torchvision', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_leaves_the_random_generator_alone(file: Path) -> None:
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    load(file)
    load_gps(file)
    assert torch.equal(torch.rand(3), expected)


def test_the_same_seed_gives_the_same_file(tiny_configuration: AlignmentConfiguration, tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        save(initialise(tiny_configuration, seed=7), tmp_path / name)
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_fingerprints_change_with_anything_that_changes_vectors(tiny_configuration: AlignmentConfiguration) -> None:
    first = fingerprint_of(initialise(tiny_configuration, seed=1))
    assert len(first.full) == 64
    assert first.full.startswith(first.short)
    assert len(first.short) == 16
    other_mean = replace(tiny_configuration.preprocessing, mean=(0.5, 0.5, 0.5))
    prepared = fingerprint_of(initialise(replace(tiny_configuration, preprocessing=other_mean), seed=1))
    assert (prepared.gps, prepared.rest) == (first.gps, first.rest)
    assert prepared.full != first.full
    for name, part, untouched in (("tower.visual.proj", "rest", "gps"), ("gps_head.2.bias", "gps", "rest")):
        model = initialise(tiny_configuration, seed=1)
        with torch.no_grad():
            model.get_parameter(name).view(-1)[0] += 1e-3
        changed = fingerprint_of(model)
        assert changed.full != first.full
        assert getattr(changed, part) != getattr(first, part)
        assert getattr(changed, untouched) == getattr(first, untouched)


def test_cut_files_are_rejected(file: Path) -> None:
    whole = file.read_bytes()
    cut = file.with_name("cut.safetensors")
    for length in (0, 1, 7, 8, 100, 3000, len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:length])
        for read in (load, load_gps, describe):
            with pytest.raises(Rejected, match="cut short"):
                read(cut)


def test_absent_files_are_missing(tmp_path: Path, tiny_model: AlignmentModel) -> None:
    for read in (load, load_gps, describe):
        with pytest.raises(Missing) as caught:
            read(tmp_path / "no.safetensors")
        assert str(tmp_path) not in caught.value.message
    with pytest.raises(Missing):
        load(tmp_path / "no.safetensors", sha256="0" * 64)
    with pytest.raises(Missing):
        load_tower_weights(tiny_model, tmp_path / "no.pt")


def test_flipped_bits_are_rejected(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    offsets = json.loads(whole[8:header])
    for name, readers in (("gps_head.0.weight", (load, load_gps)), ("tower.visual.proj", (load,))):
        flipped = bytearray(whole)
        flipped[header + offsets[name]["data_offsets"][0] + 5] ^= 1
        changed = file.with_name("flipped.safetensors")
        changed.write_bytes(flipped)
        for read in readers:
            with pytest.raises(Rejected, match="other weights"):
                read(changed)


@pytest.mark.parametrize("part", ["full", "gps", "rest"])
def test_false_fingerprints_are_rejected(file: Path, part: str) -> None:
    statement = statement_of(file)
    statement["fingerprint"][part] = "0" * 64
    changed = rewritten(file, statement=statement)
    for read in (load, load_gps):
        with pytest.raises(Rejected, match="other weights"):
            read(changed)


def test_another_configuration_is_rejected(file: Path) -> None:
    statement = statement_of(file)
    statement["configuration"]["preprocessing"]["mean"] = [0.5, 0.5, 0.5]
    changed = rewritten(file, statement=statement)
    for read in (load, load_gps):
        with pytest.raises(Rejected, match="other weights"):
            read(changed)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"gps_head.0.bias": None}, "gps_head.0.bias is missing"),
        ({"gps_head.9.bias": torch.zeros(2)}, "gps_head.9.bias is unknown"),
        ({"gps_head.0.bias": torch.zeros(5)}, r"gps_head.0.bias is \[5\] and not \[24\]"),
        ({"gps_head.0.bias": torch.zeros(24).half()}, "float16"),
    ],
)
def test_weights_that_do_not_fit_are_named(file: Path, tensors: dict[str, Any], says: str) -> None:
    changed = rewritten(file, tensors)
    for read in (load, load_gps):
        with pytest.raises(Rejected, match=says):
            read(changed)


@pytest.mark.parametrize("change", [{"version": 99}, {"configuration": {}}, {"configuration": 3}, {"fingerprint": {}}])
def test_other_formats_are_rejected(file: Path, change: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        load(rewritten(file, statement={**statement_of(file), **change}))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"g3-alignment": "no JSON"}, {"g3-alignment": "[]"}])
def test_foreign_safetensors_are_rejected(file: Path, metadata: dict[str, str] | None) -> None:
    save_file(load_file(file), file.with_name("foreign.safetensors"), metadata=metadata)
    for read in (load, load_gps, describe):
        with pytest.raises(Rejected, match="no alignment checkpoint"):
            read(file.with_name("foreign.safetensors"))


def test_the_sha256_is_pinned(file: Path) -> None:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    load(file, sha256=digest.upper())
    for read in (load, load_gps):
        with pytest.raises(Rejected, match="another SHA-256"):
            read(file, sha256="0" * 64)


def test_a_failed_save_leaves_the_old_file(
    tiny_model: AlignmentModel, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        save(tiny_model, file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("form", ["plain.pt", "nested.pt", "half.safetensors"])
def test_towers_from_an_open_clip_checkpoint(
    tiny_configuration: AlignmentConfiguration, tmp_path: Path, form: str
) -> None:
    torch.manual_seed(3)
    published: Any = open_clip.CLIP(**json.loads(json.dumps(tiny_configuration.tower))).eval()
    state = published.state_dict()
    path = tmp_path / form
    if form == "plain.pt":
        torch.save(state, path)
    elif form == "nested.pt":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    else:
        save_file({name: tensor.half() for name, tensor in state.items()}, path)
    model = initialise(tiny_configuration, seed=1)
    head = model.get_parameter("image_text_head.0.weight").clone()
    load_tower_weights(model, path)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = published.encode_image(pixels, normalize=True)
    torch.testing.assert_close(model.encode_image(pixels).clip, expected, atol=1e-6 if path.suffix == ".pt" else 5e-3,
                               rtol=0)  # fmt: skip
    assert torch.equal(model.get_parameter("image_text_head.0.weight"), head)
    assert next(model.tower.parameters()).dtype == torch.float32


def test_foreign_tower_files_are_rejected(tiny_configuration: AlignmentConfiguration, tmp_path: Path) -> None:
    model = initialise(tiny_configuration, seed=1)
    before = fingerprint(model)
    state = model.tower.state_dict()
    files: dict[str, Any] = {
        "shape.pt": {**state, "visual.proj": torch.zeros(2, 2)},
        "position.pt": {**state, "visual.positional_embedding": torch.zeros(17, 64)},
        "key.pt": {name: tensor for name, tensor in state.items() if name != "visual.proj"},
        "list.pt": [1, 2],
        "empty.pt": {},
        "words.pt": {"visual.proj": "hello"},
        "code.pt": {"visual.proj": Path("code")},  # needs a class to be unpickled
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "cut.pt").write_bytes((tmp_path / "key.pt").read_bytes()[:1000])
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    for name in [*files, "cut.pt", "cut.safetensors"]:
        with pytest.raises(Rejected) as caught:
            load_tower_weights(model, tmp_path / name)
        assert str(tmp_path) not in caught.value.message
    with pytest.raises(Rejected, match="another SHA-256"):
        load_tower_weights(model, tmp_path / "key.pt", sha256="0" * 64)
    assert fingerprint(model) == before


def test_the_command_makes_and_describes(
    tiny_configuration: AlignmentConfiguration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.json").write_text(tiny_configuration.to_json())
    out = tmp_path / "made" / "model.safetensors"
    assert main(["init", "--config", str(tmp_path / "tiny.json"), "--seed", "1", "--out", str(out)]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["fingerprint"] == fingerprint(initialise(tiny_configuration, seed=1))
    assert made["dimension"] == 32
    assert main(["describe", str(out)]) == 0
    assert json.loads(capsys.readouterr().out) == made
    assert main(["describe", str(tmp_path / "nothing")]) == 1
    assert "no checkpoint nothing" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["init", "--out", str(out)])
