"""`g3 demo`: the walk of a job with everything real, on photos whose place is known: they were rendered there.

::

    start, render, ingest ──▶ g3-eval: cities that the model has seen, cities that it has not
    ingest more           ──▶ g3-eval: the same unseen cities, now with references there; nothing is trained again
    jobs                  ──▶ some of the photos the whole way, and photos of your own
"""

import csv
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from g3_client import G3, Job
from g3_client import map as maps
from g3_client.config import find
from g3_client.errors import G3ClientError
from g3_client.map import Located
from g3_client.models import Coordinates
from rich.console import Console
from rich.progress import Progress

from g3_local import command, demo_collections, demo_report
from g3_local.demo_report import Findings
from g3_local.demo_world import DemoWorld, Sizes, first_references
from g3_local.home import Home

_out = Console()
_USUAL = Sizes()
_ALIAS = "references"
_JOB_S = 180.0
_JOBS_S = 240.0
"""No more jobs are begun after this, however slow the machine."""
_AT_ONCE = 8
_ALL: dict[str, Any] = {"top_k": 50}
"""All candidates of a job are wanted, to see what the LMM's were worth."""
SEEN, UNSEEN, MORE = "cities seen in training", "cities never seen", "never seen, references added"


def demo(
    photos: Annotated[list[Path] | None, typer.Argument(metavar="[PHOTO...]", help="Photos of your own.")] = None,
    references: Annotated[int, typer.Option(min=50, help="Rendered references.")] = _USUAL.references,
    queries: Annotated[int, typer.Option(min=1, help="Rendered photos to place, of each kind.")] = _USUAL.queries,
    more: Annotated[int, typer.Option(min=1, help="References added in unseen cities.")] = _USUAL.more,
    jobs: Annotated[int, typer.Option(min=0, help="Photos that go the whole way of a job.")] = _USUAL.jobs,
    quick: Annotated[bool, typer.Option("--quick", help="A hundredth of it: does everything work?")] = False,
    map_file: Annotated[Path, typer.Option("--map", help="Where the map goes.")] = Path("demo-map.html"),
    report_file: Annotated[Path, typer.Option("--report", help="Where the report goes.")] = Path("demo-report.md"),
) -> None:
    """Start the stack, ingest a rendered world, place held-out photos of it and say how well; write report and map."""
    sizes = Sizes(references, queries, more, jobs)
    home = Home.find()
    was_up = home.is_supervised()
    run = _Demo(home, sizes.quick() if quick else sizes)
    with run.timed("start"):
        command.up(bare=True)
    try:
        found = run.findings(photos or [])
    finally:
        if not was_up:
            command.down()
    demo_report.show(found, _out)
    demo_report.write(found, report_file)
    _out.print(f"report: {report_file}")
    if found.located:
        for file in maps.write(map_file, found.located, title="G3 demo: a synthetic world"):
            _out.print(f"map: {file}")
    if found.failed or any(item.job.result is None for item in found.located):
        raise typer.Exit(1)


def seed(home: Home, count: int) -> None:
    """Render `count` synthetic references and ingest those that are not there yet. The stack must be up."""
    with _counted("rendering", count) as progress:
        folder = first_references(home.path / "demo", count, progress)
    _ingest(home, folder, "", _ALIAS)


