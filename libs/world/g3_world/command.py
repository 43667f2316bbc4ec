"""`python -m g3_world`: synthetic photos from the command line."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from g3_kit.errors import G3Error
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from g3_world.arrays import write_arrays
from g3_world.dataset import write_photos
from g3_world.plan import Plan
from g3_world.sampling import CITIES, CitySet
from g3_world.world import World

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
    render = commands.add_parser("render", help="write one photo")
    render.add_argument("latitude", type=float)
    render.add_argument("longitude", type=float)
    render.add_argument("--out", type=Path, required=True, metavar="FILE", help=".jpg or .png")
    render.add_argument("--seed", type=int, default=0, help="another seed is another photo of the spot")
    render.add_argument("--size", type=int, default=512, metavar="PX", help="side in pixels, 64 to 512 (default 512)")
    render.add_argument("--world", type=int, default=0, help="which invented Earth (default 0)")
    render.set_defaults(run=_render)
    return parser


def _ask_for_a_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, required=True, help="how many photos")
    parser.add_argument("--seed", type=int, default=0, help="chooses spots and photos (default 0)")
    parser.add_argument("--size", type=int, default=64, metavar="PX", help="side in pixels, 64 to 512 (default 64)")
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
        console.print(error.message, style="red", markup=False)
        return 2
    return status
