"""The port to what turns photos into vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from g3_kit.errors import G3Error


@dataclass(frozen=True)
class Model:
    """What is served: its fingerprint, the width d of its vectors, photos a call, and whether anybody trained it."""

    fingerprint: str
    dimension: int
    max_items: int
    trained: bool


@dataclass(frozen=True)
class PhotoVectors:
    """The three vectors of one photo, each little-endian float32, `4 * dimension` bytes, unit length."""

    dimension: int
    clip: bytes
    text_aligned: bytes
    gps_aligned: bytes


class Embedder(Protocol):
    """Photos to vectors."""

    def model(self) -> Model:
        """Which model is served. Raises Unavailable when nobody answers."""
        ...

    def embed(self, photos: Sequence[bytes], model: str) -> list[PhotoVectors | G3Error]:
        """Vectors of each photo (JPEG bytes, at most `Model.max_items`), or what is wrong with that one.

        Raises Mismatch when the served model is not `model`, Exhausted when the queue is full (`retry_after_s` says
        how long to wait), Unavailable when nobody answers.
        """
        ...
