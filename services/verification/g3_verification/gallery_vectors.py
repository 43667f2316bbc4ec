"""The GPS vectors of a gallery in one file, computed block by block, each block sealed by a checksum.

::

    <model>.vectors    [n, d] little-endian float32 or float16, memory-mapped when searched
    <model>.blocks     a line that states the shape, then one CRC-32 for every block that is whole on the disk

A block counts only when its checksum stands in the second file, which is written after the block has reached the
disk. So a build that was killed goes on with the next block, and one that was damaged is computed again.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from g3_kit.errors import Unavailable
from numpy.typing import NDArray

from g3_verification.gallery import Coordinates

BLOCK_ROWS = 8192
_STEP_ROWS = 512  # rows a pass of the scorer: a Score call waits no longer than for one
_DTYPES = {"float32": "<f4", "float16": "<f2"}

Embed = Callable[[Coordinates], NDArray[np.float32]]


@dataclass(frozen=True)
class Shape:
    """What a file of vectors holds."""

    rows: int
    dimension: int
    precision: str
    block_rows: int = BLOCK_ROWS

    @property
    def blocks(self) -> int:
        """How many blocks; the last may be short."""
        return -(-self.rows // self.block_rows)

    @property
    def bytes(self) -> int:
        """Of the whole file."""
        return self.rows * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Of one vector."""
        return self.dimension * np.dtype(_DTYPES[self.precision]).itemsize

    def rows_of(self, block: int) -> tuple[int, int]:
        """First row of a block and the one after its last."""
        return block * self.block_rows, min((block + 1) * self.block_rows, self.rows)


class VectorFile:
    """The vectors of one gallery by one model."""

    def __init__(self, folder: Path, model: str, shape: Shape) -> None:
        """In `folder`, for the model with fingerprint `model`."""
        self.shape = shape
        self._vectors = folder / f"{model}.vectors"
        self._blocks = folder / f"{model}.blocks"

    def sealed(self) -> list[int]:
        """The checksums of the blocks that are whole; none when the file is of another shape."""
        try:
            lines = self._blocks.read_text(encoding="ascii").split("\n")[:-1]  # a torn last line has no end
            if not lines or json.loads(lines[0]) != asdict(self.shape):
                return []
            return [int(line, 16) for line in lines[1 : self.shape.blocks + 1]]
        except (FileNotFoundError, ValueError):
            return []

    @property
    def embedded(self) -> int:
        """How many rows have a vector on the disk."""
        return min(len(self.sealed()) * self.shape.block_rows, self.shape.rows)

    def open(self) -> NDArray[np.floating]:
        """The vectors, memory-mapped, [n, d]. Raises Unavailable unless every block is there."""
        if self.embedded < self.shape.rows:
            raise Unavailable("the vectors are not complete")
        shape = (self.shape.rows, self.shape.dimension)
        return np.memmap(self._vectors, dtype=_DTYPES[self.shape.precision], mode="r", shape=shape)

    def build(self, coordinates: Coordinates, embed: Embed, stopped: Callable[[], bool]) -> bool:
        """Computes what is missing and compares what is there with its checksums; whether all is whole at the end.

        False when another process is at it, or `stopped` said so. Raises what `embed` raises, Unavailable for vectors
        that are not finite, OSError when the disk is full.
        """
        with self._alone() as mine:
            if not mine:
                return False
            good = self._checked(stopped)
            if good is None:
                return False
            with self._vectors.open("r+b" if self._vectors.exists() else "w+b") as file, self._seals(good) as seals:
                file.truncate(self.shape.rows_of(len(good))[0] * self.shape.row_bytes)
                file.seek(0, os.SEEK_END)
                for block in range(len(good), self.shape.blocks):
                    if stopped():
                        return False
                    start, end = self.shape.rows_of(block)
                    self._append(file, seals, self._embedded(coordinates[start:end], embed))
        return True

    def _checked(self, stopped: Callable[[], bool]) -> list[int] | None:
        """The checksums of the leading blocks that the file really holds; None when stopped."""
        good: list[int] = []
        if not self._vectors.exists():
            return good
        with self._vectors.open("rb") as file:
            for block, seal in enumerate(self.sealed()):
                if stopped():
                    return None
                start, end = self.shape.rows_of(block)
                data = file.read((end - start) * self.shape.row_bytes)
                if len(data) != (end - start) * self.shape.row_bytes or zlib.crc32(data) != seal:
                    break
                good.append(seal)
        return good

    @contextmanager
    def _seals(self, good: list[int]) -> Iterator[BinaryIO]:
        """The file of checksums, open for more. It is written anew only when it says something else."""
        if self.sealed() != good or not good:
            lines = [json.dumps(asdict(self.shape)), *(f"{seal:08x}" for seal in good)]
            draft = self._blocks.with_suffix(".draft")
            draft.write_text("\n".join(lines) + "\n", encoding="ascii")
            draft.replace(self._blocks)
        with self._blocks.open("ab") as file:
            yield file

    def _embedded(self, coordinates: Coordinates, embed: Embed) -> bytes:
        steps = [embed(coordinates[start : start + _STEP_ROWS]) for start in range(0, len(coordinates), _STEP_ROWS)]
        vectors = np.concatenate(steps)
        if not np.isfinite(vectors).all():
            raise Unavailable("The device gave vectors that are not finite.")
        return vectors.astype(_DTYPES[self.shape.precision]).tobytes()

    def _append(self, file: BinaryIO, seals: BinaryIO, data: bytes) -> None:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        seals.write(f"{zlib.crc32(data):08x}\n".encode("ascii"))
        seals.flush()
        os.fsync(seals.fileno())

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether no other process builds this file: replicas may share the folder."""
        with self._vectors.with_suffix(".lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
