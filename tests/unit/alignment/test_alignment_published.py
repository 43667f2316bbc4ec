"""A checkpoint in the reference's layout gives the reference's vectors; anything else is refused with its reason."""

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from g3_alignment import AlignmentModel, describe, load, load_gps, load_published, preset
from g3_alignment.__main__ import main
from g3_alignment.state_dicts import read_state_dict
from g3_kit.errors import Missing, Rejected

from .published_layout import FULL, PLACES, TEXTS, TINY, Reference, Sizes


def reference(sizes: Sizes) -> Reference:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Reference(sizes)


@pytest.fixture(scope="module")
def tiny() -> Reference:
    return reference(TINY)


@pytest.fixture
def state(tiny: Reference) -> dict[str, Any]:
    return {name: tensor.float() for name, tensor in tiny.state_dict().items()}


@pytest.fixture
def file(state: dict[str, Any], tmp_path: Path) -> Path:
    return written(state, tmp_path / "g3.pth")


def written(state: object, path: Path) -> Path:
    torch.save(state, path)
    return path


def require_equal_vectors(model: AlignmentModel, wanted: Reference, tolerance: float = 1e-4) -> None:
    size = wanted.sizes.image
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    for ours, theirs in zip(model.encode_image(pixels), wanted.image_vectors(pixels), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)
    torch.testing.assert_close(model.encode_text(TEXTS), wanted.text_vectors(TEXTS), rtol=0, atol=tolerance)
    ours = model.encode_gps(torch.tensor(PLACES, dtype=torch.float64))
    torch.testing.assert_close(ours.double(), wanted.gps_vectors(PLACES), rtol=0, atol=tolerance)


def test_the_file_alone_gives_the_references_vectors(tiny: Reference, file: Path) -> None:
    model = load_published(file)
    require_equal_vectors(model, tiny)
    assert model.trained
    assert not model.training
    assert model.configuration.gps.sigmas == (1.0, 16.0, 256.0)
    scales = (model.logit_scale_image_text, model.logit_scale_image_gps, model.logit_scale_text_gps)
    assert [round(float(scale.detach()), 4) for scale in scales] == [3.1, 3.2, 3.3]


def test_vectors_of_different_texts_and_places_differ(tiny: Reference) -> None:
    for vectors in (tiny.text_vectors(TEXTS), tiny.gps_vectors(PLACES)):
        assert float((vectors @ vectors.T - torch.eye(len(vectors))).max()) < 0.9999  # so that equality says something


def test_another_size_of_everything_is_read_from_the_tensors(tmp_path: Path) -> None:
    other = reference(Sizes(24, 6, 64, 1, 128, 1, 32, 16, 24, 12, mlp_ratio=2))
    require_equal_vectors(load_published(written(other.state_dict(), tmp_path / "other.pt")), other)


@pytest.mark.slow
def test_the_published_size_gives_the_references_vectors(tmp_path: Path) -> None:
    whole = reference(FULL)
    model = load_published(written(whole.state_dict(), tmp_path / "g3.pth"))
    assert model.configuration == preset("g3")
    require_equal_vectors(model, whole)


