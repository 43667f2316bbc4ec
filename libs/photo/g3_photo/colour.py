"""From any pixel mode to 8-bit sRGB over white."""

from io import BytesIO

from g3_kit.errors import Rejected
from PIL import Image, ImageCms

_WHITE = (255, 255, 255)
# Pillow's modes whose samples are wider than a byte and that it would clip, not scale, on the way to 8 bits.
_SIXTEEN_BIT = frozenset({"I", "I;16", "I;16L", "I;16B", "I;16N"})
_WITH_ALPHA = {"LA": "L", "RGBA": "RGB"}
_SRGB = ImageCms.createProfile("sRGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture as mode RGB, 8 bits a channel, in sRGB, transparent parts over white.

    `profile` is the embedded ICC profile: one that is broken or belongs to another colour space is ignored, as every
    viewer does. Raises Rejected for a pixel form that is no photo's (floating point, more than 16 bits).
    """
    colour, alpha = _without_alpha(image)
    rgb = _through_profile(colour, profile) if profile else None
    if rgb is None:
        rgb = _plain_rgb(colour)
    if alpha is None:
        return rgb
    page = Image.new("RGB", rgb.size, _WHITE)
    page.paste(rgb, mask=alpha)
    return page


def _without_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours in an 8-bit mode (L, RGB, CMYK, LAB, …), and the alpha channel (mode L) if there is one."""
    if image.mode in _SIXTEEN_BIT:
        return _eight_bit(image), None
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in {"P", "PA"} or (image.mode in {"L", "RGB"} and "transparency" in image.info):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode in {"La", "RGBa"}:  # colours already multiplied by alpha
        image = image.convert(image.mode.upper())
    if image.mode in _WITH_ALPHA:
        return image.convert(_WITH_ALPHA[image.mode]), image.getchannel("A")
    return image, None


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to mode L: 0…65535 is scaled onto 0…255, where a plain conversion would clip at 255."""
    wide = image.convert("I")
    low, high = wide.getextrema()
    if not (isinstance(low, (int, float)) and isinstance(high, (int, float)) and low >= 0 and high <= 65_535):
        raise Rejected("The photo has more than 16 bits a pixel: save it with 8 bits a channel.", field="photo")
    return wide.point(lambda level: level * (1 / 257) + 0.5).convert("L")


def _through_profile(colour: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(colour, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # not a profile, or one of another colour space than the pixels


def _plain_rgb(colour: Image.Image) -> Image.Image:
    if colour.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(colour, lab, _SRGB, outputMode="RGB")
        if converted is None:
            raise ValueError("no conversion from Lab")
        return converted
    if colour.mode not in {"L", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"}:
        raise Rejected(
            "The photo's pixels are in a form that photos do not use: save it as 8-bit RGB JPEG or PNG.", field="photo"
        )
    return colour.convert("RGB")
