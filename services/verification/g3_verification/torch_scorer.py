"""The scorer on torch: the GPS encoder and its head, without the towers."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from g3_alignment import PRESETS, AlignmentConfiguration, describe, load_gps, preset
from g3_kit.errors import Rejected, Unavailable
from numpy.typing import NDArray
from torch import Tensor, nn

from g3_verification.scorer import Model

_CHUNK = 2048  # rows a forward pass: 10,000 candidates stay under 100 MB of activations
_PACKED_FOR = 40  # rows that the weights are laid out for: a job's candidates


class TorchScorer:
    """`Scorer` with the GPS part of a checkpoint.

    One forward pass at a time: passes side by side would only share the same cores, and each would end later.
    """

    def __init__(self, checkpoint: Path, device: str = "auto", *, sha256: str | None = None, threads: int = 0) -> None:
        """Loads `checkpoint` onto `device` (auto: a GPU if there is one) and tries one pass.

        `threads` of a pass on a CPU, 0: torch decides; it holds for the process. Raises Missing for no such file,
        Rejected for a broken or other file or an unknown device, Unavailable when the device does not work.
        """
        if threads:
            torch.set_num_threads(threads)
        described = describe(checkpoint)
        self._gps = load_gps(checkpoint, _device(device), sha256)
        if self._gps.device.type == "cpu":
            _pack(self._gps)
        self._lock = threading.Lock()
        self._broken = False
        self._model = Model(
            fingerprint=self._gps.fingerprint,
            gps_fingerprint=described.fingerprint.gps,
            dimension=self._gps.dimension,
            configuration=_name(described.configuration),
            device=str(self._gps.device),
        )
        self._try()

    @property
    def model(self) -> Model:
        return self._model

    def similarities(self, vector: NDArray[np.float32], coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        query = torch.from_numpy(vector).to(self._gps.device)  # [d]
        cosines = self._passes(coordinates, lambda vectors: vectors @ query)  # [chunk, d] @ [d] -> [chunk]
        return cosines.to(torch.float64).numpy()

    def vectors(self, coordinates: NDArray[np.float64]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._passes(coordinates, lambda vectors: vectors).numpy()
        return vectors

    def _passes(self, coordinates: NDArray[np.float64], then: Callable[[Tensor], Tensor]) -> Tensor:
        """What `then` makes of the vectors of each chunk, together, on the CPU."""
        try:
            with self._lock, torch.inference_mode():
                rows = torch.tensor(coordinates, device=self._gps.device)  # [n, 2]
                chunks = [
                    then(self._gps.encode_gps(rows[start : start + _CHUNK])).cpu()
                    for start in range(0, len(rows), _CHUNK)
                ]
        except RuntimeError as error:  # torch's one name for an exhausted, lost or failing device
            self._broken = True
            raise Unavailable("The device that scores has failed.") from error
        self._broken = False
        return torch.cat(chunks)

    def problem(self) -> str | None:
        if self._broken:
            try:
                self._try()  # a device that was only short of memory comes back by itself
            except Unavailable as error:
                return error.message
        return None

    def _try(self) -> None:
        query = np.zeros(self._model.dimension, dtype=np.float32)
        self.similarities(query, np.zeros((1, 2), dtype=np.float64))


class _Packed(nn.Module):
    """A linear layer, with the ReLU behind it if there is one, whose weight lies in oneDNN's blocked layout.

    Torch's own layers let MKL order the weight at every pass, which on some dozens of rows costs as much as the
    product (40 candidates, full size, 2 cores: 6.5 ms a pass against 11.0 ms). Same result to float32's rounding.
    """

    def __init__(self, layer: nn.Linear, *, relu: bool) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), _PACKED_FOR)
        self._bias = layer.bias.detach()
        self._then = "relu" if relu else "none"

    def forward(self, rows: Tensor) -> Tensor:
        """[n, in] -> [n, out]; any n."""
        outcome: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, self._then, [], "")
        return outcome


def _pack(model: nn.Module) -> None:
    """Swaps the linear layers of every nn.Sequential inside `model`; without oneDNN they stay as they are."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        layers = list(sequence)
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.Linear):
                relu = index + 1 < len(layers) and isinstance(layers[index + 1], nn.ReLU)
                sequence[index] = _Packed(layer, relu=relu)
                if relu:
                    sequence[index + 1] = nn.Identity()


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise Rejected(f"There is no device named {name}: say auto, cpu or cuda:0.", field="device") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Rejected(f"Device {name} is asked for, and torch finds no GPU.", field="device")
    return device


def _name(configuration: AlignmentConfiguration) -> str:
    return next((name for name in PRESETS if preset(name) == configuration), "custom")
