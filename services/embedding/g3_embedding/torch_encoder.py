"""The encoder on torch: the aligned model of a checkpoint. The only module of the room that knows torch."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from g3_alignment import (
    PRESETS,
    AlignmentConfiguration,
    AlignmentModel,
    Fingerprint,
    PhotoPreprocessor,
    describe,
    load,
    preset,
)
from g3_kit.errors import Rejected
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from g3_embedding.encoder import Floats, ImageVectors, Model
from g3_embedding.lanes import DeviceLost


class TorchEncoder:
    """`Encoder` with an `AlignmentModel`, in float32."""

    def __init__(self, model: AlignmentModel, fingerprint: Fingerprint) -> None:
        """`model` lies on its device, in eval mode; `fingerprint` is its own."""
        self._network = model
        self._device = model.device
        self._preprocessor = PhotoPreprocessor(model.configuration.preprocessing)
        # Copies to a GPU go on a stream of their own, beside the forward pass of the batch before.
        self._copies: torch.cuda.Stream | None = None
        if self._device.type == "cuda":
            self._copies = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._model = Model(
            fingerprint=fingerprint.full,
            gps_fingerprint=fingerprint.gps,
            dimension=model.dimension,
            configuration=_name(model.configuration),
            device=str(self._device),
            trained=model.trained,
        )

    @classmethod
    def of_checkpoint(
        cls, checkpoint: Path, device: str = "auto", *, sha256: str | None = None, threads: int = 0
    ) -> "TorchEncoder":
        """Loads `checkpoint` onto `device` (auto: a GPU if there is one).

        `threads` of a forward pass on a CPU, 0: torch decides; it holds for the process. Raises Missing for no such
        file, Rejected for a broken or other file or an unknown device.
        """
        if threads:
            torch.set_num_threads(threads)
        # OpenMP gives each thread that ever computed a team of its own, and as soon as the teams outnumber the cores it
        # lets them sleep at every barrier. Loading computes: its team goes with a thread that ends, so that the device
        # thread's is the only one.
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as loader:
            model = loader.submit(load, checkpoint, _device(device), sha256).result()
        # load() has compared the weights with what the header states: reading them again would only take time.
        return cls(model, describe(checkpoint).fingerprint)

    @property
    def model(self) -> Model:
        return self._model

    def pixels(self, photo: Image) -> Floats:
        return cast(Floats, self._preprocessor.pixels(photo).numpy())

    def stage(self, pixels: Floats) -> object:
        tensor = torch.from_numpy(pixels)
        if self._copies is None:
            return tensor.to(self._device)
        with _lost_devices(), torch.cuda.stream(self._copies):
            staged = tensor.pin_memory().to(self._device, non_blocking=True)
            self._copies.synchronize()
        return staged

    def encode_images(self, staged: Sequence[object]) -> ImageVectors:
        photos = cast(Sequence[Tensor], staged)
        if self._copies is not None:
            for photo in photos:
                # Else its memory could be used again by the copying stream while this one still reads it.
                photo.record_stream(torch.cuda.current_stream(self._device))
        with _lost_devices(), torch.inference_mode():
            vectors = self._network.encode_image(torch.stack(list(photos)))  # [n, 3, size, size] -> 3 x [n, d]
            return ImageVectors(*(_numpy(view) for view in vectors))

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return self._rows(self._network.encode_text, list(texts))

    def encode_coordinates(self, coordinates: NDArray[np.float64]) -> Floats:
        return self._rows(self._network.encode_gps, torch.from_numpy(coordinates))

    @staticmethod
    def _rows(encode: Callable[[Any], Tensor], inputs: object) -> Floats:
        with _lost_devices(), torch.inference_mode():
            return _numpy(encode(inputs))


@contextmanager
def _lost_devices() -> Iterator[None]:
    """After an error of the accelerator itself (an illegal access, a lost GPU) its context answers nothing more."""
    try:
        yield
    except torch.AcceleratorError as error:
        raise DeviceLost(str(error)) from error


def _numpy(vectors: Tensor) -> Floats:
    return cast(Floats, vectors.float().cpu().numpy())


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):  # torch's two ways of saying that it has no such device
        raise Rejected(f"There is no device {name} here: use auto or cpu.", field="device") from None
    return device


def _name(configuration: AlignmentConfiguration) -> str:
    """The preset's name, or "custom"."""
    return next((name for name in PRESETS if preset(name) == configuration), "custom")
