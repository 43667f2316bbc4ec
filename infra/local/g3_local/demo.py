"""`g3 demo`: the walk of a job with everything real, on photos whose place is known: they were rendered there."""

import csv
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from g3_client import G3, Job
from g3_client import map as maps
from g3_client.config import find
from g3_client.errors import G3ClientError
from g3_client.map import Located
from g3_client.models import Coordinates
from g3_geography.coordinates import Coordinates as Point
from g3_geography.geodesic import distance_km
from g3_world.dataset import Plan, write_photos
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from g3_local import command
from g3_local.home import Home

_out = Console()
# Different seeds share the cities of the world and never a spot or an author.
_REFERENCE_SEED, _QUERY_SEED = 1, 2
_QUERY_PX = 192


def demo(
    photos: Annotated[list[Path] | None, typer.Argument(metavar="[PHOTO...]", help="Photos of your own.")] = None,
    references: Annotated[int, typer.Option(min=50, help="Rendered reference photos to ingest.")] = 2000,
    queries: Annotated[int, typer.Option(min=1, help="Rendered photos to locate.")] = 12,
    map_file: Annotated[Path, typer.Option("--map", help="Where the map goes.")] = Path("demo-map.html"),
) -> None:
    """Start the stack, ingest a rendered world, locate photos in it and write a map."""
    home = Home.find()
    was_up = home.is_supervised()
    command.up(bare=True)
    try:
        seed(home, references)
        located = _locate(home, _known(_rendered(home, queries, _QUERY_SEED, _QUERY_PX)), photos or [])
    finally:
        if not was_up:
            command.down()
    _tell(located)
    for file in maps.write(map_file, located, title="G3 demo: a synthetic world"):
        _out.print(f"map: {file}")
    if any(item.job.result is None for item in located):
        raise typer.Exit(1)


def seed(home: Home, count: int) -> None:
    """Render `count` synthetic references and ingest those that are not there yet. The stack must be up."""
    _ingest(home, _rendered(home, count, _REFERENCE_SEED, 64))


def _rendered(home: Home, count: int, seed: int, size: int) -> Path:
    folder = home.path / "demo" / f"photos-{seed}-{count}-{size}"
    with Progress(console=_out, transient=True) as progress:
        task = progress.add_task(f"rendering {count} photos", total=count)
        write_photos(
            Plan(count=count, seed=seed, size=size),
            folder,
            jobs=os.cpu_count() or 1,
            progress=lambda done: progress.update(task, completed=done),
        )
    return folder


def _ingest(home: Home, folder: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own room
        [sys.executable, "-m", "g3_ingest", str(folder), "--csv", str(folder / "photos.csv")],
        env=os.environ | {"G3_HOME": str(home.path)},
        check=False,
    )
    if done.returncode != 0:
        _out.print("[red]the references could not be ingested[/red]; what failed is written above")
        raise typer.Exit(1)


def _known(folder: Path) -> list[tuple[Path, Coordinates]]:
    with (folder / "photos.csv").open(newline="") as table:
        return [
            (
                folder / row["img_id"],
                Coordinates(latitude=float(row["latitude"]), longitude=float(row["longitude"])),
            )
            for row in csv.DictReader(table)
        ]


def _locate(home: Home, known: Sequence[tuple[Path, Coordinates]], own: Sequence[Path]) -> list[Located]:
    connection = find(environment={"G3_HOME": str(home.path)})
    asked: list[tuple[Path, Coordinates | None]] = [*known, *((photo, None) for photo in own)]
    located = []
    with G3(connection.url, connection.api_key) as g3, Progress(console=_out, transient=True) as progress:
        for photo, truth in progress.track(asked, description="locating"):
            try:
                job = g3.locate(photo, label=photo.name[:255])
            except G3ClientError as error:
                _out.print(f"[red]{photo.name}: {error}[/red]")
                continue
            located.append(Located(job=job, photo=photo, name=photo.name, truth=truth))
    if not located:
        raise typer.Exit(1)
    return located


def _tell(located: Sequence[Located]) -> None:
    table = Table(
        "photo", "answer", "off by", "nearest\nreference", "references,\ncandidates", "retrieve, generate,\nverify"
    )
    for column in table.columns:
        column.no_wrap = column.header != "answer"
    for item in located:
        table.add_row(*_row(item))
    _out.print(table)
    errors = [error for item in located if (error := item.error_km) is not None]
    if errors:
        within = sum(error < 200 for error in errors)
        _out.print(f"median error {statistics.median(errors):,.0f} km; within 200 km: {within} of {len(errors)}")
    if any("generation" in item.job.degraded for item in located):
        _out.print("No LMM endpoint is configured: the answers come from retrieved candidates ([i]degraded[/i]).")
    _out.print(
        "[yellow]The photos are synthetic and the demo model is untrained:[/yellow] "
        "this shows the machinery at work; places found are luck of a random network."
    )


def _row(item: Located) -> list[str]:
    job = item.job
    if job.result is None:
        reason = job.failure.message if job.failure else str(job.state)
        return [item.name, f"[red]{reason}[/red]", "", "", "", _timings(job)]
    answer = job.result
    off = f"{item.error_km:,.0f} km" if item.error_km is not None else "unknown"
    evidence = f"{len(answer.references)}, {len(answer.candidates)}"
    names = [name for name in (answer.place.city, answer.place.country) if name]
    place = ", ".join(names) or f"{answer.coordinates.latitude:.3f}, {answer.coordinates.longitude:.3f}"
    return [item.name, place, off, _nearest(item), evidence, _timings(job)]


def _nearest(item: Located) -> str:
    """How near the nearest retrieved reference lies: what no choice among them can beat."""
    result: Any = item.job.result
    if item.truth is None or not result.references:
        return ""
    truth = Point(item.truth.latitude, item.truth.longitude)
    points = (match.reference.coordinates for match in result.references)
    return f"{min(distance_km(truth, Point(p.latitude, p.longitude)) for p in points):,.0f} km"


def _timings(job: Job) -> str:
    """What each stage worked, in milliseconds."""
    worked = {timing.stage: timing.worked_s for timing in job.timings}
    known = [worked.get(stage) for stage in ("retrieve", "generate", "verify")]
    return ", ".join("-" if seconds is None else f"{1000 * seconds:,.0f}" for seconds in known) + " ms"
