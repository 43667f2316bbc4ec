"""What the command shows: a bar on standard error while it works, a summary on standard output at the end."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from g3_ingest.ingest import Progress, Report

_EXAMPLES = 10


@contextmanager
def bar(total: int) -> Iterator[Callable[[Progress], None]]:
    """A progress bar over `total` photos; yields what moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rejected {task.fields[rejected]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("photos", total=total, rejected=0)
        yield lambda progress: shown.update(task, completed=progress.done, rejected=progress.rejected)


def summary(report: Report) -> None:
    """The report as tables on standard output."""
    console = Console(highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("collection", plain(report.collection))
    table.add_row("model", report.model[:12] + ("" if report.trained else " (untrained: places found are noise)"))
    table.add_row("photos", str(report.found))
    table.add_row("already there", str(report.held))
    table.add_row("written", str(report.written))
    table.add_row("rejected", str(report.rejected))
    table.add_row("alias", plain(f"{report.alias} → {report.collection}" if report.published else "not published"))
    table.add_row("time", f"{report.seconds:.1f} s")
    console.print(table)
    if report.rejects:
        console.print(_rejects(report))


def _rejects(report: Report) -> Table:
    table = Table(title="rejected", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("photos", "code", "reason", "first of them"):
        table.add_column(name, overflow="fold")
    counted = Counter((reject.code, reject.reason) for reject in report.rejects)
    for (code, reason), count in counted.most_common(_EXAMPLES):
        first = next(reject.id for reject in report.rejects if (reject.code, reject.reason) == (code, reason))
        table.add_row(str(count), code, plain(reason), plain(first))
    if len(counted) > _EXAMPLES:
        others = sum(count for _, count in counted.most_common()[_EXAMPLES:])
        table.add_row(str(others), "", "other reasons: see --rejects FILE", "")
    return table


def as_json(report: Report) -> str:
    """The report as one JSON object; rejects are listed up to 100, all of them go to --rejects FILE."""
    fields = {name: value for name, value in vars(report).items() if name != "rejects"}
    listed = [{"id": reject.id, "code": reject.code, "reason": reject.reason} for reject in report.rejects[:100]]
    return json.dumps({**fields, "rejected": report.rejected, "rejects": listed}, ensure_ascii=True)


def write_rejects(report: Report, path: Path) -> None:
    """All rejects as CSV: id, code, reason."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "code", "reason"])
        writer.writerows([reject.id, reject.code, reject.reason] for reject in report.rejects)


def plain(text: str) -> Text:
    """Ids and file names come from elsewhere: neither markup nor control characters of them reach the terminal."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))
