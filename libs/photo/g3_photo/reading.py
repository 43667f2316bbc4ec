"""Opening and decoding under limits. Nothing else in G3 opens a photo."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from g3_kit.errors import Rejected, TooLarge
from PIL import ExifTags, Image, ImageCms

from g3_photo.colour import to_srgb
from g3_photo.limits import Limits

# What Pillow's parsers raise on broken bytes, gathered by fuzzing and from its sources; UnidentifiedImageError is an
# OSError. Warning stands for Pillow's own warnings where the process turns warnings into errors.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    AttributeError,
    struct.error,
    zlib.error,
    ImageCms.PyCMSError,
    Warning,
)

_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# Modes that may be resampled as they are; shrinking before the colour transform makes that one cheaper.
_SHRINK_FIRST = frozenset({"L", "RGB", "CMYK"})

# EXIF orientation (CIPA DC-008, tag 274) to what sets the picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read(data: bytes, limits: Limits | None = None) -> Image.Image:
    """The photo as mode RGB, 8 bits a channel, upright, in sRGB, alpha over white, with an empty `info`.

    Raises TooLarge over `limits.max_bytes` and Rejected for everything else that is no acceptable photo: empty, of
    another format, truncated, undecodable, animated, too small or of too many pixels (known from the header, before
    decoding). The messages say what to do and carry nothing of the decoder's.
    """
    return decode(data, limits or Limits())


def decode(data: bytes, limits: Limits, longest_side_px: int | None = None) -> Image.Image:
    """As `read`, shrunk so that no side is longer than `longest_side_px`; never enlarged."""
    with opened(data, limits) as image, _refusing("The photo is damaged or cut short: send the whole file."):
        if longest_side_px is not None:
            _draft(image, 2 * longest_side_px)
        image.load()
        method = _UPRIGHT.get(_orientation(image))
        profile = image.info.get("icc_profile")
        photo: Image.Image = image
        if longest_side_px is not None and image.mode in _SHRINK_FIRST and "transparency" not in image.info:
            photo = fitted(image, longest_side_px)
        photo = to_srgb(photo, profile if isinstance(profile, bytes) else None)
        if longest_side_px is not None:
            photo = fitted(photo, longest_side_px)
        # transpose() and copy() also leave the decoder's own class behind, with all it had parsed
        photo = photo.copy() if method is None else photo.transpose(method)
        photo.info.clear()
        return photo


def fitted(photo: Image.Image, longest_side_px: int) -> Image.Image:
    """The photo shrunk so that no side is longer than `longest_side_px`; a photo that fits already is returned."""
    scale = longest_side_px / max(photo.size)
    if scale >= 1:
        return photo
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    return photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _draft(image: Image.Image, least_side_px: int) -> None:
    """Lets a JPEG decode at 1/2, 1/4 or 1/8 while its longest side keeps `least_side_px`."""
    scale = least_side_px / max(image.size)
    if scale <= 0.5:
        image.draft(None, (max(1, round(image.width * scale)), max(1, round(image.height * scale))))


@contextmanager
def opened(data: bytes, limits: Limits) -> Iterator[Image.Image]:
    """The photo with its header read and judged against `limits`, its pixels not yet decoded. Raises as `read`."""
    if not data:
        raise Rejected("The photo is empty: send the bytes of an image file.", field="photo")
    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"The photo has {_mebibytes(len(data))} MiB and at most {_mebibytes(limits.max_bytes)} are taken: "
            "send a smaller one.",
            field="photo",
        )
    names = ", ".join(limits.formats)
    with _refusing(f"This is no photo that can be read: send one of {names}.", limits):
        image = Image.open(BytesIO(data), formats=limits.formats)
    with image:
        _judge(image, limits)
        yield image


def _judge(image: Image.Image, limits: Limits) -> None:
    short, long = sorted(image.size)
    if short * long > limits.max_pixels:
        raise _too_many_pixels(limits)
    if short < limits.min_side_px:
        raise Rejected(
            f"The photo is {image.width} by {image.height} pixels, too small to show a place: "
            f"both sides must have at least {limits.min_side_px}.",
            field="photo",
        )
    if long > limits.max_aspect_ratio * short:
        raise Rejected(
            f"The photo is more than {limits.max_aspect_ratio:g} times as long as wide: send a crop of it.",
            field="photo",
        )
    # MPO is what phones write: a JPEG followed by a depth map or a second view, of which the first picture counts
    with _refusing("The photo is damaged or cut short: send the whole file."):
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > limits.max_frames:
        raise Rejected("The file holds several pictures or an animation: send one still photo.", field="photo")


@contextmanager
def _refusing(sentence: str, limits: Limits | None = None) -> Iterator[None]:
    """What Pillow raises inside becomes Rejected with `sentence`, without its cause: that would leak internals."""
    try:
        yield
    except _BOMB:
        raise _too_many_pixels(limits or Limits()) from None
    except BROKEN:
        raise Rejected(sentence, field="photo") from None


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1…8. Broken EXIF leaves the picture as it lies: its pixels are still good."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1
    return orientation if isinstance(orientation, int) else 1


def _too_many_pixels(limits: Limits) -> Rejected:
    return Rejected(
        f"The photo has too many pixels: at most {limits.max_pixels / 1e6:g} million are taken, send a smaller one.",
        field="photo",
    )


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.3g}"
