"""Synthetic photos as files: JPEGs without any metadata, and one `photos.csv` that says where each was taken.

Files appear whole or not at all, and a run that was stopped goes on where it ended. `photos.csv` comes last: a
folder that has it is complete.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

from g3_geography import Coordinates, Gazetteer
from g3_kit.errors import Conflict, Rejected
from PIL import Image

from g3_world.sampling import CitySet, Spot, spots
from g3_world.world import LARGEST_PX, LOOKS, SMALLEST_PX, World

COLUMNS = ("img_id", "latitude", "longitude", "city", "state", "country", "author")
_SHARD = 100
_JPEG_QUALITY = 92
_AUTHORS_PER_CITY = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """A data set: `count` photos of `size` pixels; `seed` chooses the spots and the photos, `world` the Earth."""

    count: int
    seed: int
    size: int = 64
    world: int = 0
    cities: CitySet = field(default_factory=CitySet)

    def check(self) -> None:
        """Raises `Rejected` when no data set can be made so."""
        if self.count < 1:
            raise Rejected("count must be at least 1", field="count")
        if not 0 <= self.seed < 2**31:
            raise Rejected("the seed must lie between 0 and 2^31 - 1", field="seed")
        if not SMALLEST_PX <= self.size <= LARGEST_PX:
            raise Rejected(f"size must lie between {SMALLEST_PX} and {LARGEST_PX} pixels", field="size")
        self.cities.rows()

    def img_id(self, index: int) -> str:
        """The photo's name in the folder: a thousand files a subfolder."""
        return f"{self.seed:04d}/{index // 1000:03d}/{self.seed:04d}_{index:07d}.jpg"

    def photo_seed(self, index: int) -> int:
        """The seed of one photo: no two data sets share one."""
        return (self.seed << 32) | index

    def author(self, spot: Spot) -> str:
        """The invented photographer: a few to a city, and never the same in two seeds."""
        return f"synthetic-{self.seed}-{spot.city_row}-{int(spot.author_share * _AUTHORS_PER_CITY)}"


def write_photos(
    plan: Plan, folder: Path, *, jobs: int = 1, progress: Callable[[int], None] = lambda done: None
) -> Path:
    """Renders what is missing in `folder` with `jobs` processes and writes `photos.csv`; gives its path.

    `progress` is called with the number of photos just finished (found or written).
    Raises `Rejected` for an impossible plan, `Conflict` when the folder holds another data set.
    """
    plan.check()
    if jobs < 1:
        raise Rejected("jobs must be at least 1", field="jobs")
    _claim(plan, folder)
    taken = spots(plan.count, plan.seed, plan.cities)
    where = [(spot.coordinates.latitude, spot.coordinates.longitude) for spot in taken]
    shards = [(plan, folder, start, where[start : start + _SHARD]) for start in range(0, plan.count, _SHARD)]
    for done in _render_all(shards, min(jobs, len(shards))):
        progress(done)
    return _write_table(plan, folder, taken)


_Shard = tuple[Plan, Path, int, list[tuple[float, float]]]


def _render_all(shards: list[_Shard], jobs: int) -> Iterator[int]:
    if jobs == 1:
        yield from map(_render_shard, shards)
        return
    # Spawned, not forked: the caller may hold threads and locks that a fork would copy half-way.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        pending = [pool.submit(_render_shard, shard) for shard in shards]
        try:
            for future in as_completed(pending):
                yield future.result()
        finally:
            # One failed shard, or a caller who stops, ends the run: nothing more is begun.
            pool.shutdown(wait=True, cancel_futures=True)


def _render_shard(shard: _Shard) -> int:
    plan, folder, start, where = shard
    world = World(plan.world)
    for index, (latitude, longitude) in enumerate(where, start):
        path = folder / plan.img_id(index)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = world.photo(latitude, longitude, plan.photo_seed(index), plan.size)
            with _replacing(path) as part:
                Image.fromarray(pixels).save(part, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return len(where)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path beside the real one that takes its place when the block ends well, and goes when it does not."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _claim(plan: Plan, folder: Path) -> None:
    """Writes down what the folder holds; the same data set may grow, another may not move in."""
    folder.mkdir(parents=True, exist_ok=True)
    stated = {key: value for key, value in asdict(plan).items() if key != "count"} | {"looks": LOOKS}
    note = folder / "dataset.json"
    if note.exists():
        found = json.loads(note.read_text(encoding="utf-8"))
        if found.get("plan") != stated:
            raise Conflict(f"the folder holds another data set: {json.dumps(found.get('plan'))}")
        return
    with _replacing(note) as part:
        about = "Synthetic photos of an invented world (g3-world): they show nothing of the real places."
        part.write_text(json.dumps({"about": about, "plan": stated}, indent=2) + "\n", encoding="utf-8")


def _write_table(plan: Plan, folder: Path, taken: list[Spot]) -> Path:
    names = Gazetteer().nearest_many(
        [spot.coordinates.latitude for spot in taken], [spot.coordinates.longitude for spot in taken]
    )
    table = folder / "photos.csv"
    with _replacing(table) as part, part.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        for index, (spot, place) in enumerate(zip(taken, names, strict=True)):
            latitude, longitude = _degrees(spot.coordinates)
            author = plan.author(spot)
            writer.writerow((plan.img_id(index), latitude, longitude, place.city, place.state, place.country, author))
    return table


def _degrees(coordinates: Coordinates) -> tuple[str, str]:
    # Seven decimals are a centimetre.
    return f"{coordinates.latitude:.7f}", f"{coordinates.longitude:.7f}"