@dataclass
class _Demo:
    """One run of the demo on a stack that is up."""

    home: Home
    sizes: Sizes
    seconds: dict[str, float] = field(default_factory=dict)

    def findings(self, own: Sequence[Path]) -> Findings:
        """All of it."""
        world = DemoWorld(self.home.path / "demo", self.sizes)
        with self.timed("render"):
            rendered = [
                self._rendered(make, count)
                for make, count in (
                    (world.references, self.sizes.references),
                    (world.seen, self.sizes.queries),
                    (world.unseen, self.sizes.queries),
                    (world.more_references, self.sizes.more),
                )
            ]
        references, seen, unseen, more = rendered
        found = Findings(seconds=self.seconds, card=_card())
        # Named by what is in it: another size is another collection, and a repeat finds everything there.
        model = demo_collections.model(command.address(self.home, "embedding"))[:12]
        base = f"demo_{model}_{self.sizes.references}"
        grown = f"{base}_{self.sizes.more}"
        with self.timed("ingest"):
            _ingest(self.home, references, base, "demo_base")
        with self.timed("place"):
            found.evaluations[SEEN] = self._evaluated(seen, base, "seen", recall=0)
            found.evaluations[UNSEEN] = self._evaluated(unseen, base, "unseen", recall=0)
        with self.timed("ingest more"):
            self._grow(base, grown, more)
        with self.timed("place again"):
            found.evaluations[MORE] = self._evaluated(unseen, grown, "unseen-more")
        with self.timed("jobs"):
            self._locate(_known(seen)[: self.sizes.jobs], own, found)
        return found

    def _rendered(self, make: Callable[[Callable[[int], None]], Path], count: int) -> Path:
        with _counted("rendering synthetic photos", count) as progress:
            return make(progress)

    def _grow(self, base: str, grown: str, more: Path) -> None:
        """The references of `base` and those of the folder as a version of its own, published to the jobs."""
        target = command.address(self.home, "retrieval")
        with _counted("copying the references", self.sizes.references) as progress:
            demo_collections.copy(target, base, grown, progress)
        _ingest(self.home, more, grown, _ALIAS)

    def _evaluated(self, queries: Path, collection: str, name: str, *, recall: int = 50) -> dict[str, Any]:
        """What `g3-eval` says of a query set against a collection; `recall` of what is published is enough."""
        out = self.home.path / "demo" / "reports" / f"{collection}-{name}-{self.sizes.queries}"
        told = [
            "retrieval",
            str(queries),
            "--collection",
            collection,
            "--out",
            str(out),
            "--recall",
            str(recall),
            "--json",
        ]
        done = subprocess.run(  # noqa: S603 - our own room
            [sys.executable, "-m", "g3_evaluation", *told],
            env=_environment(self.home),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            _out.print("[red]the photos could not be evaluated[/red]; what failed is written above")
            raise typer.Exit(1)
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def _locate(self, known: Sequence[tuple[Path, Coordinates]], own: Sequence[Path], found: Findings) -> None:
        """The whole way of a job, some photos at a time: each has a budget for its LMM, and does not wait with it."""
        # Photos of one's own first: they are asked in any case.
        asked: list[tuple[Path, Coordinates | None]] = [*((photo, None) for photo in own), *known]
        connection = find(environment={"G3_HOME": str(self.home.path)})
        ends = time.monotonic() + _JOBS_S
        with G3(connection.url, connection.api_key) as g3, _counted("jobs", len(asked)) as progress:
            flying: deque[tuple[Path, Coordinates | None, Job]] = deque()
            for number, (photo, truth) in enumerate(asked):
                if number >= len(own) and time.monotonic() > ends:
                    found.left_out = len(asked) - number
                    break
                if len(flying) == _AT_ONCE:
                    self._land(g3, flying.popleft(), found)
                    progress(1)
                try:
                    flying.append((photo, truth, g3.submit(photo, parameters=_ALL, label=photo.name[:255])))
                except G3ClientError as error:
                    found.failed.append(f"{photo.name}: {error}")
            for one in flying:
                self._land(g3, one, found)
                progress(1)

    def _land(self, g3: G3, one: tuple[Path, Coordinates | None, Job], found: Findings) -> None:
        photo, truth, job = one
        try:
            ended = g3.wait(job, timeout_s=_JOB_S)
        except G3ClientError as error:
            found.failed.append(f"{photo.name}: {error}")
            return
        found.located.append(Located(job=ended, photo=photo, name=photo.name, truth=truth))

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Keeps how long a step took."""
        began = time.monotonic()
        yield
        self.seconds[step] = time.monotonic() - began


def _ingest(home: Home, folder: Path, collection: str, alias: str) -> None:
    told = [str(folder), "--csv", str(folder / "photos.csv"), "--alias", alias]
    done = subprocess.run(  # noqa: S603 - our own room
        [sys.executable, "-m", "g3_ingest", *told, *(["--collection", collection] if collection else [])],
        env=_environment(home),
        check=False,
    )
    if done.returncode != 0:
        _out.print("[red]the references could not be ingested[/red]; what failed is written above")
        raise typer.Exit(1)


def _card() -> str:
    """Where the card of the model that ships with the demo is; "" when another model is served."""
    card = Path(str(files("g3_world"))) / "models" / "alignment.md"
    if not card.exists() or "G3_CHECKPOINT" in os.environ:
        return ""
    return str(card.relative_to(Path.cwd()) if card.is_relative_to(Path.cwd()) else card)


def _environment(home: Home) -> dict[str, str]:
    return os.environ | {"G3_HOME": str(home.path)}


def _known(folder: Path) -> list[tuple[Path, Coordinates]]:
    with (folder / "photos.csv").open(newline="") as table:
        return [
            (
                folder / row["img_id"],
                Coordinates(latitude=float(row["latitude"]), longitude=float(row["longitude"])),
            )
            for row in csv.DictReader(table)
        ]


@contextmanager
def _counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar; yields what is told how many more are done."""
    with Progress(console=_out, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
