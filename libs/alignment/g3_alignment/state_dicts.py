"""State dicts that others made, safetensors or PyTorch's: read without running anything that is in them."""

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import torch
from g3_kit.errors import Missing, Rejected
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from g3_alignment.checkpoint import verify_sha256

# what torch's reader was seen to raise, or can, for bytes that are not as it wrote them
_BROKEN = (
    SafetensorError,
    pickle.UnpicklingError,  # also what `weights_only` raises for anything but tensors and containers
    RuntimeError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    struct.error,
)


def read_state_dict(path: str | os.PathLike[str], sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU: safetensors, or a PyTorch state dict, bare or under "state_dict".

    The "module." of data-parallel training is dropped from names. Raises Missing for no such file; Rejected for another
    SHA-256 (hex, compared before anything is parsed), an unreadable file, one with more in it than plain tensors, and
    tensors that claim more elements than the file holds.
    """
    path = Path(path)
    if not path.is_file():
        raise Missing(f"There is no checkpoint {path.name}.", field="checkpoint")
    if sha256 is not None:
        verify_sha256(path, sha256)
    try:
        if path.suffix == ".safetensors":
            loaded: Any = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except _BROKEN:
        raise Rejected(
            f"{path.name} cannot be read: it is cut short, or more than a plain state dict.", field="checkpoint"
        ) from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise Rejected(f"{path.name} is no state dict.", field="checkpoint")
    for name, tensor in loaded.items():
        if not _whole(tensor):
            raise Rejected(f"{path.name}: {name} is no plain tensor with all its elements.", field="checkpoint")
    return {str(name).removeprefix("module."): tensor for name, tensor in loaded.items()}


def _whole(tensor: Tensor) -> bool:
    """False for sparse, quantised and meta tensors, and for views that repeat a few bytes into a huge shape."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
