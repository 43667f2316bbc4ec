"""Which model made a vector: a digest over configuration and weights, in two parts.

::

    full ── configuration (canonical JSON, preprocessing included)
     ├── gps    digest of the GPS encoder, the GPS head and their temperature
     └── rest   digest of everything else

A reader of the GPS part alone recomputes `gps` and checks that `full` follows from the three: it can state the whole
model's fingerprint without reading the towers.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from g3_alignment.configuration import AlignmentConfiguration
from g3_alignment.model import AlignmentModel

GPS_PART = ("gps_encoder.", "gps_head.", "logit_scale_image_gps")


@dataclass(frozen=True)
class Fingerprint:
    """SHA-256 digests in hex: of the whole model, and of its two parts."""

    full: str
    gps: str
    rest: str

    @property
    def short(self) -> str:
        """The first 16 digits of `full`, for names of collections and for people."""
        return self.full[:16]


def fingerprint(model: AlignmentModel) -> str:
    """The whole model's fingerprint, 64 hex digits. Reads every weight: seconds for the `g3` configuration."""
    return fingerprint_of(model).full


def fingerprint_of(model: AlignmentModel) -> Fingerprint:
    """As `fingerprint`, with its parts."""
    return of_tensors(model.configuration, model.state_dict())


def of_tensors(configuration: AlignmentConfiguration, tensors: Mapping[str, Tensor]) -> Fingerprint:
    """The fingerprint of the model with these weights, by name as in `AlignmentModel.state_dict`."""
    gps = digest({name: tensor for name, tensor in tensors.items() if name.startswith(GPS_PART)})
    rest = digest({name: tensor for name, tensor in tensors.items() if not name.startswith(GPS_PART)})
    return joined(configuration, gps, rest)


def joined(configuration: AlignmentConfiguration, gps: str, rest: str) -> Fingerprint:
    """The whole fingerprint from its parts."""
    text = "\n".join(("g3-alignment fingerprint 1", configuration.to_json(), gps, rest))
    return Fingerprint(hashlib.sha256(text.encode()).hexdigest(), gps, rest)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 in hex over name, dtype, shape and little-endian bytes of each tensor, in the order of names."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        whole.update(f"{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        # NumPy does not know every dtype of torch, but knows bytes
        whole.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()
