"""`g3 jobs`: list, show, watch and cancel jobs."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from g3_client import map as maps
from g3_client.client import G3
from g3_client.command import show
from g3_client.errors import G3ClientError
from g3_client.models import Job

app = typer.Typer(help="List, show, watch and cancel jobs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


@app.command("list")
def list_(
    state: Annotated[str, typer.Option(help="Only jobs in this state, for example failed.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Jobs to show, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Lists jobs, newest first."""
    with show.errors_told(), G3() as g3:
        found = islice(g3.list(state=state or None, page_size=min(limit, 200)), limit)
        if as_json:
            for job in found:
                typer.echo(job.model_dump_json())
            return
        show.out().print(_listing(list(found)))


@app.command("show")
def show_(
    job_id: JobId,
    as_json: AsJson = False,
    map_file: Annotated[Path | None, typer.Option("--map", help="Write a map as well: FILE.html and FILE.png.")] = None,
) -> None:
    """Shows one job with its answer and evidence."""
    with show.errors_told(), G3() as g3:
        job = g3.get(job_id)
    _print(job, as_json)
    if map_file is not None:
        written(map_file, [maps.Located(job=job, name=job.label or job.job_id)])


@app.command("watch")
def watch(
    job_id: JobId,
    as_json: AsJson = False,
    wait_s: Annotated[float | None, typer.Option("--wait", min=0, help="Seconds to watch at most.")] = None,
) -> None:
    """Follows a job until it has ended. Exit 1 when it has no result."""
    job: Job | None = None
    with show.errors_told(), G3() as g3:
        for event in g3.watch(job_id, timeout_s=wait_s):
            job = event.job
            if as_json:
                typer.echo(event.model_dump_json())
            else:
                moment = f"{job.updated_at:%H:%M:%S} " if job.updated_at else ""
                show.err().print(show.plain(f"{moment}{job.state}"))
        job = job or g3.get(job_id)
    if not as_json:
        _print(job, as_json=False)
    if not job.succeeded:
        raise typer.Exit(1)


@app.command("cancel")
def cancel(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB", help="Ids of the jobs.")],
    as_json: AsJson = False,
) -> None:
    """Cancels jobs. Exit 1 when one could not be cancelled; the others are all the same."""
    failed = False
    with show.errors_told(), G3() as g3:
        for job_id in job_ids:
            try:
                job = g3.cancel(job_id)
            except G3ClientError as failure:
                show.error(f"{job_id}: {failure}")
                failed = True
                continue
            if as_json:
                typer.echo(job.model_dump_json())
            else:
                show.out().print(show.plain(f"{job.job_id} {job.state}"))
    if failed:
        raise typer.Exit(1)


def written(map_file: Path, located: list[maps.Located]) -> None:
    """Writes the maps and says where; a map that cannot be written is an error line and exit code 1."""
    try:
        files = maps.write(map_file, located)
    except OSError as failure:
        show.error(f"{map_file}: the map cannot be written ({failure.strerror or type(failure).__name__})")
        raise typer.Exit(1) from failure
    show.err().print(show.plain("map: " + " ".join(str(file) for file in files)), soft_wrap=True)


def _print(job: Job, as_json: bool) -> None:
    if as_json:
        typer.echo(job.model_dump_json())
    else:
        show.out().print(show.job_view(job))


def _listing(jobs: list[Job]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("job", "created", "state", "label", "answer"):
        table.add_column(name, no_wrap=name in {"job", "created", "state"}, overflow="fold")
    for job in jobs:
        created = f"{job.created_at:%Y-%m-%d %H:%M:%S}" if job.created_at else ""
        answer = show.outcome(job) if job.ended else ""
        row = [show.plain(cell) for cell in (job.job_id, created, job.state, job.label, answer)]
        table.add_row(*row)
    return table
