"""`g3 ingest run | status | cancel | rejects`: runs that the ingest workers do, followed from here."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from g3_client import G3, G3ClientError, Ingest

from g3_ingest import follow
from g3_ingest.world_source import PREFIX

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130
_LOOK_S = 0.5
IngestId = Annotated[str, typer.Argument(metavar="[ID]", help="Id of the run; the newest one if left out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def run(
    source: Annotated[
        str, typer.Argument(help="Folder of photos, tar archive or folder of them, .npy of vectors, or world:seed=1,…")
    ],
    table: Annotated[Path | None, typer.Option("--csv", help="Table with ids and coordinates.")] = None,
    authors: Annotated[Path | None, typer.Option(help="Table of authors: img_id, author.")] = None,
    collection: Annotated[str, typer.Option(help="Name of the new version; one is made if left out.")] = "",
    alias: Annotated[str, typer.Option(help="The name under which it is published.")] = "references",
    publish: Annotated[bool, typer.Option(help="Point the alias at it when it is complete.")] = True,
    shards: Annotated[int, typer.Option(min=0, max=10_000, help="0: one for every 10,000 rows.")] = 0,
    at_once: Annotated[int, typer.Option(min=1, max=256, help="Shards worked on at a time.")] = 2,
    near_duplicate: Annotated[float, typer.Option(help="Leave out photos this alike (cosine); 0: do not look.")] = 0.0,
    in_collection: Annotated[
        bool, typer.Option("--near-duplicate-in-collection", help="Look for them in the collection, too.")
    ] = False,
    index: Annotated[str, typer.Option(help="Index type: FLAT, HNSW, …; left out: as retrieval is set up.")] = "",
    least_recall: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least recall, similar and dissimilar, to be published.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="The version may hold references already.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Submit, print the id and return.")] = False,
    label: Annotated[str, typer.Option(help="A reference of your own.")] = "",
    as_json: AsJson = False,
) -> None:
    """Fill a new version of the reference collection in the background, shard by shard, and publish it.

    Ctrl-C stops watching, not the run: `g3 ingest status ID --follow` watches again.
    """
    spec: dict[str, Any] = {
        "table": _absolute(table),
        "authors": _absolute(authors),
        "collection": collection,
        "alias": alias,
        "unpublished": not publish,
        "shards": shards,
        "at_once": at_once,
        "near_duplicate": near_duplicate,
        "near_duplicate_in_collection": in_collection,
        "index": index,
        "least_recall_similar": least_recall,
        "least_recall_dissimilar": least_recall,
        "resume": resume,
        "label": label,
    }
    place = source if source.startswith(PREFIX) else str(Path(source).expanduser().resolve())
    with _told(), G3() as g3:
        submitted = g3.submit_ingest(place, **spec)
        if detach:
            typer.echo(submitted.model_dump_json() if as_json else submitted.ingest_id)
            return
        sys.stderr.write(f"run {submitted.ingest_id}\n")
        _end(_followed(g3, submitted), as_json)


def status(
    ingest_id: IngestId = "",
    following: Annotated[bool, typer.Option("--follow", help="Watch until it has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show an ingest run with the progress of its shards. Exit 1 when it has failed or was cancelled."""
    with _told(), G3() as g3:
        found = g3.ingest(ingest_id or _newest(g3))
        if following:
            found = _followed(g3, found)
        _end(found, as_json)


def list_(limit: Annotated[int, typer.Option(min=1, max=200, help="Runs to show, newest first.")] = 20) -> None:
    """List ingest runs, newest first."""
    with _told(), G3() as g3:
        follow.listing(g3.ingests(limit=limit).ingests)


def cancel(ingest_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the run.")]) -> None:
    """Cancel an ingest run; its shards stop at their next batch, and nothing is published."""
    with _told(), G3() as g3:
        found = g3.cancel_ingest(ingest_id)
        typer.echo(f"{found.ingest_id} {found.state}")


def rejects(ingest_id: IngestId = "") -> None:
    """Print every row that was not inserted, and why, as CSV."""
    with _told(), G3() as g3:
        typer.echo(g3.ingest_rejects(ingest_id or _newest(g3)), nl=False)


class _told:  # noqa: N801 - read as a verb: `with _told():`
    """An error of the client is one line and exit status 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, G3ClientError):
            sys.stderr.write(f"ingest: {error}\n")
            raise typer.Exit(_FAILED) from error


def _absolute(path: Path | None) -> str:
    return str(path.expanduser().resolve()) if path else ""


def _newest(g3: G3) -> str:
    runs = g3.ingests(limit=1).ingests
    if not runs:
        sys.stderr.write("ingest: there is no run yet: g3 ingest run SOURCE begins one\n")
        raise typer.Exit(_FAILED)
    return runs[0].ingest_id


def _followed(g3: G3, found: Ingest) -> Ingest:
    try:
        with follow.bars() as moved:
            while not found.ended:
                moved(found)
                time.sleep(_LOOK_S)
                found = g3.ingest(found)
            moved(found)
    except KeyboardInterrupt:
        sys.stderr.write(f"still running: g3 ingest status {found.ingest_id} --follow\n")
        raise typer.Exit(_INTERRUPTED) from None
    return found


def _end(found: Ingest, as_json: bool) -> None:
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        follow.summary(found)
    if found.ended and not found.succeeded:
        raise typer.Exit(_FAILED)
