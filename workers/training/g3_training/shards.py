"""Arrays in shards: each appears whole with its checksum or not at all, and is memory-mapped for reading."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import NDArray

from g3_training.writing import replacing, sha256_of, write_json

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]


class Shards:
    """Numbered shards of one kind in a folder: `<kind>-00000.npy` [m, d] and `<kind>-00000.json`.

    The JSON is written last: a shard that has it is complete. It holds the array's SHA-256 and `notes`.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        """Reads nothing yet."""
        self._folder, self._kind = folder, kind

    def has(self, number: int) -> bool:
        """Whether the shard is complete and holds the bytes that were written; a damaged one is made again."""
        return self._note(number).exists() and self._fault(number) is None

    def write(self, number: int, array: Floats, notes: dict[str, Any]) -> None:
        """One shard, on the disk when this returns."""
        self._note(number).unlink(missing_ok=True)
        with replacing(self._array(number)) as draft, draft.open("wb") as file:
            np.save(file, array)
        write_json(self._note(number), {"sha256": sha256_of(self._array(number)), "rows": len(array), **notes})

    def notes(self, number: int) -> dict[str, Any]:
        """What was noted with a complete shard."""
        found: dict[str, Any] = json.loads(self._note(number).read_text("utf-8"))
        return found

    def open(self, count: int, *, verify: bool = True) -> "Mapped":
        """All `count` shards, memory-mapped. Raises Rejected when one is missing or, with `verify`, damaged."""
        for number in range(count):
            if not self._note(number).exists():
                raise Rejected(f"The cache lacks {self._array(number).name}: make it to the end.", field="cache")
            if verify and (fault := self._fault(number)):
                raise Rejected(f"{fault}: run `g3-train cache` again, it makes this shard anew.", field="cache")
        return Mapped([np.load(self._array(number), mmap_mode="r") for number in range(count)])

    def _fault(self, number: int) -> str | None:
        array = self._array(number)
        if not array.exists():
            return f"{array.name} is missing"
        if sha256_of(array) != self.notes(number)["sha256"]:
            return f"{array.name} holds other bytes than were written"
        return None

    def _array(self, number: int) -> Path:
        return self._folder / f"{self._kind}-{number:05d}.npy"

    def _note(self, number: int) -> Path:
        return self._folder / f"{self._kind}-{number:05d}.json"


class Mapped:
    """Shards as one array [n, d] that stays on the disk; the system keeps in memory what is read often."""

    def __init__(self, arrays: list[Floats]) -> None:
        """`arrays` [m, d] each, memory maps."""
        self._arrays = arrays
        self._starts = np.cumsum([0, *map(len, arrays)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def rows(self, rows: Rows) -> NDArray[np.float32]:
        """float32 [m, d] of these rows, in their order."""
        width = self._arrays[0].shape[1] if self._arrays else 0
        found = np.empty((len(rows), width), dtype=np.float32)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(shards, kind="stable")
        bounds = np.searchsorted(shards[order], np.arange(len(self._arrays) + 1))
        for shard in range(len(self._arrays)):
            chosen = order[bounds[shard] : bounds[shard + 1]]
            if len(chosen):
                found[chosen] = self._arrays[shard][rows[chosen] - self._starts[shard]]
        return found
