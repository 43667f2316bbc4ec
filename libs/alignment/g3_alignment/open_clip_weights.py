"""Towers from a published open_clip checkpoint file."""

import os
from pathlib import Path
from typing import Any

import torch
from g3_kit.errors import Rejected
from torch import Tensor

from g3_alignment.checkpoint import require_fit
from g3_alignment.model import AlignmentModel
from g3_alignment.state_dicts import read_state_dict


def load_tower_weights(model: AlignmentModel, path: str | os.PathLike[str], sha256: str | None = None) -> None:
    """Puts an open_clip checkpoint's weights into `model.tower`; heads and GPS encoder stay.

    `model.trained` stays true only if the weights are those that the heads were trained with, to half precision.

    Takes safetensors and PyTorch state dicts (`weights_only`: no code is unpickled), bare or under "state_dict", with
    or without the "module." of data-parallel training, in any floating dtype. Raises Missing for no such file;
    Rejected for another SHA-256, an unreadable file, or weights of another architecture.
    """
    path = Path(path)
    state = read_state_dict(path, sha256)
    expected: dict[str, Tensor] = model.tower.state_dict()
    weights = _in_open_clips_names(model.tower, state, path.name)
    if "logit_scale" in weights and "logit_scale" in expected and weights["logit_scale"].numel() == 1:
        # some checkpoints keep it as a vector of one
        weights["logit_scale"] = weights["logit_scale"].reshape(expected["logit_scale"].shape)
    require_fit(path.name, expected, weights, same_dtype=False)
    trained_with = all(torch.equal(expected[key].half(), weights[key].to(expected[key]).half()) for key in expected)
    model.tower.load_state_dict(weights)
    model.trained = model.trained and trained_with


def _in_open_clips_names(tower: Any, weights: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    from open_clip.convert import convert_state_dict  # see `tower` for why here

    try:
        converted: dict[str, Tensor] = convert_state_dict(tower, weights)
    except (KeyError, AttributeError, RuntimeError):
        raise Rejected(f"{name} is of another architecture than the model's tower.", field="checkpoint") from None
    return converted
