"""The command: `g3 ingest FOLDER`, `g3 ingest run SOURCE`, …, and `python -m g3_ingest`. A composition root.

What names no command is a folder, which is ingested from this process at once; runs are done by the workers.
"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from g3_client import config
from g3_client.errors import G3ClientError
from g3_kit import grpc_client, logs
from g3_kit.errors import G3Error, Rejected, Unavailable
from g3_kit.settings import load
from typer.core import TyperGroup

from g3_ingest import runs_command, show
from g3_ingest.grpc_embedder import GrpcEmbedder
from g3_ingest.grpc_references import GrpcReferences
from g3_ingest.ingest import Ingest, Report
from g3_ingest.settings import IngestSettings
from g3_ingest.sources import Listing, from_csv, from_folder

_NOTHING, _USAGE, _INTERRUPTED = 1, 2, 130


def ingest(
    folder: Annotated[Path | None, typer.Argument(help="Folder with the photos.", show_default=False)] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="Table of photos: img_id or file, latitude, longitude; city, state, country, author if any."
        ),
    ] = None,
    collection: Annotated[str, typer.Option(help="Collection version; by default one of the model's own.")] = "",
    alias: Annotated[str, typer.Option(help="The name under which the collection is published.")] = "references",
    publish: Annotated[bool, typer.Option(help="Point the alias at the collection at the end.")] = True,
    batch: Annotated[int, typer.Option(min=1, max=1000, help="Photos a call.")] = 32,
    embedding: Annotated[str, typer.Option(metavar="HOST:PORT", help="G3_EMBEDDING_TARGET otherwise.")] = "",
    retrieval: Annotated[str, typer.Option(metavar="HOST:PORT", help="G3_RETRIEVAL_TARGET otherwise.")] = "",
    rejects: Annotated[Path | None, typer.Option(help="Write every rejected photo and why to this CSV file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON on standard output.")] = False,
) -> None:
    """Put photos with known coordinates into the reference collection. Run it again to resume."""
    settings = load(IngestSettings)
    logs.configure("ingest", settings.log_level if "log_level" in settings.model_fields_set else "WARNING", "text")
    listing = _listing(folder, csv)
    targets = (
        _target("embedding", embedding or settings.embedding_target, "127.0.0.1:7101"),
        _target("retrieval", retrieval or settings.retrieval_target, "127.0.0.1:7102"),
    )
    report = _run(listing, targets, batch=batch, collection=collection, alias=alias, publish=publish)
    if rejects is not None:
        _save(report, rejects)
    if json:
        typer.echo(show.as_json(report))
    else:
        show.summary(report)
    _end(report)


def _listing(folder: Path | None, table: Path | None) -> Listing:
    if folder is None:
        _fail("give the folder with the photos: g3 ingest FOLDER [--csv FILE]; --help says more", _USAGE)
    if not folder.is_dir():
        _fail(f"there is no folder {folder}", _USAGE)
    try:
        listing = from_folder(folder) if table is None else from_csv(folder, table)
    except Rejected as error:
        _fail(error.message, _USAGE)
    if not listing.entries and not listing.rejects:
        _fail(f"there are no photos in {folder}" if table is None else f"{table} has no rows", _NOTHING)
    return listing


def _target(room: str, told: str, usual: str) -> str:
    """The room's address: as told, else of the stack that `g3 up` runs on this machine, else the usual port."""
    try:
        return told or config.target(room) or usual
    except G3ClientError as error:
        _fail(str(error), _USAGE)


def _run(
    listing: Listing, targets: tuple[str, str], *, batch: int, collection: str, alias: str, publish: bool
) -> Report:
    total = len(listing.entries) + len(listing.rejects)
    with ExitStack() as stack:
        channels = [grpc_client.channel(target) for target in targets]
        for channel in channels:
            stack.callback(channel.close)
        embedder, references = GrpcEmbedder(channels[0]), GrpcReferences(channels[1])
        _require(embedder, references, targets)
        try:
            with show.bar(total) as moved:
                run = Ingest(embedder, references, batch=batch, workers=os.cpu_count() or 1, on_progress=moved)
                return run.run(listing, collection=collection, alias=alias, publish=publish)
        except KeyboardInterrupt:
            _fail("stopped before anything was ingested", _INTERRUPTED)
        except Rejected as error:
            _fail(error.message, _USAGE)
        except G3Error as error:
            _fail(error.message, _NOTHING)


def _require(embedder: GrpcEmbedder, references: GrpcReferences, targets: tuple[str, str]) -> None:
    """Ends with one line when a service is down, before a bar is drawn."""
    for what, option, target, call in (
        ("embedding", "--embedding", targets[0], embedder.model),
        ("retrieval", "--retrieval", targets[1], references.reachable),
    ):
        try:
            call()
        except Unavailable:
            _fail(f"no {what} service answers at {target}: start it (g3 up) or name another with {option}", _NOTHING)
        except G3Error as error:
            _fail(f"the {what} service at {target} answered: {error.message}", _NOTHING)


def _save(report: Report, path: Path) -> None:
    try:
        show.write_rejects(report, path)
    except OSError as error:
        _warn(f"{path} cannot be written: {error.strerror}")


def _end(report: Report) -> None:
    if report.interrupted:
        _warn(f"stopped; {report.written} written so far: run it again to go on")
        raise typer.Exit(_INTERRUPTED)
    if report.failure:
        _warn(f"stopped early: {report.failure}; {report.written} written so far: run it again to go on")
        raise typer.Exit(_NOTHING)
    if report.written + report.held == 0:
        _fail("no photo could be ingested", _NOTHING)


def _warn(message: str) -> None:
    sys.stderr.write(f"ingest: {message}\n")


def _fail(message: str, status: int) -> NoReturn:
    _warn(message)
    raise typer.Exit(status)


class FolderUnlessCommand(TyperGroup):
    """`ingest FOLDER` is `ingest folder FOLDER`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the command in front where none is named."""
        if args[:1] != ["--help"] and (not args or args[0] not in self.commands):
            args = ["folder", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=FolderUnlessCommand,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=False,
    help="Photos with known coordinates into the reference collection: FOLDER at once, or `run` in the background.",
)
app.command("folder")(ingest)
app.command("run")(runs_command.run)
app.command("status")(runs_command.status)
app.command("list")(runs_command.list_)
app.command("cancel")(runs_command.cancel)
app.command("rejects")(runs_command.rejects)


@app.command("worker", hidden=True)
def _worker() -> None:
    """Work on the queue `ingest`."""
    # Celery is loaded by who needs it.
    from g3_ingest.app import main as serve

    serve()


def main() -> None:
    """Runs the command line of this process."""
    app(prog_name="python -m g3_ingest")
