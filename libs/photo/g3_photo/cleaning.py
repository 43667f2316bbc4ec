"""Re-encoding: the only form in which a photo is stored or sent on."""

import hashlib
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from g3_photo.limits import Limits
from g3_photo.reading import decode, fitted

# A model's rendition steps down through these until it fits; below 60 JPEG's blocks hide the text on signs, so that
# fewer pixels are the better way on.
_QUALITIES = (88, 80, 70, 60)
_SHRINK = 0.75
_LEAST_SIDE_PX = 64


@dataclass(frozen=True)
class CleanPhoto:
    """A photo without metadata: `jpeg` bytes (sRGB, upright), its size in pixels and the SHA-256 (hex) of `jpeg`."""

    jpeg: bytes
    width: int
    height: int
    sha256: str


def clean(
    data: bytes,
    limits: Limits | None = None,
    *,
    longest_side_px: int = 2048,
    quality: int = 92,
    smallest: bool = True,
) -> CleanPhoto:
    """The photo re-encoded from its pixels alone, never enlarged: no EXIF, GPS, XMP, IPTC, ICC or comment survives.

    The same bytes give the same JPEG on the same Pillow. `smallest` false: the same pixels in a file some per cent
    larger, encoded in half the time, for one that is read once and not kept. Raises Rejected or TooLarge as `read`
    does.
    """
    photo = decode(data, limits or Limits(), longest_side_px)
    jpeg = _encoded(photo, quality, smallest)
    return CleanPhoto(jpeg, photo.width, photo.height, hashlib.sha256(jpeg).hexdigest())


def rendition(jpeg: bytes, *, longest_side_px: int = 1024, max_bytes: int = 1024 * 1024) -> bytes:
    """A smaller JPEG of a cleaned photo, at most `max_bytes` long: first the quality steps down, then the size.

    Raises ValueError when even a thumbnail is over `max_bytes`, and as `read` for bytes that are no photo.
    """
    photo = decode(jpeg, Limits(max_bytes=max(len(jpeg), 1)), longest_side_px)
    side_px = max(photo.size)
    while True:
        photo = fitted(photo, side_px)
        for quality in _QUALITIES:
            smaller = _encoded(photo, quality)
            if len(smaller) <= max_bytes:
                return smaller
        side_px = int(side_px * _SHRINK)
        if side_px < _LEAST_SIDE_PX:
            raise ValueError(f"max_bytes of {max_bytes} is too little for any rendition")


def _encoded(photo: Image.Image, quality: int, smallest: bool = True) -> bytes:
    file = BytesIO()
    # Huffman tables of the photo's own need a second pass; the pixels do not depend on them.
    photo.save(file, "JPEG", quality=quality, subsampling="4:2:0", optimize=smallest)
    return file.getvalue()
