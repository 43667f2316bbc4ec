"""Weights stored in half the bytes: parameters as float16, everything else as it is.

Buffers are never rounded. A Fourier frequency at sigma 2⁸ is some hundreds; float16 keeps 11 bits of it, and what is
lost moves the feature's angle by up to a fifth of a turn at the map's edge (at sigma 2¹¹ by more than a whole one), so
that the trained layers behind would see other features than those that they were trained on.
"""

from collections.abc import Mapping

import torch
from g3_kit.errors import Rejected
from torch import Tensor, nn

STORED = {"float32": torch.float32, "float16": torch.float16}


def stored(model: nn.Module, dtype: str) -> dict[str, Tensor]:
    """The model's state as a file of `dtype` (a key of `STORED`) holds it: on the CPU, contiguous.

    Raises Rejected for another name, and for a weight that float16 cannot hold (above 65,504), naming it.
    """
    if dtype not in STORED:
        raise Rejected(f"Weights are stored as {' or '.join(STORED)}, not as {dtype}.", field="dtype")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if STORED[dtype] == torch.float32:
        return tensors
    for name in weight_names(model):
        rounded = tensors[name].to(STORED[dtype])
        if not torch.equal(torch.isfinite(rounded), torch.isfinite(tensors[name])):
            raise Rejected(f"{name} has values beyond {dtype}: store this model as float32.", field="dtype")
        tensors[name] = rounded
    return tensors


def loaded(tensors: Mapping[str, Tensor], names: frozenset[str], dtype: str) -> dict[str, Tensor]:
    """Tensors of a file of `dtype`, as a model takes them: the weights `names` float32. Others stay, to be judged."""
    return {
        name: tensor.to(torch.float32) if name in names and tensor.dtype == STORED[dtype] else tensor
        for name, tensor in tensors.items()
    }


def weight_names(model: nn.Module) -> frozenset[str]:
    """The names of what is rounded: float32 parameters."""
    return frozenset(name for name, weight in model.named_parameters() if weight.dtype == torch.float32)
