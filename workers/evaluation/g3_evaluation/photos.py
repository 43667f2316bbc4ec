"""One photo's bytes as the services may see them: pixels, and nothing that says where they are from."""

import hashlib
import struct
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from g3_kit.errors import G3Error, Missing, Rejected
from g3_photo import Limits, clean

_LIMITS = Limits()
_SOI, _SOS, _COM = 0xD8, 0xDA, 0xFE
_JFIF, _ADOBE = 0xE0, 0xEE  # how the pixels are coded; every other APPn says something about the photo


def content_of(path: Path) -> bytes:
    """The file's bytes. Raises Missing for no such file, Rejected or TooLarge for one that is no photo by its size."""
    try:
        if path.stat().st_size > _LIMITS.max_bytes:
            raise Rejected("the file is too large for a photo")
        return path.read_bytes()
    except FileNotFoundError:
        raise Missing("the photo is not there") from None
    except OSError as error:
        raise Rejected(f"the photo cannot be read ({error.strerror})") from None


def digest_of(content: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(content).hexdigest()


def stripped(content: bytes) -> bytes:
    """The photo as a JPEG made from its pixels alone. Raises Rejected or TooLarge for what is no acceptable photo."""
    jpeg = clean(content, _LIMITS).jpeg
    if carries_metadata(jpeg):
        # Nearly all photos of IM2GPS3K state their coordinates in a comment: sending one would answer the question.
        raise G3Error("a cleaned photo still carries metadata: nothing is sent")
    return jpeg


def carries_metadata(jpeg: bytes) -> bool:
    """Whether a JPEG has a comment or an application segment other than JFIF's and Adobe's, or bytes after its end.

    Raises Rejected for what is no JPEG.
    """
    if jpeg[:2] != bytes((0xFF, _SOI)):
        raise Rejected("this is no JPEG")
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != _SOS:
        marker, (length,) = jpeg[at + 1], struct.unpack(">H", jpeg[at + 2 : at + 4])
        if marker == _COM or (0xE0 <= marker <= 0xEF and marker not in (_JFIF, _ADOBE)):
            return True
        at += 2 + length
    return not jpeg.rstrip(b"\0").endswith(b"\xff\xd9")


def identical(digests: Mapping[str, str]) -> list[list[str]]:
    """Groups of ids whose files are byte for byte the same, largest first: "no longer available" pictures.

    `digests`: id -> SHA-256 of the file.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for id_, digest in digests.items():
        groups[digest].append(id_)
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda group: (-len(group), group[0]))
