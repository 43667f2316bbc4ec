"""Rendering the procedural world: photos a second on one core, by size, and what JPEG and array shards add.

    python tests/load/world_rendering.py [--photos 600] [--rounds 3] [--json]

Wanted: at least 100 photos of 64 pixels a second and core, through to the array shard that training reads. Rates count
processor time, so that what else runs on the machine matters less; wall-clock rates stand beside them.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from g3_world import Plan, jpeg, places, world, write_arrays
from g3_world.sampling import CitySet

WANTED = 100.0
_CITIES = CitySet(300)


def rate(work: Callable[[], object], photos: int) -> tuple[float, float]:
    """Photos a second of processor time and of wall-clock time."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return photos / (time.process_time() - processor), photos / (time.perf_counter() - wall)


def rendering(size: int, photos: int) -> tuple[float, float]:
    """Photos of `size` pixels, not encoded."""
    where = places(photos, seed=1, cities=_CITIES)
    one = world()
    return rate(lambda: [one.photo(p.latitude, p.longitude, at, size) for at, p in enumerate(where)], photos)


def encoding(photos: int) -> tuple[float, float]:
    """JPEG there and back at 64 pixels, without rendering."""
    pixels = world().photo(48.0, 2.0, 1)
    return rate(lambda: [jpeg.decoded(jpeg.encoded(pixels, jpeg.quality_of(at))) for at in range(photos)], photos)


def shards(photos: int) -> tuple[float, float]:
    """Finished array shards of 64 pixels: rendered, through JPEG, written, checksummed, listed."""
    with tempfile.TemporaryDirectory() as folder:
        return rate(lambda: write_arrays(Plan(photos, 1, cities=_CITIES), Path(folder)), photos)


def main() -> int:
    """Prints the figures; 1 when the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=int, default=600, help="photos a round at 64 pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    few = max(arguments.photos // 10, 1)
    rendering(64, 5)  # the world and the gazetteer are made once
    kinds: dict[str, Callable[[], tuple[float, float]]] = {
        "64 px": lambda: rendering(64, arguments.photos),
        "192 px": lambda: rendering(192, few),
        "224 px": lambda: rendering(224, few),
        "512 px": lambda: rendering(512, few),
        "JPEG there and back, 64 px": lambda: encoding(arguments.photos),
        "array shards, 64 px": lambda: shards(arguments.photos),
    }
    rounds = [{name: measure() for name, measure in kinds.items()} for _ in range(arguments.rounds)]
    figures = {
        name: [round(statistics.median(one[name][which] for one in rounds), 1) for which in (0, 1)] for name in kinds
    }
    met = all(figures[name][0] >= WANTED for name in ("64 px", "array shards, 64 px"))
    if arguments.json:
        print(json.dumps({"photos_a_second_and_core": figures, "wanted": WANTED, "met": met}))
    else:
        for name, (core, wall) in figures.items():
            print(f"{name:28} {core:8.1f} photos a second and core, {wall:8.1f} a second on the clock")
        print(f"wanted: {WANTED:.0f} a second and core at 64 px: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