def test_prefixes_position_ids_half_precision_and_vectors_of_one_are_taken(
    state: dict[str, Any], file: Path, tmp_path: Path
) -> None:
    changed = {f"module.model.{name}": tensor.half() for name, tensor in state.items()}
    changed["module.model.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    changed["module.model.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    changed["module.model.logit_scale1"] = changed["module.model.logit_scale1"].reshape(1)
    model = load_published(written({"state_dict": changed}, tmp_path / "half.pth"))
    for (name, ours), exact in zip(model.state_dict().items(), load_published(file).state_dict().values(), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, exact, rtol=1e-3, atol=1e-4, msg=name)


def test_the_command_writes_a_checkpoint_of_ours(
    tiny: Reference, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert main(["convert", "--published", str(file), "--sha256", digest, "--out", str(out)]) == 0
    assert describe(out).fingerprint.full in capsys.readouterr().out
    assert describe(out).trained
    require_equal_vectors(load(out), tiny)
    places = torch.tensor(PLACES, dtype=torch.float64)
    torch.testing.assert_close(load_gps(out).encode_gps(places), load(out).encode_gps(places))


def test_another_sha256_is_refused_before_anything_is_parsed(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("parsed"))
    out = tmp_path / "model.safetensors"
    assert main(["convert", "--published", str(file), "--sha256", "0" * 64, "--out", str(out)]) == 1
    assert "another SHA-256" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text_projection_else.2.bias": None}, "text_projection_else.2.bias is missing"),
        ({"vision_projection.weight": None}, "vision_projection.weight is missing"),
        ({"vision_model.encoder.layers.1.self_attn.k_proj.weight": None}, "layers.1.self_attn.k_proj.weight is miss"),
        ({"location_encoder.LocEnc1.capsule.0.b": None}, "LocEnc1.capsule.0.b has no frequencies"),
        ({"lstm.weight": torch.zeros(2)}, "lstm.weight is unknown"),
        ({"logit_scale2": torch.zeros(2)}, "logit_scale2 is [2] and not []"),
        ({"vision_projection_else_1.0.weight": torch.zeros(48, 47)}, "else_1.0.weight is [48, 47] and not [48, 48]"),
        ({"text_projection.weight": torch.zeros(64, 48)}, "text_projection.weight is [64, 48] and not [48, 64]"),
        ({"vision_model.embeddings.class_embedding": torch.zeros(100)}, "100 wide"),
        ({"vision_model.embeddings.class_embedding": torch.zeros(64 * 10**5)}, "is [128] and not [6400000]"),
        ({"vision_model.embeddings.class_embedding": torch.zeros(1, 1, 128)}, "class_embedding is [1, 1, 128]"),
        ({"vision_model.embeddings.position_embedding.weight": torch.zeros(16, 128)}, "16 positions"),
        ({"text_model.embeddings.token_embedding.weight": torch.zeros(500, 64)}, "500 tokens"),
        ({"text_model.embeddings.token_embedding.weight": torch.zeros(1).expand(49408, 64)}, "with all its elements"),
        ({"logit_scale3": torch.tensor(float("nan"))}, "logit_scale3 has no finite numbers"),
        ({"logit_scale3": torch.tensor(3)}, "logit_scale3 is torch.int64"),
        ({"location_encoder.LocEnc2.capsule.0.b": torch.zeros(24, 2)}, "LocEnc2.capsule.0.b has no frequencies"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(
    state: dict[str, Any], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    changed = {name: tensor for name, tensor in {**state, **change}.items() if tensor is not None}
    with pytest.raises(Rejected) as refused:
        load_published(written(changed, tmp_path / "changed.pth"))
    assert said in refused.value.message
    assert "changed.pth" in refused.value.message


def test_a_file_of_something_else_names_the_first_few(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"class_embedding is missing, .*, and 8 more"):
        load_published(written({"weight": torch.zeros(2)}, tmp_path / "other.pth"))
    with pytest.raises(Missing):
        load_published(tmp_path / "none.pth")


class Hostile:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_hostile_pickle_is_refused_and_nothing_of_it_runs(state: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "made"
    files = [
        written({**state, "logit_scale1": Hostile(folder)}, tmp_path / "zip.pth"),
        tmp_path / "plain.pth",
        tmp_path / "legacy.pth",
    ]
    files[1].write_bytes(pickle.dumps(Hostile(folder), protocol=2))
    torch.save(Hostile(folder), files[2], _use_new_zipfile_serialization=False)
    for file in files:
        with pytest.raises(Rejected, match="more than a plain state dict"):
            load_published(file)
        assert not folder.exists()
    torch.load(files[0], weights_only=False)
    assert folder.exists()  # it would have


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_cut_short_is_refused(file: Path, share: float) -> None:
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(Rejected, match="cut short"):
        load_published(file)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_changed_bytes_are_refused_or_read_as_tensors(tmp_path: Path, zipped: bool) -> None:
    file, random = tmp_path / "changed.pth", Random(1)
    torch.save({f"{n}": torch.ones(3, 4) for n in range(4)}, file, _use_new_zipfile_serialization=zipped)
    whole, refused = file.read_bytes(), 0
    for _ in range(300):
        changed = bytearray(whole)
        for _ in range(random.choice([1, 3, 20])):
            changed[random.randrange(len(changed))] = random.randrange(256)
        file.write_bytes(changed)
        try:
            assert all(isinstance(tensor, torch.Tensor) for tensor in read_state_dict(file).values())
        except Rejected:
            refused += 1
    assert refused > 100


def test_a_pytorch_file_as_checkpoint_says_how_to_convert_it(file: Path, tmp_path: Path) -> None:
    spaced = file.rename(tmp_path / "the published.pth")
    out = tmp_path / "the published.safetensors"
    for read in (load, load_gps, describe):
        with pytest.raises(Rejected) as refused:
            read(spaced)
        command = f"python -m g3_alignment convert --published '{spaced}' --out '{out}'"
        assert command in refused.value.message
    assert main(["convert", "--published", str(spaced), "--out", str(out)]) == 0
    assert load(out).trained


def test_a_file_with_no_layers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="fc1"):
        load_published(written(reference(replace(TINY, text_layers=0)).state_dict(), tmp_path / "flat.pth"))
