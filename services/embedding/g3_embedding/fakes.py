"""An encoder without a model, for tests: the same content always has the same vectors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

from g3_embedding.encoder import Floats, ImageVectors, Model


@dataclass(frozen=True)
class FakeEncoder:
    """`Encoder` whose vectors are drawn from a generator seeded by a hash of the content."""

    dimension: int = 16
    size: int = 8

    @property
    def model(self) -> Model:
        return Model(
            fingerprint=hashlib.sha256(b"fake").hexdigest(),
            gps_fingerprint=hashlib.sha256(b"fake gps").hexdigest(),
            dimension=self.dimension,
            configuration="fake",
            device="none",
        )

    def pixels(self, photo: Image) -> Floats:
        small = np.asarray(photo.resize((self.size, self.size), Resampling.BILINEAR), dtype=np.float32)
        return np.ascontiguousarray(small.transpose(2, 0, 1) / np.float32(255))  # [h, w, 3] -> [3, h, w]

    def stage(self, pixels: Floats) -> object:
        return pixels

    def encode_images(self, staged: Sequence[object]) -> ImageVectors:
        contents = [cast(Floats, pixels).tobytes() for pixels in staged]
        return ImageVectors(*(self._vectors(view, contents) for view in (b"clip", b"text", b"gps")))

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return self._vectors(b"text", [text.encode() for text in texts])

    def encode_coordinates(self, coordinates: NDArray[np.float64]) -> Floats:
        return self._vectors(b"gps", [row.tobytes() for row in coordinates])

    def _vectors(self, view: bytes, contents: Sequence[bytes]) -> Floats:
        rows = np.empty((len(contents), self.dimension), dtype=np.float32)
        for row, content in zip(rows, contents, strict=True):
            seed = int.from_bytes(hashlib.sha256(view + b"\0" + content).digest()[:8], "little")
            drawn = np.random.default_rng(seed).standard_normal(self.dimension)
            row[:] = drawn / np.linalg.norm(drawn)
        return rows
