"""Where a photo says it was taken. For ingest only: references of one's own with EXIF coordinates.

Nothing that answers a job may call this: there the coordinates are the question.
"""

import math
from collections.abc import Mapping

from PIL import ExifTags, Image

from g3_photo.limits import Limits
from g3_photo.reading import BROKEN, opened


def coordinates_of(data: bytes, limits: Limits | None = None) -> tuple[float, float] | None:
    """(latitude, longitude) in WGS 84 degrees from EXIF GPS, longitude in [-180, 180); None where there is none.

    Broken, incomplete or out-of-range EXIF counts as none, and so does exactly (0, 0) and a receiver that reports no
    fix: cameras write these before they know. Raises Rejected or TooLarge as `read` for what is no photo.
    """
    with opened(data, limits or Limits()) as image:
        try:
            return _position(_gps(image))
        except BROKEN:
            return None


def _gps(image: Image.Image) -> Mapping[int, object]:
    return image.getexif().get_ifd(ExifTags.IFD.GPSInfo)


def _position(gps: Mapping[int, object]) -> tuple[float, float] | None:
    if gps.get(ExifTags.GPS.GPSStatus) in {"V", b"V"}:  # void: the receiver had no fix
        return None
    latitude = _degrees(gps.get(ExifTags.GPS.GPSLatitude), gps.get(ExifTags.GPS.GPSLatitudeRef), "N", "S")
    longitude = _degrees(gps.get(ExifTags.GPS.GPSLongitude), gps.get(ExifTags.GPS.GPSLongitudeRef), "E", "W")
    if latitude is None or longitude is None or (latitude, longitude) == (0.0, 0.0):
        return None
    if abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return latitude, -180.0 if longitude == 180 else longitude


def _degrees(value: object, reference: object, positive: str, negative: str) -> float | None:
    """Degrees, minutes and seconds (any number of them from 1 to 3) with their hemisphere letter."""
    parts = value if isinstance(value, tuple) else (value,)
    letter = reference.decode("ascii", "replace") if isinstance(reference, bytes) else reference
    if not isinstance(letter, str) or letter.strip("\0 ").upper() not in {positive, negative}:
        return None
    if not 1 <= len(parts) <= 3:
        return None
    degrees = float(sum(float(part) / 60**power for power, part in enumerate(parts)))
    if not math.isfinite(degrees) or degrees < 0:
        return None
    return -degrees if letter.strip("\0 ").upper() == negative else degrees
