"""Synthetic photos as arrays for training: memory-mapped pixel shards and one table, no decoding on the way.

A folder holds `pixels-00000.npy`, … (uint8 [m, size, size, 3], each with its SHA-256 beside it as `sha256sum`
writes it), `table.csv` in the same order, and `dataset.json`. The pixels are what a reader of the photo's JPEG file
would decode, so a model trained on arrays meets nothing new in files. Shards appear whole or not at all; a run that
was stopped goes on. `table.csv` comes last: a folder that has it is complete.
"""

import csv
import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from g3_geography import Coordinates
from g3_kit.errors import Conflict, Missing, Rejected
from numpy.typing import NDArray

from g3_world import jpeg
from g3_world.plan import Plan, claim, degrees, description, place_names, replacing
from g3_world.sampling import Spot, spots
from g3_world.shards import rendered
from g3_world.world import World

COLUMNS = ("img_id", "latitude", "longitude", "neighbourhood", "city", "state", "country", "author")
ROWS_A_SHARD = 2000
"""Photos in one file: 25 MB at 64 pixels, and half a minute lost at most when a run is stopped."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """A finished folder: `shards` are read-only memory maps uint8 [m, size, size, 3]; `table` has a row a photo."""

    shards: tuple[NDArray[np.uint8], ...]
    table: tuple[dict[str, str], ...]

    def __len__(self) -> int:
        return len(self.table)

    def coordinates(self) -> NDArray[np.float64]:
        """Latitude and longitude, float64 [n, 2], degrees."""
        rows = [(float(row["latitude"]), float(row["longitude"])) for row in self.table]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)


def write_arrays(
    plan: Plan,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda done: None,
    rows_a_shard: int = ROWS_A_SHARD,
) -> Path:
    """Renders the missing shards of `folder` with `jobs` processes and writes `table.csv`; gives its path.

    `progress` is called with the number of photos just finished (found or rendered). A shard whose checksum is
    missing or wrong is rendered again. A larger count adds; the last shard is then rendered again if it was short.
    Raises `Rejected` for an impossible plan, `Conflict` when the folder holds another or a larger data set.
    """
    plan.check()
    if rows_a_shard < 1 or jobs < 1:
        raise Rejected("neither jobs nor the rows of a shard may be less than 1")
    _refuse_shrinking(plan, folder)
    claim(folder, plan.stated() | {"rows_a_shard": rows_a_shard}, {"count": plan.count, "columns": list(COLUMNS)})
    taken = spots(plan.count, plan.seed, plan.cities)
    where = [spot.coordinates for spot in taken]
    shards = [
        (plan, folder / f"pixels-{number:05d}.npy", start, where[start : start + rows_a_shard])
        for number, start in enumerate(range(0, plan.count, rows_a_shard))
    ]
    for done in rendered(_render, shards, jobs):
        progress(done)
    return _write_table(plan, folder, taken)


def read_arrays(folder: Path) -> Arrays:
    """Opens a finished folder without reading the pixels.

    Raises `Missing` when it is not finished, `Conflict` when shards and table disagree.
    """
    table, described = folder / "table.csv", description(folder)
    if described is None or not table.exists():
        raise Missing(f"{folder} holds no finished arrays: run `python -m g3_world arrays` again with the same options")
    with table.open(encoding="utf-8", newline="") as lines:
        rows = tuple(csv.DictReader(lines))
    count = -(-len(rows) // int(described["plan"]["rows_a_shard"]))
    paths = [folder / f"pixels-{number:05d}.npy" for number in range(count)]
    if len(rows) != described["count"] or not all(path.exists() for path in paths):
        raise Conflict(f"{folder} is half written: run the command that wrote it again")
    shards = tuple(np.load(path, mmap_mode="r") for path in paths)
    if sum(len(shard) for shard in shards) != len(rows):
        raise Conflict(f"{folder} is damaged: its shards hold another number of photos than table.csv")
    return Arrays(shards, rows)


def _refuse_shrinking(plan: Plan, folder: Path) -> None:
    held = (description(folder) or {}).get("count", 0)
    if held > plan.count:
        raise Conflict(f"the folder was begun with {held} photos: ask for as many or more, or use another folder")
    if held < plan.count:
        # Until the longer table is there, the folder is not complete.
        (folder / "table.csv").unlink(missing_ok=True)


@functools.lru_cache(maxsize=2)
def _world(seed: int) -> World:
    return World(seed)


def _render(shard: tuple[Plan, Path, int, list[Coordinates]]) -> int:
    plan, path, start, where = shard
    if not _is_whole(path, (len(where), plan.size, plan.size, 3)):
        world = _world(plan.world)
        pixels = np.empty((len(where), plan.size, plan.size, 3), dtype=np.uint8)
        for row, spot in enumerate(where):
            pixels[row] = jpeg.decoded(plan.jpeg(world, start + row, spot))
        sums = _sums(path)
        sums.unlink(missing_ok=True)
        with replacing(path) as part, part.open("wb") as file:
            np.save(file, pixels)
            file.flush()
            os.fsync(file.fileno())
        with replacing(sums) as part:
            part.write_text(f"{_sha256(path)}  {path.name}\n", encoding="ascii")
    return len(where)


def _sums(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether the shard is there, of that shape, with the bytes that were written."""
    sums = _sums(path)
    if not path.exists() or not sums.exists():
        return False
    if not sums.read_text(encoding="ascii").startswith(_sha256(path)):
        return False
    found: tuple[int, ...] = np.load(path, mmap_mode="r").shape
    return found == shape


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_table(plan: Plan, folder: Path, taken: list[Spot]) -> Path:
    table = folder / "table.csv"
    with replacing(table) as part, part.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        for index, (spot, names) in enumerate(zip(taken, place_names(taken), strict=True)):
            named = (names.neighbourhood, names.city, names.state, names.country)
            writer.writerow((plan.img_id(index), *degrees(spot.coordinates), *named, plan.author(spot)))
    return table
