"""A collection version on disk: numbered segments, each written whole or not at all, replayed in order at start.

An upsert is one file, in place and durable before it is acknowledged: written beside, fsynced, renamed, and the
folder fsynced. A snapshot takes the place of every segment up to its number.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from g3_geography import Coordinates, Place
from g3_kit.errors import Unavailable

from g3_retrieval.references import Reference, Vectors

SNAPSHOT_AFTER = 64
"""Segments that are folded into a snapshot at the next start."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows as they were upserted: n references and their stored vectors, float32 [n, 3d]."""

    references: tuple[Reference, ...]
    vectors: Vectors


class FaissSegments:
    """The segments in one folder. One writer at a time; the owner sees to it."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which exists."""
        self._folder = folder
        self._next = max((_number(path) for path in self._files()), default=0) + 1

    @property
    def many(self) -> bool:
        """Whether a snapshot is due."""
        return len(self._files()) > SNAPSHOT_AFTER

    def replay(self) -> Iterator[Segment]:
        """Every segment, oldest first, from the newest snapshot on."""
        files = self._files()
        snapshots = [position for position, path in enumerate(files) if path.name.startswith("snapshot-")]
        for path in files[snapshots[-1] if snapshots else 0 :]:
            yield _read(path)

    def append(self, segment: Segment) -> None:
        """Keep `segment`; it is durable when this returns. Raises `Unavailable` when the disk refuses."""
        self._write(f"segment-{self._next:012d}.npz", segment)
        self._next += 1

    def snapshot(self, segment: Segment) -> None:
        """Put `segment`, all rows that live, in the place of every file so far."""
        older = self._files()
        self.append_snapshot(segment)
        for path in older:
            path.unlink()

    def append_snapshot(self, segment: Segment) -> None:
        """Write a snapshot; what it covers may go afterwards, and does not matter if it stays."""
        self._write(f"snapshot-{self._next:012d}.npz", segment)
        self._next += 1

    def _files(self) -> list[Path]:
        return sorted((path for path in self._folder.glob("*-*.npz")), key=_number)

    def _write(self, name: str, segment: Segment) -> None:
        texts = json.dumps([_row(reference) for reference in segment.references]).encode()
        partial = self._folder / f"{name}.partial"
        try:
            with partial.open("wb") as file:
                np.savez(file, vectors=segment.vectors, references=np.frombuffer(texts, dtype=np.uint8))
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self._folder / name)
            sync_folder(self._folder)
        except OSError as error:
            raise Unavailable("the index cannot write to its folder") from error


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, durably, all or nothing. Raises `Unavailable` when the disk refuses."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise Unavailable("the index cannot write to its folder") from error


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _number(path: Path) -> int:
    return int(path.stem.partition("-")[2])


def _row(reference: Reference) -> list[Any]:
    where, place = reference.coordinates, reference.place
    names = [place.city, place.state, place.country, place.country_code]
    return [reference.id, where.latitude, where.longitude, *names, reference.author]


def _read(path: Path) -> Segment:
    with np.load(path, allow_pickle=False) as arrays:
        rows = json.loads(arrays["references"].tobytes())
        vectors = np.asarray(arrays["vectors"], dtype=np.float32)
    references = tuple(
        Reference(row[0], Coordinates(row[1], row[2]), Place(row[3], row[4], row[5], row[6]), row[7]) for row in rows
    )
    return Segment(references, vectors)
