"""Nothing but pixels survives `clean` and `rendition`."""

import hashlib
import random
from io import BytesIO
from typing import Any

import pytest
from g3_photo import clean, coordinates_of, read, rendition
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo

PLANTED = (b"48.85837", b"2.294481", b"Exif", b"GPS", b"http://ns.adobe.com", b"xmp", b"Photoshop", b"8BIM", b"secret",
           b"ICC_PROFILE", b"acsp", b"Canon", b"0048/1")  # fmt: skip
XMP = (
    b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description exif:GPSLatitude='48.85837' "
    b"exif:GPSLongitude='2.294481'/></x:xmpmeta>"
)
IPTC = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x12\x1c\x02\x5a\0\x0dsecret 48.858"


def noisy(size: tuple[int, int]) -> Image.Image:
    grain = Image.frombytes("RGB", size, random.Random(1).randbytes(3 * size[0] * size[1]))
    return Image.blend(grain, Image.linear_gradient("L").resize(size).convert("RGB"), 0.7)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gps_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Canon"
    exif[ExifTags.Base.ImageDescription] = "secret 48.85837"
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef], gps[ExifTags.GPS.GPSLatitude] = "N", (48.0, 51.0, 30.132)
    gps[ExifTags.GPS.GPSLongitudeRef], gps[ExifTags.GPS.GPSLongitude] = "E", (2.0, 17.0, 40.1316)
    return exif


def planted_jpeg(size: tuple[int, int] = (320, 240)) -> bytes:
    segment = b"\xff\xed" + (len(IPTC) + 2).to_bytes(2, "big") + IPTC
    return encoded(
        noisy(size),
        "JPEG",
        exif=gps_exif(),
        comment=b"secret 48.85837 2.294481",
        icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        extra=segment + b"\xff\xe1" + (len(XMP) + 2).to_bytes(2, "big") + XMP,
    )


def planted_png() -> bytes:
    text = PngInfo()
    text.add_text("Comment", "secret 48.85837 2.294481")
    text.add_itxt("XML:com.adobe.xmp", XMP.decode("latin1").replace("\0", ""))
    return encoded(noisy((320, 240)), "PNG", pnginfo=text, exif=gps_exif())


def planted_webp() -> bytes:
    return encoded(noisy((320, 240)), "WEBP", exif=gps_exif(), xmp=XMP)


def segments(jpeg: bytes) -> list[int]:
    """The marker bytes of a JPEG's segments, in order, up to the scan."""
    markers, place = [], 2
    while jpeg[place + 1] != 0xDA:
        markers.append(jpeg[place + 1])
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    return markers


@pytest.mark.parametrize("data", [planted_jpeg(), planted_png(), planted_webp()], ids=["JPEG", "PNG", "WEBP"])
def test_planted_coordinates_do_not_survive(data: bytes) -> None:
    assert sum(word in data for word in PLANTED) >= 3, "the plant itself must be there"
    photo = clean(data)
    for jpeg in (photo.jpeg, clean(data, smallest=False).jpeg, rendition(photo.jpeg), rendition(data)):
        assert not [word for word in PLANTED if word.lower() in jpeg.lower()]
        assert coordinates_of(jpeg) is None
        # JFIF, tables, frame and Huffman codes; no APP1…APP15, no comment
        assert set(segments(jpeg)) <= {0xE0, 0xDB, 0xC0, 0xC4}
        with Image.open(BytesIO(jpeg)) as again:
            assert not again.getexif()
            assert set(again.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_cleaning_is_deterministic_and_says_its_digest() -> None:
    data = planted_jpeg()
    photo = clean(data)
    assert photo == clean(data)
    assert photo.sha256 == hashlib.sha256(photo.jpeg).hexdigest()
    assert (photo.width, photo.height) == (320, 240) == read(photo.jpeg).size


def test_a_file_that_is_not_the_smallest_has_the_same_pixels() -> None:
    data = encoded(noisy((320, 240)), "PNG")
    small, quick = clean(data), clean(data, smallest=False)
    assert read(small.jpeg).tobytes() == read(quick.jpeg).tobytes()
    assert len(small.jpeg) < len(quick.jpeg)


def test_large_photos_shrink_and_small_ones_stay() -> None:
    photo = clean(encoded(noisy((3000, 1500)), "JPEG"))
    assert (photo.width, photo.height) == (2048, 1024)
    assert (clean(encoded(noisy((100, 80)), "PNG")).width) == 100
    # a JPEG eight times too large is decoded at a fraction of its size, and still comes out as asked
    assert clean(encoded(Image.new("RGB", (4096, 1024), (200, 100, 50)), "JPEG"), longest_side_px=512).width == 512
    slim = clean(encoded(noisy((2400, 121)), "PNG"), longest_side_px=512)
    assert read(slim.jpeg).size == (512, 26)


def test_renditions_fit_and_step_down_only_as_needed() -> None:
    jpeg = clean(encoded(noisy((2048, 1536)), "PNG")).jpeg
    usual = rendition(jpeg)
    assert read(usual).size == (1024, 768)
    assert len(usual) <= 2**20
    for bound in (200_000, 60_000, 10_000):
        small = rendition(jpeg, max_bytes=bound)
        assert len(small) <= bound
        assert bound * 0.3 < len(small), "more quality was given away than asked"
    with pytest.raises(ValueError, match="too little"):
        rendition(jpeg, max_bytes=300)


@pytest.mark.parametrize(
    ("latitude", "longitude", "place"),
    [
        (("N", (48.0, 51.0, 30.0)), ("E", (2.0, 17.0, 24.0)), (48.858333, 2.29)),
        (("S", (33.0, 51.5, 0.0)), ("W", (151.0, 12.0, 0.0)), (-33.858333, -151.2)),
        (("N", (10.5, 0.0, 0.0)), ("E", (180.0, 0.0, 0.0)), (10.5, -180.0)),
        (("N", (0.0, 0.0, 0.0)), ("E", (0.0, 0.0, 0.0)), None),
        (("N", (91.0, 0.0, 0.0)), ("E", (10.0, 0.0, 0.0)), None),
        (("N", (45.0, 0.0, 0.0)), ("E", (181.0, 0.0, 0.0)), None),
        (("X", (45.0, 0.0, 0.0)), ("E", (10.0, 0.0, 0.0)), None),
        (("N", (45.0, 0.0, 0.0)), (None, (10.0, 0.0, 0.0)), None),
        (("N", None), ("E", (10.0, 0.0, 0.0)), None),
    ],
)
def test_exif_coordinates_for_ingest(latitude: Any, longitude: Any, place: tuple[float, float] | None) -> None:
    exif = Image.Exif()
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    names = ExifTags.GPS
    tags = (names.GPSLatitudeRef, names.GPSLatitude, names.GPSLongitudeRef, names.GPSLongitude)
    for tag, value in zip(tags, (*latitude, *longitude), strict=True):
        if value is not None:
            gps[tag] = value
    found = coordinates_of(encoded(noisy((32, 32)), "JPEG", exif=exif))
    assert found == (None if place is None else pytest.approx(place, abs=1e-5))


@pytest.mark.filterwarnings("default:Corrupt EXIF data")  # as where warnings are not errors
def test_no_or_broken_exif_has_no_coordinates() -> None:
    assert coordinates_of(encoded(noisy((32, 32)), "JPEG")) is None
    assert coordinates_of(encoded(noisy((32, 32)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")) is None
    exif = gps_exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSStatus] = "V"
    assert coordinates_of(encoded(noisy((32, 32)), "JPEG", exif=exif)) is None
