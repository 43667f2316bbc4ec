"""What the terminal shows of an ingest run: bars on standard error while it works, tables on standard output."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from g3_client import Ingest, Shard
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from g3_ingest.show import plain

_SHOWN = 12
_REASONS = 10


@contextmanager
def bars(console: Console | None = None) -> Iterator[Callable[[Ingest], None]]:
    """A bar of all rows and one of each shard under way, on standard error unless told; yields what moves them."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console or Console(stderr=True)) as progress:
        total = progress.add_task("planning", total=None, told="")
        tasks: dict[int, TaskID] = {}

        def moved(run: Ingest) -> None:
            told = f"rejected {run.total.rejected} duplicates {run.total.duplicates}"
            rows = run.plan.rows if run.plan else None
            progress.update(total, description=str(run.state), total=rows, completed=run.total.read, told=told)
            under_way = {shard.shard: shard for shard in run.shards if shard.state not in ("waiting", "done")}
            for number in tasks.keys() - under_way.keys():
                progress.remove_task(tasks.pop(number))
            for number, shard in sorted(under_way.items())[:_SHOWN]:
                if number not in tasks:
                    tasks[number] = progress.add_task(f"  shard {number}", total=shard.rows, told="")
                attempt = f"attempt {shard.attempts}" if shard.attempts > 1 else ""
                progress.update(tasks[number], completed=shard.tally.read, told=attempt)

        yield moved


def summary(run: Ingest) -> None:
    """A run as tables."""
    console = Console(highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in _facts(run):
        table.add_row(name, plain(value))
    console.print(table)
    if run.total.reasons:
        console.print(_reasons(run))
    unfinished = [shard for shard in run.shards if shard.state != "done"]
    if unfinished:
        console.print(_shards(unfinished))


def listing(runs: Sequence[Ingest]) -> None:
    """Runs, one a line."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("run", "created", "state", "rows", "written", "collection"):
        table.add_column(name, no_wrap=name != "collection", overflow="fold")
    for run in runs:
        created = f"{run.created_at:%Y-%m-%d %H:%M:%S}" if run.created_at else ""
        rows = str(run.plan.rows) if run.plan else "-"
        collection = plain(run.plan.collection) if run.plan else plain("")
        table.add_row(run.ingest_id, created, str(run.state), rows, str(run.total.written), collection)
    Console(highlight=False).print(table)


def _facts(run: Ingest) -> Iterator[tuple[str, str]]:
    yield "run", run.ingest_id
    yield "state", str(run.state)
    if run.failure:
        yield "failure", run.failure.message
    yield "source", run.spec.source
    if run.plan:
        done = sum(shard.state == "done" for shard in run.shards)
        yield "collection", run.plan.collection
        yield "model", run.plan.model[:12]
        yield "shards", f"{done} of {run.plan.shards} done"
        yield "rows", f"{run.total.read} of {run.plan.rows} read"
    yield "written", str(run.total.written)
    yield "already there", str(run.total.held)
    yield "rejected", str(run.total.rejected)
    yield "duplicates", str(run.total.duplicates)
    if found := run.publication:
        yield "counted", str(found.counted)
        if found.recall_similar is not None and found.recall_dissimilar is not None:
            yield "recall", f"similar {found.recall_similar:.4f}, dissimilar {found.recall_dissimilar:.4f}"
        yield "alias", f"{run.spec.alias} → {run.plan.collection}" if found.published and run.plan else "not published"


def _reasons(run: Ingest) -> Table:
    table = Table(title="not inserted", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("rows", justify="right")
    table.add_column("reason", overflow="fold")
    counted = sorted(run.total.reasons.items(), key=lambda item: -item[1])
    for reason, count in counted[:_REASONS]:
        table.add_row(str(count), plain(reason))
    if len(counted) > _REASONS:
        table.add_row(str(sum(count for _, count in counted[_REASONS:])), "other reasons: g3 ingest rejects")
    return table


def _shards(shards: Sequence[Shard]) -> Table:
    table = Table(title="shards not done", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("shard", "state", "read", "attempts", "why the last attempt ended"):
        table.add_column(name, overflow="fold")
    for shard in shards[:_SHOWN]:
        read = f"{shard.tally.read} of {shard.rows}"
        table.add_row(str(shard.shard), shard.state, read, str(shard.attempts), plain(shard.reason))
    if len(shards) > _SHOWN:
        table.add_row("", f"{len(shards) - _SHOWN} more", "", "", "")
    return table
