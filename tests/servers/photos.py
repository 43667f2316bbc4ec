"""Photos of every kind that a caller may send, made on the spot."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

SECRET = b"48.8583701N"
"""Coordinates as text, planted where metadata lies."""


def picture(side: tuple[int, int] = (320, 240), seed: int = 0) -> Image.Image:
    """A smooth picture with some structure, mode RGB."""
    small = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(side, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The file's bytes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def jpeg(seed: int = 0, side: tuple[int, int] = (320, 240)) -> bytes:
    """An ordinary photo; another seed is another one."""
    return encoded(picture(side, seed))


def acceptable() -> dict[str, bytes]:
    """Unusual files that are converted."""
    rgb = picture()
    deep = Image.fromarray((np.arange(240 * 320).reshape(240, 320) % 65536).astype(np.uint16))
    return {
        "cmyk": encoded(rgb.convert("CMYK")),
        "16-bit png": encoded(deep, "PNG"),
        "16-bit tiff": encoded(deep, "TIFF"),
        "palette": encoded(rgb.convert("P"), "PNG"),
        "alpha": encoded(rgb.convert("RGBA"), "PNG"),
        "palette with transparency": encoded(rgb.convert("P"), "PNG", transparency=3),
        "grey": encoded(rgb.convert("L")),
        "one bit": encoded(rgb.convert("1"), "PNG"),
        "webp": encoded(rgb, "WEBP"),
        "bmp": encoded(rgb, "BMP"),
    }


def unacceptable() -> dict[str, bytes]:
    """Files that are 422."""
    photo = jpeg()
    frames = [picture(seed=n) for n in range(3)]
    return {
        "empty": b"",
        "truncated": photo[: len(photo) // 2],
        "header only": photo[:30],
        "text": b"this is not a photo" * 50,
        "html": b"<!doctype html><html><body>photo</body></html>",
        "pdf": b"%PDF-1.7\n" + b"0" * 500,
        "gif": encoded(picture(), "GIF"),
        "animated webp": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "animated png": encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "many pages": encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
        "1x1": encoded(picture((1, 1)), "PNG"),
        "bomb": bomb(60_000, 60_000),
        "thread": encoded(picture((4000, 20)), "PNG"),
        "noise": np.random.default_rng(1).bytes(5000),
    }


def bomb(width: int, height: int) -> bytes:
    """A tiny PNG whose header promises `width` by `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def with_metadata() -> bytes:
    """A JPEG with its place in EXIF GPS, an EXIF text, XMP, IPTC and a comment; SECRET is in all but the first."""
    image = picture()
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", (48.0, 51.0, 30.132)
    gps[3], gps[4] = "E", (2.0, 17.0, 40.1316)
    photo = encoded(image, exif=exif.tobytes(), comment=SECRET, quality=90)
    xmp = b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta><exif:GPSLatitude>" + SECRET + b"</exif:GPSLatitude></x:xmpmeta>"
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + struct.pack(">I", len(SECRET) + 5) + b"\x1c\x02\x78"
    iptc += struct.pack(">H", len(SECRET)) + SECRET + b"\x00"
    segments = b"".join(
        marker + struct.pack(">H", len(data) + 2) + data for marker, data in ((b"\xff\xe1", xmp), (b"\xff\xed", iptc))
    )
    return photo[:2] + segments + photo[2:]
