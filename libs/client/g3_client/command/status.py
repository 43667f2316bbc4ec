"""`g3 status`: is the server there, does it take work, what is it doing."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from g3_client.client import G3
from g3_client.command import show
from g3_client.errors import ConnectionFailed, Problem, TimedOut, Unintelligible
from g3_client.flows import Patience
from g3_client.models import JobState

RUNNING = (JobState.QUEUED, JobState.RETRIEVING, JobState.GENERATING, JobState.VERIFYING)
COUNTED = 200  # one page of the listing


def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Says whether the server is reachable and ready, and how many jobs are under way. Exit 0 means ready."""
    with show.errors_told(), G3(patience=Patience(attempts=1)) as g3:
        report = examined(g3)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        show.out().print(_view(report))
    if not report["ready"]:
        raise typer.Exit(1)


def examined(g3: G3) -> dict[str, Any]:
    """What can be found out about the server: `url`, `reachable`, `ready`, `problems`, `running` by state."""
    report: dict[str, Any] = {"url": g3.connection.url, "reachable": True, "ready": False, "problems": {}}
    try:
        readiness = g3.readiness()
    except (ConnectionFailed, TimedOut) as failure:
        return {**report, "reachable": False, "problems": {"server": str(failure)}}
    except (Problem, Unintelligible) as failure:
        return {**report, "problems": {"server": str(failure)}}
    report |= {"ready": readiness.ready, "problems": dict(readiness.problems)}
    try:
        report["running"] = {str(state): _count(g3, state) for state in RUNNING}
    except (ConnectionFailed, Problem, TimedOut, Unintelligible) as failure:
        report["ready"] = False
        report["problems"]["jobs"] = str(failure)
    return report


def _count(g3: G3, state: JobState) -> str | int:
    page = g3.page(state=state, limit=COUNTED)
    return f"{COUNTED}+" if page.next_cursor else len(page.jobs)


def _view(report: dict[str, Any]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    grid.add_row("server", show.plain(report["url"]))
    if report["ready"]:
        state = Text("ready", "green")
    else:
        state = Text("not ready" if report["reachable"] else "not reachable", "red")
    grid.add_row("state", state)
    for part, what in report["problems"].items():
        grid.add_row(show.plain(part), show.plain(what))
    for name, count in report.get("running", {}).items():
        grid.add_row(name, str(count))
    return grid
