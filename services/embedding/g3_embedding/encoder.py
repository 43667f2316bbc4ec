"""The port to the model, in numpy: what the room asks of whatever makes the vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """What is served: two SHA-256 digests in hex, the width d of every vector, names of configuration and device."""

    fingerprint: str
    gps_fingerprint: str
    dimension: int
    configuration: str
    device: str
    trained: bool = False


class ImageVectors(NamedTuple):
    """The three views of photos (G3, section 3.1): float32 [n, d] of n photos, or [d] of one; unit length."""

    clip: Floats
    text_aligned: Floats
    gps_aligned: Floats


class Encoder(Protocol):
    """An aligned model. `pixels` and `stage` may be called from any thread; of `encode_*` one runs at a time.

    `encode_*` raise what they like about their input (the batcher finds the culprit) and DeviceLost when the device
    itself has failed. Results do not depend on what else is in the batch (cosine >= 0.9999).
    """

    @property
    def model(self) -> Model:
        """What is served."""
        ...

    def pixels(self, photo: Image) -> Floats:
        """An RGB photo of any size, preprocessed: float32 [3, size, size]."""
        ...

    def stage(self, pixels: Floats) -> object:
        """The pixels where the model can use them at once."""
        ...

    def encode_images(self, staged: Sequence[object]) -> ImageVectors:
        """n staged photos: three float32 [n, d] of unit length."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """n texts, of which the tower reads its first tokens: float32 [n, d] of unit length."""
        ...

    def encode_coordinates(self, coordinates: NDArray[np.float64]) -> Floats:
        """Latitudes and longitudes in degrees, float64 [n, 2]: float32 [n, d] of unit length."""
        ...
