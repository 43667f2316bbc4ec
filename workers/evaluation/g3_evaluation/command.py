"""The command line, and the services that `retrieval` and `gallery` ask. The composition root of the room."""

import json as jsons
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from g3_client import config
from g3_kit import grpc_client, logs
from g3_kit.errors import Rejected, Unavailable
from g3_kit.settings import load
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from g3_evaluation import query_sets, report_table
from g3_evaluation.grpc_embedder import GrpcEmbedder
from g3_evaluation.grpc_references import GrpcReferences
from g3_evaluation.grpc_verifier import GrpcVerifier
from g3_evaluation.report import document
from g3_evaluation.retrieval_run import Progress, RetrievalRun, Services, Ways
from g3_evaluation.run_command import pools, report, run
from g3_evaluation.score_command import score
from g3_evaluation.settings import EvaluationSettings
from g3_evaluation.telling import FAILED, fail, told

_err = Console(stderr=True)
_Target = Annotated[str, typer.Option(metavar="HOST:PORT", help="Otherwise the stack of `g3 up`, or the usual port.")]
_Collection = Annotated[str, typer.Option(help="The collection version, or an alias.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="How well photos are placed: query sets to accuracy tables.",
)
app.command()(score)
app.command()(run)
app.command()(report)
app.command()(pools)


@app.command()
def retrieval(
    queries: Annotated[Path, typer.Argument(help="Folder with the photos of the query set.")],
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Its table: id, latitude, longitude; author if known.")
    ] = None,
    collection: _Collection = "references",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of report and vectors; the same one again goes on.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Only the first so many photos; 0: all.")] = 0,
    calls: Annotated[int, typer.Option(min=1, max=64, help="Calls in flight to each service.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the random reference, the bootstrap and the recall.")] = 0,
    recall: Annotated[
        int, typer.Option(min=0, max=1000, help="Photos that the recall of the index is measured by; 0: it is not.")
    ] = 200,
    json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
    embedding: _Target = "",
    retrieval_target: Annotated[str, typer.Option("--retrieval", metavar="HOST:PORT", help="As --embedding.")] = "",
    verification: Annotated[str, typer.Option(metavar="HOST:PORT", help="As --embedding.")] = "",
) -> None:
    """Say how well retrieval places the photos of a query set: straight to the services, without jobs or LMM."""
    with told():
        if not queries.is_dir():
            raise Rejected(f"There is no folder {queries}.")
        listed = query_sets.read(queries, csv, limit=limit)
        folder = out or Path("g3-eval") / listed.name
        ways = Ways(calls=calls, workers=os.cpu_count() or 1, seed=seed, recall_sample=recall)
        with _services(embedding, retrieval_target, verification) as services, _bars() as progress:
            found = RetrievalRun(services, folder, ways, progress).run(listed, collection)
    if json:
        typer.echo(jsons.dumps(document(found), allow_nan=False))
    else:
        report_table.show(found, Console(highlight=False))
    _err.print(report_table.plain(f"report: {folder / 'report.md'}"), soft_wrap=True)


@app.command()
def gallery(
    collection: Annotated[str, typer.Argument(help="The collection version, or an alias.")] = "references",
    retrieval_target: Annotated[str, typer.Option("--retrieval", metavar="HOST:PORT", help="As --verification.")] = "",
    verification: _Target = "",
) -> None:
    """Load the places of a collection into the gallery of that name, and wait until it can be searched."""
    with told(), _services("", retrieval_target, verification, (False, True, True)) as services, _bars() as progress:
        run = RetrievalRun(services, Path(), Ways(), progress)
        version = services.references.describe(collection)
        standing = run.gallery(version, run.known(version))
    _err.print(f"gallery {version.name}: {standing.count} different places, {standing.precision}")


@contextmanager
def _services(
    embedding: str, retrieval_target: str, verification: str, wanted: tuple[bool, bool, bool] = (True, True, True)
) -> Iterator[Services]:
    settings = load(EvaluationSettings)
    logs.configure("evaluation", settings.log_level if "log_level" in settings.model_fields_set else "WARNING", "text")
    targets = (
        _target("embedding", embedding or settings.embedding_target, "127.0.0.1:7101"),
        _target("retrieval", retrieval_target or settings.retrieval_target, "127.0.0.1:7102"),
        _target("verification", verification or settings.verification_target, "127.0.0.1:7103"),
    )
    with ExitStack() as stack:
        channels = [grpc_client.channel(target) for target in targets]
        for channel in channels:
            stack.callback(channel.close)
        services = Services(GrpcEmbedder(channels[0]), GrpcReferences(channels[1]), GrpcVerifier(channels[2]))
        for room, target, asked in zip(("embedding", "retrieval", "verification"), targets, wanted, strict=True):
            if asked:
                _require(room, target, services)
        yield services


def _require(room: str, target: str, services: Services) -> None:
    """Ends with one line when a service is down, before a bar is drawn."""
    calls = {
        "embedding": services.embedder.model,
        "retrieval": services.references.reachable,
        "verification": services.verifier.reachable,
    }
    try:
        calls[room]()
    except Unavailable:
        option = f"--{room}"
        fail(f"no {room} service answers at {target}: start it (g3 up) or name another with {option}", FAILED)


def _target(room: str, told: str, usual: str) -> str:
    """The room's address: as told, else of the stack that `g3 up` runs on this machine, else the usual port."""
    return told or config.target(room) or usual


@contextmanager
def _bars() -> Iterator[Progress]:
    """A bar for each step, on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=_err) as shown:
        tasks: dict[str, int] = {}

        def progress(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = shown.add_task(step, total=total)
            shown.update(tasks[step], completed=done, total=total)  # type: ignore[arg-type]

        yield progress


def main() -> None:
    """Runs the command line of this process."""
    app(prog_name="g3-eval")
