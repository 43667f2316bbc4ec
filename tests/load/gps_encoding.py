"""GPS encoding at batch 4,096: the projection by formula against pyproj called row by row, as the reference does it.

    python tests/load/gps_encoding.py [--batch 4096] [--rounds 7] [--threads 1] [--json]

Wanted: the projection at least 10 times faster than a loop over the rows. Whole calls of the encoder with either
stand beside it without an aim: on a processor the three capsule networks are nearly all of such a call, so that no
projection could make it ten times faster. All ways run in turn in each round.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
from g3_alignment import GpsConfiguration, preset
from g3_alignment.gps import HALF_WORLD_M, GpsEncoder, equal_earth, spherical, web_mercator
from pyproj import Transformer
from torch import Tensor

WANTED = 10.0
_TO_MERCATOR = Transformer.from_crs("EPSG:4326", "EPSG:3857")


def row_by_row(coordinates: Tensor) -> Tensor:
    """Web Mercator as the reference computes it: one call of pyproj for each row."""
    projected = []
    for latitude, longitude in coordinates.tolist():
        easting, northing = _TO_MERCATOR.transform(latitude, longitude)
        projected.append((northing, easting))
    return torch.tensor(projected, dtype=torch.float64) / HALF_WORLD_M


def encoder(configuration: GpsConfiguration, project: Callable[[Tensor], Tensor]) -> GpsEncoder:
    """An encoder with untrained weights, which cost the same as trained ones."""
    made = GpsEncoder(configuration).eval()
    made.project = project
    return made


def milliseconds(work: Callable[[Tensor], Tensor], coordinates: Tensor) -> float:
    """One call on the clock."""
    started = time.perf_counter()
    work(coordinates)
    return (time.perf_counter() - started) * 1000


@torch.no_grad()
def measured(batch: int, rounds: int) -> dict[str, float]:
    """Medians in milliseconds by name, after one call of each to warm up."""
    span = torch.tensor([170.0, 360.0], dtype=torch.float64)
    coordinates = (torch.rand(batch, 2, dtype=torch.float64) - 0.5) * span
    torch.testing.assert_close(row_by_row(coordinates), web_mercator(coordinates), rtol=1e-9, atol=0)
    full, demo = GpsConfiguration(), preset("demo").gps
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "projection, row by row": row_by_row,
        "projection, web_mercator": web_mercator,
        "projection, equal_earth": equal_earth,
        "projection, spherical": spherical,
        "demo encoder, row by row": encoder(demo, row_by_row),
        "demo encoder": encoder(demo, web_mercator),
        "full encoder, row by row": encoder(full, row_by_row),
        "full encoder": encoder(full, web_mercator),
    }
    for way in ways.values():
        way(coordinates)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for at in range(rounds * 20):
        for name, way in ways.items():
            # projections take so little that the machine's other work would decide about a few calls of them
            if name.startswith("projection") or at % 20 == 0:
                taken[name].append(milliseconds(way, coordinates))
    return {name: statistics.median(figures) for name, figures in taken.items()}


def main() -> int:
    """Prints the figures; 1 when the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="of torch; the loop has one")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    took = measured(arguments.batch, arguments.rounds)
    loop = took["projection, row by row"]
    ratios = {
        "projection alone": loop / took["projection, web_mercator"],
        "demo encoder, whole call": took["demo encoder, row by row"] / took["demo encoder"],
        "full encoder, whole call": took["full encoder, row by row"] / took["full encoder"],
        "loop alone over whole demo encoder": loop / took["demo encoder"],
        "loop alone over whole full encoder": loop / took["full encoder"],
    }
    met = ratios["projection alone"] >= WANTED
    load = round(os.getloadavg()[0], 1)
    if arguments.json:
        print(json.dumps({"milliseconds": took, "ratios": ratios, "load": load, "wanted": WANTED, "met": met}))
    else:
        for name, figure in took.items():
            print(f"{name:36} {figure:9.2f} ms")
        for name, figure in ratios.items():
            print(f"{name:36} {figure:9.2f} times faster")
        print(f"load {load}; wanted: {WANTED:.0f} times, projection alone: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
