"""Photos as JPEG bytes and back, each in the quality its camera happened to have."""

import hashlib
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LOWEST_QUALITY, HIGHEST_QUALITY = 60, 95


def quality_of(photo_seed: int) -> int:
    """The JPEG quality of one photo, even over 60 to 95, the same in every process."""
    digest = hashlib.blake2b(f"quality {photo_seed}".encode(), digest_size=8).digest()
    return LOWEST_QUALITY + int.from_bytes(digest, "little") % (HIGHEST_QUALITY - LOWEST_QUALITY + 1)


def encoded(pixels: NDArray[np.uint8], quality: int, comment: bytes = b"") -> bytes:
    """`pixels` uint8 [h, w, 3] as JPEG without any metadata, except a comment segment where one is given.

    Colours are not subsampled: at 64 pixels that would halve what the smallest things show.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    if comment:
        image.save(buffer, format="JPEG", quality=quality, subsampling=0, comment=comment)
    else:
        image.save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def decoded(data: bytes) -> NDArray[np.uint8]:
    """What a reader of the file sees: uint8 [h, w, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
