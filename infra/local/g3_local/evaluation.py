"""`g3 evaluate`: the whole evaluation on photos whose place is known, against this machine's stack, by one command.

Renders references and held-out photos of the invented world, ingests the references, and has `g3-eval run` put every
photo to the public API in every way. Stopped or killed, the same command goes on where it ended.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from g3_client.config import find
from g3_world.dataset import write_photos
from g3_world.plan import Plan
from rich.console import Console
from rich.progress import Progress

from g3_local import command, demo_collections
from g3_local.demo_world import PX, SEEN, DemoWorld, Sizes
from g3_local.home import Home

_out = Console(stderr=True)
# Of no other data set of the demo: neither training nor demo nor the fitting of the choice has drawn these photos.
_HELD_OUT_SEED = 131
_ALIAS = "references"


def evaluate(
    photos: Annotated[int, typer.Option(min=1, help="Held-out photos.")] = 1_000,
    references: Annotated[int, typer.Option(min=50, help="References in the collection.")] = 20_000,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run and its report.")] = None,
    told: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTION...]", help="Further options of `g3-eval run`.")
    ] = None,
) -> None:
    """Evaluate G3, its ablations and its baselines on held-out photos of the world; resumable, with one report."""
    home = Home.find()
    was_up = home.is_supervised()
    try:
        command.up(bare=True)
        status = _evaluated(home, photos, references, out, told or [])
    finally:
        if not was_up:
            command.down()
    if status:
        raise typer.Exit(status)


def _evaluated(home: Home, photos: int, references: int, out: Path | None, told: list[str]) -> int:
    world = DemoWorld(home.path / "demo", Sizes(references=references))
    with _counted("rendering references", references) as progress:
        referenced = world.references(progress)
    queries = home.path / "demo" / f"held-out-{photos}"
    with _counted("rendering held-out photos", photos) as progress:
        plan = Plan(photos, _HELD_OUT_SEED, PX, cities=SEEN)
        write_photos(plan, queries, jobs=os.cpu_count() or 1, progress=progress)
    model = demo_collections.model(command.address(home, "embedding"))[:12]
    # The demo's own name for the same references: what one of them has ingested the other finds there.
    collection = f"demo_{model}_{references}"
    ingest = [str(referenced), "--csv", str(referenced / "photos.csv"), "--collection", collection, "--alias", _ALIAS]
    if status := _room(home, "g3_ingest", *ingest):
        return status
    folder = out or home.path / "eval" / f"{collection}-{photos}"
    run = ["run", str(queries), "--out", str(folder), "--reference-photos", str(referenced), *told]
    return _room(home, "g3_evaluation", *run)


def _room(home: Home, module: str, *arguments: str) -> int:
    """Runs a command of a room against this stack; its status."""
    connection = find(environment={"G3_HOME": str(home.path)})
    environment = os.environ | {"G3_HOME": str(home.path), "G3_URL": connection.url, "G3_API_KEY": connection.api_key}
    done = subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=False)  # noqa: S603 - ours
    return done.returncode


@contextmanager
def _counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar; yields what is told how many more are done."""
    with Progress(console=_out, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
