"""Colour modes and orientation: what comes out of `read` looks as the photo did."""

from io import BytesIO
from typing import Any

import pytest
from g3_kit.errors import Rejected
from g3_photo import read
from PIL import ExifTags, Image, ImageCms

SIZE = (48, 32)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    value = image.getpixel((x, y))
    assert isinstance(value, tuple)
    return tuple(int(channel) for channel in value)


def near(image: Image.Image, colour: tuple[int, int, int], tolerance: int = 3, at: tuple[int, int] = (20, 15)) -> bool:
    assert image.mode == "RGB"
    return all(abs(a - b) <= tolerance for a, b in zip(pixel(image, *at), colour, strict=True))


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "seen"),
    [
        ("RGB", (200, 100, 50), "PNG", (200, 100, 50)),
        ("RGB", (200, 100, 50), "JPEG", (200, 100, 50)),
        ("RGB", (200, 100, 50), "WEBP", (200, 100, 50)),
        ("RGB", (200, 100, 50), "TIFF", (200, 100, 50)),
        ("RGB", (200, 100, 50), "BMP", (200, 100, 50)),
        ("L", 77, "PNG", (77, 77, 77)),
        ("L", 77, "JPEG", (77, 77, 77)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("LA", (0, 128), "PNG", (127, 127, 127)),
        ("RGBA", (255, 0, 0, 0), "PNG", (255, 255, 255)),
        ("RGBA", (255, 0, 0, 128), "PNG", (255, 127, 127)),
        ("RGBA", (255, 0, 0, 0), "WEBP", (255, 255, 255)),
        ("I;16", 257 * 100, "PNG", (100, 100, 100)),
        ("I;16", 65_535, "TIFF", (255, 255, 255)),
        ("I;16", 0, "PNG", (0, 0, 0)),
        ("CMYK", (0, 255, 255, 0), "JPEG", (255, 0, 0)),
        ("CMYK", (0, 255, 255, 0), "TIFF", (255, 0, 0)),
        ("YCbCr", (128, 128, 128), "JPEG", (128, 128, 128)),
        ("LAB", (255, 128, 128), "TIFF", (255, 255, 255)),
    ],
)
def test_every_colour_mode_becomes_rgb(mode: str, colour: Any, kind: str, seen: tuple[int, int, int]) -> None:
    photo = read(encoded(Image.new(mode, SIZE, colour), kind))
    assert photo.size == SIZE
    assert near(photo, seen, tolerance=5 if kind in {"JPEG", "WEBP"} else 2)
    assert photo.info == {}


def test_palettes_are_looked_up_and_their_transparency_is_white() -> None:
    image = Image.new("RGB", SIZE, (10, 200, 30)).quantize(4)
    assert near(read(encoded(image)), (10, 200, 30))
    index = image.getpixel((0, 0))
    assert near(read(encoded(image, transparency=index)), (255, 255, 255))
    paled = image.convert("RGBA").convert("PA")
    assert near(read(encoded(paled.convert("P"), transparency=b"\x80" * 4)), (132, 227, 142))


def test_a_transparent_colour_of_grey_and_rgb_pngs_is_white() -> None:
    assert near(read(encoded(Image.new("L", SIZE, 9), transparency=9)), (255, 255, 255))
    assert near(read(encoded(Image.new("RGB", SIZE, (9, 8, 7)), transparency=(9, 8, 7))), (255, 255, 255))
    assert near(read(encoded(Image.new("1", SIZE, 0), transparency=0)), (255, 255, 255))


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = Image.new("I;16", (256, 32))
    for x in range(256):
        for y in range(32):
            ramp.putpixel((x, y), x * 257)
    photo = read(encoded(ramp))
    assert [pixel(photo, x, 8)[0] for x in range(256)] == list(range(256))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_wider_than_a_photo_has_are_refused(mode: str) -> None:
    with pytest.raises(Rejected, match="save it"):
        read(encoded(Image.new(mode, SIZE, 1_000_000), "TIFF"))


def test_an_embedded_profile_is_applied_and_a_broken_one_ignored() -> None:
    image = Image.new("RGB", SIZE, (200, 100, 50))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert near(read(encoded(image, icc_profile=srgb)), (200, 100, 50), tolerance=1)
    assert near(read(encoded(image, icc_profile=b"no profile at all")), (200, 100, 50))
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # of another colour space than the pixels
    assert near(read(encoded(image, icc_profile=lab)), (200, 100, 50))
    assert not near(read(encoded(image, icc_profile=_swapped(srgb))), (200, 100, 50), tolerance=20)


def test_a_profile_leaves_alpha_alone() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGBA", SIZE, (255, 0, 0, 128))
    assert near(read(encoded(image, icc_profile=srgb)), (255, 127, 127))


def _swapped(profile: bytes) -> bytes:
    """The profile with its red and blue primaries exchanged: a wide departure that any reader must see."""
    return profile.replace(b"rXYZ", b"tmpX").replace(b"bXYZ", b"rXYZ").replace(b"tmpX", b"bXYZ")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_stand_upright(orientation: int, kind: str) -> None:
    upright = Image.new("RGB", (96, 64), (0, 0, 0))
    upright.paste((255, 0, 0), (0, 0, 48, 32))
    upright.paste((0, 255, 0), (48, 0, 96, 32))
    upright.paste((0, 0, 255), (0, 32, 48, 64))
    # what the camera stored, so that `orientation` sets it upright (CIPA DC-008)
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    photo = read(encoded(stored, kind, exif=exif))
    assert photo.size == (96, 64)
    assert near(photo, (255, 0, 0), 12, at=(20, 15))
    assert near(photo, (0, 255, 0), 12, at=(75, 15))
    assert near(photo, (0, 0, 255), 12, at=(20, 50))
    assert near(photo, (0, 0, 0), 12, at=(75, 50))


@pytest.mark.filterwarnings("default:Corrupt EXIF data")  # as where warnings are not errors
@pytest.mark.parametrize("exif", [b"", b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0"])
def test_broken_exif_leaves_a_good_picture(exif: bytes) -> None:
    data = encoded(Image.new("RGB", SIZE, (200, 100, 50)), "JPEG", exif=b"Exif\0\0" + exif)
    assert near(read(data), (200, 100, 50), 5)


def test_the_first_picture_of_a_phones_multi_picture_file_counts() -> None:
    main, depth = Image.new("RGB", SIZE, (200, 100, 50)), Image.new("RGB", SIZE, (0, 0, 0))
    data = encoded(main, "MPO", save_all=True, append_images=[depth])
    assert near(read(data), (200, 100, 50), 5)
