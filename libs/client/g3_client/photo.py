"""The photo as a caller hands it over: a path, bytes or an open file."""

import os
from pathlib import Path
from typing import IO

from g3_client.errors import UnusablePhoto

Photo = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]
"""What is taken as a photo."""


def read(photo: Photo) -> bytes:
    """The encoded bytes of a photo. Nothing is decoded here: the server judges what it is.

    Raises UnusablePhoto when there is nothing to read.
    """
    if isinstance(photo, (bytes, bytearray, memoryview)):
        content, name = bytes(photo), "the photo"
    elif isinstance(photo, (str, os.PathLike)):
        content, name = _of_file(Path(photo)), str(photo)
    else:
        content, name = _of_stream(photo), "the photo"
    if not content:
        raise UnusablePhoto(f"{name} is empty.")
    return content


def _of_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusablePhoto(f"{path} cannot be read: {error.strerror or type(error).__name__}.") from error


def _of_stream(stream: IO[bytes]) -> bytes:
    content = stream.read()
    if not isinstance(content, bytes):
        raise UnusablePhoto("A file must be opened in binary mode.")
    return content
