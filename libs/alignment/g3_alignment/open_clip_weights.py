"""Towers from a published open_clip checkpoint file."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from g3_kit.errors import Missing, Rejected
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from g3_alignment.checkpoint import require_fit, verify_sha256
from g3_alignment.model import AlignmentModel


def load_tower_weights(model: AlignmentModel, path: str | os.PathLike[str], sha256: str | None = None) -> None:
    """Puts an open_clip checkpoint's weights into `model.tower`; heads and GPS encoder stay.

    Takes safetensors and PyTorch state dicts (`weights_only`: no code is unpickled), bare or under "state_dict", with
    or without the "module." of data-parallel training, in any floating dtype. Raises Missing for no such file;
    Rejected for another SHA-256, an unreadable file, or weights of another architecture.
    """
    path = Path(path)
    if not path.is_file():
        raise Missing(f"There is no checkpoint {path.name}.", field="checkpoint")
    if sha256 is not None:
        verify_sha256(path, sha256)
    expected: dict[str, Tensor] = model.tower.state_dict()
    weights = _in_open_clips_names(model.tower, _state(path), path.name)
    if "logit_scale" in weights and "logit_scale" in expected and weights["logit_scale"].numel() == 1:
        # some checkpoints keep it as a vector of one
        weights["logit_scale"] = weights["logit_scale"].reshape(expected["logit_scale"].shape)
    require_fit(path.name, expected, weights, same_dtype=False)
    model.tower.load_state_dict(weights)


def _state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            loaded: Any = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError):
        raise Rejected(
            f"{path.name} cannot be read: it is cut short, or more than a plain state dict.", field="checkpoint"
        ) from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise Rejected(f"{path.name} is no state dict.", field="checkpoint")
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}


def _in_open_clips_names(tower: Any, weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    from open_clip.convert import convert_state_dict  # see `tower` for why here

    try:
        converted: dict[str, Tensor] = convert_state_dict(tower, weights)
    except (KeyError, AttributeError, RuntimeError):
        raise Rejected(f"{name} is of another architecture than the model's tower.", field="checkpoint") from None
    return converted
