"""`python -m g3_world`: synthetic photos and data sets from the command line."""

import argparse
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from g3_kit.errors import G3Error, Rejected
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from g3_world import published
from g3_world.arrays import write_arrays
from g3_world.dataset import write_photos
from g3_world.mp16_pro import write_mp16_pro
from g3_world.plan import Plan
from g3_world.query_sets import IM2GPS3K, YFCC4K, write_queries
from g3_world.sampling import CITIES, CitySet
from g3_world.world import LARGEST_PX, SMALLEST_PX, World

_COUNTS = {"mp16-pro": 20_000, "im2gps3k": IM2GPS3K.count, "yfcc4k": YFCC4K.count}
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m g3_world",
        description="Synthetic photos of an invented world. They show nothing of the real places.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    photos = commands.add_parser("photos", help="write a data set: JPEG files and photos.csv")
    _ask_for_a_plan(photos)
    photos.set_defaults(run=_photos)
    arrays = commands.add_parser("arrays", help="write pixel arrays and table.csv, for training")
    _ask_for_a_plan(arrays)
    arrays.set_defaults(run=_arrays)
    dataset = commands.add_parser("dataset", help="write a data set in a published format, all of it synthetic")
    dataset.add_argument("format", choices=tuple(_COUNTS))
    counts = ", ".join(f"{count} for {name}" for name, count in _COUNTS.items())
    _ask_for_a_plan(dataset, published.SMALLEST_PX, published.SIZE_PX, f"how many photos (default {counts})")
    dataset.add_argument("--archives", action="store_true", help="mp16-pro: several tar archives instead of one")
    dataset.set_defaults(run=_dataset)
    render = commands.add_parser("render", help="write one photo")
    render.add_argument("latitude", type=float)
    render.add_argument("longitude", type=float)
    render.add_argument("--out", type=Path, required=True, metavar="FILE", help=".jpg or .png")
    render.add_argument("--seed", type=int, default=0, help="another seed is another photo of the spot")
    render.add_argument("--size", type=int, default=512, metavar="PX", help="side in pixels, 64 to 512 (default 512)")
    render.add_argument("--world", type=int, default=0, help="which invented Earth (default 0)")
    render.set_defaults(run=_render)
    return parser


def _ask_for_a_plan(
    parser: argparse.ArgumentParser, smallest_px: int = SMALLEST_PX, size_px: int = SMALLEST_PX, count: str = ""
) -> None:
    parser.add_argument("--count", type=int, required=not count, help=count or "how many photos")
    parser.add_argument("--seed", type=int, default=0, help="chooses spots and photos (default 0)")
    size = f"side in pixels, {smallest_px} to {LARGEST_PX} (default {size_px})"
    parser.add_argument("--size", type=int, default=size_px, metavar="PX", help=size)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder; a stopped run goes on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument("--cities", type=int, default=CITIES, help=f"cities to draw from (default {CITIES})")
    parser.add_argument("--city-seed", type=int, default=0, help="which cities; equal for data sets that should meet")
    parser.add_argument("--skip-cities", type=int, default=0, help="leave out that many: for cities never seen")
    parser.add_argument("--world", type=int, default=0, help="which invented Earth (default 0)")


def _photos(arguments: argparse.Namespace, console: Console) -> int:
    return _written(write_photos, arguments, console)


def _arrays(arguments: argparse.Namespace, console: Console) -> int:
    return _written(write_arrays, arguments, console)


def _dataset(arguments: argparse.Namespace, console: Console) -> int:
    if arguments.archives and arguments.format != "mp16-pro":
        raise Rejected("only mp16-pro has archives", field="archives")
    if arguments.count is None:
        arguments.count = _COUNTS[arguments.format]
    if arguments.format == "mp16-pro":
        return _written(functools.partial(write_mp16_pro, one_archive=not arguments.archives), arguments, console)
    kind = IM2GPS3K if arguments.format == "im2gps3k" else YFCC4K
    return _written(functools.partial(write_queries, kind), arguments, console)


def _written(write: Callable[..., Path], arguments: argparse.Namespace, console: Console) -> int:
    cities = CitySet(arguments.cities, arguments.city_seed, arguments.skip_cities)
    plan = Plan(arguments.count, arguments.seed, arguments.size, arguments.world, cities)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("synthetic photos", total=plan.count)
        table = write(plan, arguments.out, jobs=arguments.jobs, progress=lambda done: bar.advance(task, done))
    console.print(f"{plan.count} synthetic photos, listed in {table}", soft_wrap=True)
    return 0


def _render(arguments: argparse.Namespace, console: Console) -> int:
    kind = _FORMATS.get(arguments.out.suffix.lower())
    if kind is None:
        console.print("--out must end in .jpg, .jpeg or .png", style="red")
        return 2
    pixels = World(arguments.world).photo(arguments.latitude, arguments.longitude, arguments.seed, arguments.size)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(arguments.out, format=kind)
    console.print(f"a synthetic photo is in {arguments.out}", soft_wrap=True)
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Parses and runs; gives the exit status: 0, or 2 when the input must be mended."""
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        status: int = arguments.run(arguments, console)
    except G3Error as error:
        console.print(error.message, style="red", markup=False, soft_wrap=True)
        return 2
    return status
