"""Bad input: every one a Rejected with a sentence, never another exception and never the decoder's words."""

import random
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from g3_kit.errors import Rejected, TooLarge
from g3_photo import Limits, clean, coordinates_of, read, rendition
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

HEADS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\x40\0\0\0WEBPVP8 ", b"II*\0\x08\0\0\0", b"BM"]
LEAKS = ("PIL", "Traceback", "object at", "identify", "decoder", "/", "0x", "BytesIO")


def noisy(size: tuple[int, int] = (64, 48)) -> Image.Image:
    grain = Image.frombytes("RGB", size, random.Random(1).randbytes(3 * size[0] * size[1]))
    return Image.blend(grain, Image.linear_gradient("L").resize(size).convert("RGB"), 0.7)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def assert_speaks_plainly(error: Rejected) -> None:
    assert error.field == "photo"
    assert ": " in error.message
    assert not any(leak in error.message for leak in LEAKS)
    assert error.__suppress_context__ or error.__context__ is None


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, rows, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello, I am no photo", "no photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no photo"),
        (b"%PDF-1.7\n", "no photo"),
        (encoded(noisy(), "GIF"), "no photo"),  # not on the list of formats
        (encoded(noisy((1, 1)), "PNG"), "too small"),
        (encoded(noisy((15, 400)), "PNG"), "too small"),
        (encoded(noisy((16, 400)), "PNG"), "crop"),
        (png_header(8001, 8000), "too many pixels"),
        (png_header(10_000, 10_000), "too many pixels"),  # where Pillow warns
        (png_header(50_000, 50_000), "too many pixels"),  # where Pillow raises
        (png_header(2**31 - 1, 2**31 - 1), "too many pixels"),
        (png_header(400, 400), "damaged"),  # the promised rows are not there
    ],
)
def test_what_is_no_acceptable_photo_is_rejected(data: bytes, says: str) -> None:
    for call in (read, clean):
        with pytest.raises(Rejected, match=says) as caught:
            call(data)
        assert not isinstance(caught.value, TooLarge)
        assert_speaks_plainly(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF"])
def test_animations_and_pages_are_rejected(kind: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    with pytest.raises(Rejected, match=r"animation|no photo") as caught:
        read(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert_speaks_plainly(caught.value)


def test_too_many_bytes_are_too_large() -> None:
    data = encoded(noisy(), "PNG")
    with pytest.raises(TooLarge, match="smaller") as caught:
        read(data, Limits(max_bytes=len(data) - 1))
    assert_speaks_plainly(caught.value)
    assert caught.value.http_status == 413
    assert read(data, Limits(max_bytes=len(data))).size == (64, 48)


def test_limits_are_the_callers() -> None:
    assert read(encoded(noisy((64, 48)), "PNG"), Limits(max_pixels=64 * 48)).size == (64, 48)
    with pytest.raises(Rejected, match="too many"):
        read(encoded(noisy((64, 48)), "PNG"), Limits(max_pixels=64 * 48 - 1))
    with pytest.raises(Rejected, match="send one of PNG"):
        read(encoded(noisy(), "JPEG"), Limits(formats=("PNG",)))


@pytest.mark.parametrize(
    "bounds", [{"max_bytes": 0}, {"min_side_px": 0}, {"max_pixels": 10**9}, {"formats": ()}, {"max_aspect_ratio": 0.5}]
)
def test_limits_that_mean_nothing_are_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Limits(**bounds)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_cut_files_are_rejected_at_every_offset(kind: str) -> None:
    whole = encoded(noisy(), kind)
    for length in range(0, int(len(whole) * 0.95), max(1, len(whole) // 150)):
        with pytest.raises(Rejected) as caught:
            read(whole[:length])
        assert_speaks_plainly(caught.value)


def _read_or_refuse(call: Callable[[bytes], object], data: bytes) -> None:
    try:
        call(data)
    except Rejected as refusal:
        assert_speaks_plainly(refusal)


@pytest.mark.parametrize("call", [read, clean, coordinates_of, rendition])
@settings(max_examples=150, deadline=None)
@given(head=st.sampled_from([b"", *HEADS]), tail=st.binary(max_size=300))
def test_random_bytes_never_do_anything_else(call: Callable[[bytes], object], head: bytes, tail: bytes) -> None:
    _read_or_refuse(call, head + tail)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@settings(max_examples=100, deadline=None)
@given(seed=st.randoms(use_true_random=False))
def test_damaged_photos_never_do_anything_else(kind: str, seed: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)
    data = bytearray(encoded(noisy(), kind, **({} if kind == "BMP" else {"exif": exif})))
    for _ in range(seed.randint(1, 12)):
        # half of the damage in the first bytes, where the structure is
        place = seed.randrange(min(len(data), 200)) if seed.random() < 0.5 else seed.randrange(len(data))
        data[place] = seed.randrange(256)
    _read_or_refuse(clean, bytes(data))
    _read_or_refuse(coordinates_of, bytes(data))
