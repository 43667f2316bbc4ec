"""Where galleries lie: a folder that outlives the process and that replicas may share.

::

    names/<name>                     the fingerprint that the name means now
    <fingerprint>/coordinates.npy    float64 [n, 2], in order
    <fingerprint>/<model>.vectors    see `gallery_vectors`

Every file appears whole or not at all.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from g3_kit.errors import Missing, Unavailable

from g3_verification.gallery import Coordinates, check_name, fingerprint


class Shelf:
    """The names and coordinates of galleries in one folder. Raises Unavailable where the disk fails."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made if it is missing."""
        self._folder = folder
        with _disk():
            (folder / "names").mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Every name, in order."""
        return sorted(path.name for path in (self._folder / "names").iterdir() if not path.name.startswith("."))

    def fingerprint(self, name: str) -> str:
        """What a name means. Raises Missing."""
        check_name(name)
        try:
            return (self._folder / "names" / name).read_text(encoding="ascii")
        except FileNotFoundError:
            raise Missing(
                f"There is no gallery {name}: load one with `g3-eval gallery {name}`, or with PutGallery.",
                field="gallery",
            ) from None

    def put(self, name: str, coordinates: Coordinates) -> str:
        """Keeps merged coordinates under a name and gives their fingerprint; what the name meant before goes."""
        meaning = fingerprint(coordinates)
        folder, before = self.folder(meaning), self._meant(name)
        with _disk():
            folder.mkdir(exist_ok=True)
            if not (folder / "coordinates.npy").exists():
                _write(folder / "coordinates.npy", lambda file: np.save(file, coordinates))
            _write(self._folder / "names" / name, lambda file: file.write(meaning.encode("ascii")))
        if before and before != meaning:
            self._forget(before)
        return meaning

    def drop(self, name: str) -> None:
        """Forgets a name, and its coordinates and vectors unless another name means the same. Raises Missing."""
        meaning = self.fingerprint(name)
        (self._folder / "names" / name).unlink(missing_ok=True)
        self._forget(meaning)

    def coordinates(self, meaning: str) -> Coordinates:
        """float64 [n, 2], memory-mapped. Raises Missing when they have gone meanwhile."""
        try:
            rows: Coordinates = np.load(self.folder(meaning) / "coordinates.npy", mmap_mode="r")
        except FileNotFoundError:
            raise Missing("The gallery was replaced or dropped meanwhile: ask again.", field="gallery") from None
        return rows

    def folder(self, meaning: str) -> Path:
        """Where everything of one set of coordinates lies."""
        return self._folder / meaning

    def _meant(self, name: str) -> str:
        try:
            return self.fingerprint(name)
        except Missing:
            return ""

    def _forget(self, meaning: str) -> None:
        if meaning not in {self._meant(name) for name in self.names()}:
            shutil.rmtree(self.folder(meaning), ignore_errors=True)


def _write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Replaces a file in one step, durably."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as draft:
        try:
            fill(draft)  # type: ignore[arg-type] # a named temporary file is one in all but type
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The gallery's folder cannot be written ({error.strerror}).") from error
