"""One way to read a photo: under limits, upright, in sRGB, without metadata.

Every photo that enters G3 passes `clean` (or `read`) once. What comes out carries no EXIF, GPS, XMP, IPTC, ICC
profile or JPEG comment: they are private, and benchmark photos carry the answer in them.
"""

from g3_photo.cleaning import CleanPhoto, clean, rendition
from g3_photo.exif import coordinates_of
from g3_photo.limits import Limits
from g3_photo.reading import read

__all__ = ["CleanPhoto", "Limits", "clean", "coordinates_of", "read", "rendition"]
