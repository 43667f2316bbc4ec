"""Synthetic photos as files: JPEGs without any metadata, and one `photos.csv` that says where each was taken.

Files appear whole or not at all, and a run that was stopped goes on where it ended. `photos.csv` comes last: a
folder that has it is complete.
"""

import csv
from collections.abc import Callable
from pathlib import Path

from g3_geography import Coordinates, Gazetteer
from g3_kit.errors import Rejected

from g3_world.plan import Plan, claim, degrees, replacing
from g3_world.sampling import Spot, spots
from g3_world.shards import rendered
from g3_world.world import World

__all__ = ["COLUMNS", "Plan", "write_photos"]

COLUMNS = ("img_id", "latitude", "longitude", "city", "state", "country", "author")
_SHARD = 100


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
    claim(folder, plan.stated())
    taken = spots(plan.count, plan.seed, plan.cities)
    where = [spot.coordinates for spot in taken]
    shards = [(plan, folder, start, where[start : start + _SHARD]) for start in range(0, plan.count, _SHARD)]
    for done in rendered(_render, shards, jobs):
        progress(done)
    return _write_table(plan, folder, taken)


def _render(shard: tuple[Plan, Path, int, list[Coordinates]]) -> int:
    plan, folder, start, where = shard
    world = World(plan.world)
    for index, spot in enumerate(where, start):
        path = folder / plan.img_id(index)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as part:
                part.write_bytes(plan.jpeg(world, index, spot))
    return len(where)


def _write_table(plan: Plan, folder: Path, taken: list[Spot]) -> Path:
    names = Gazetteer().nearest_many(
        [spot.coordinates.latitude for spot in taken], [spot.coordinates.longitude for spot in taken]
    )
    table = folder / "photos.csv"
    with replacing(table) as part, part.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        for index, (spot, place) in enumerate(zip(taken, names, strict=True)):
            latitude, longitude = degrees(spot.coordinates)
            author = plan.author(spot)
            writer.writerow((plan.img_id(index), latitude, longitude, place.city, place.state, place.country, author))
    return table
