"""`g3-eval run` and `g3-eval report`: a query set through the public API, and the report of what came."""

import asyncio
import json as jsons
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from g3_choice.pool_file import write_pools
from g3_client import AsyncG3, Patience
from g3_kit.errors import Rejected
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from g3_evaluation import pooling, query_sets, run_report
from g3_evaluation.asks import Ask
from g3_evaluation.findings import Findings, document
from g3_evaluation.job_run import JobRun, Progress, Tally
from g3_evaluation.query_sets import QuerySet
from g3_evaluation.report_markdown import HEADINGS
from g3_evaluation.report_table import plain
from g3_evaluation.run_data import load
from g3_evaluation.run_folder import RunFolder, RunNote
from g3_evaluation.telling import FAILED, fail, told

_err = Console(stderr=True)
# Ten minutes in which the server is away or full end no run.
_PATIENCE = Patience(attempts=45, longest_s=15.0, longest_asked_s=300.0)
_USUAL = ",".join(Ask)


def run(
    queries: Annotated[Path, typer.Argument(help="Folder with the photos of the query set.")],
    csv: Annotated[Path | None, typer.Option("--csv", help="Its table, unless it is the one CSV file there.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run; the same one again goes on.")] = None,
    ask: Annotated[str, typer.Option("--ask", help="Ways of asking, by commas.")] = _USUAL,
    samples: Annotated[int, typer.Option(min=1, max=32, help="N: samples of each prompt.")] = 5,
    retrieved: Annotated[int, typer.Option(min=1, max=50, help="S: retrieved candidates to choose from.")] = 20,
    exclude_author: Annotated[
        bool, typer.Option("--exclude-author/--with-author", help="No references by the photo's own author.")
    ] = True,
    exclude_near: Annotated[
        float, typer.Option("--exclude-near", min=0.0, max=1.0, help="No references from this cosine on; 0: all.")
    ] = 0.0,
    limit: Annotated[int, typer.Option(min=0, help="Only the first so many photos; 0: all.")] = 0,
    in_flight: Annotated[int, typer.Option(min=1, max=256, help="Jobs at a time.")] = 8,
    again: Annotated[
        bool, typer.Option("--again", help="Ask anew where the answer failed or went without LMM.")
    ] = False,
    reference_photos: Annotated[
        Path | None, typer.Option("--reference-photos", help="Folder of the references' photos, for thumbnails.")
    ] = None,
    lmm: Annotated[str, typer.Option(help="How the LMM is called in tables.")] = "",
    url: Annotated[str, typer.Option(help="The server; otherwise G3_URL, or the stack of `g3 up`.")] = "",
    api_key: Annotated[str, typer.Option(envvar="G3_API_KEY", help="Its key.", show_envvar=True)] = "",
) -> None:
    """Put a query set to the public API, resumably, and write the report."""
    with told():
        if not queries.is_dir():
            raise Rejected(f"There is no folder {queries}.")
        listed = query_sets.read(queries, csv, limit=limit)
        folder = RunFolder(out or Path("g3-eval") / f"{listed.name}-jobs")
        wanted = RunNote(
            query_set=listed.name,
            synthetic=_is_synthetic(queries),
            lmm=lmm,
            asks=_asks(ask),
            samples=samples,
            retrieved=retrieved,
            exclude_author=exclude_author,
            exclude_near=exclude_near,
            excluded=listed.excluded,
        )
        note = folder.claim(wanted, listed.queries)
        tally = _run(listed, folder, note, url, api_key, in_flight, again)
        _err.print(
            plain(f"{tally.asked} jobs asked for now, {tally.kept} were there, {tally.failed} without an answer")
        )
        for name, words in note.refused.items():
            _err.print(plain(f"{name} was refused: {words}"), style="yellow", soft_wrap=True)
        if len(note.refused) == len(note.asks):
            fail("the server knows none of the ways of asking", FAILED)
        found = run_report.write(folder.path, reference_photos)
    _show(found, folder.path)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR...", help="Folders of `g3-eval run`.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Of several runs: where their report side by side goes.")
    ] = None,
    reference_photos: Annotated[
        Path | None, typer.Option("--reference-photos", help="Folder of the references' photos, for thumbnails.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The first run's report as JSON on standard output.")] = False,
) -> None:
    """Write the report of a stored run again, or of several side by side; no service is asked."""
    with told():
        found = [run_report.write(path, reference_photos) for path in runs]
        if len(runs) > 1:
            run_report.write_beside(runs, out or Path("g3-eval") / "side-by-side")
    if json:
        typer.echo(jsons.dumps(document(found[0]), allow_nan=False))
        return
    for each, path in zip(found, runs, strict=True):
        _show(each, path)


def pools(
    run_dir: Annotated[Path, typer.Argument(help="Folder of `g3-eval run`.")],
    out: Annotated[Path, typer.Option("--out", help="The file, JSON lines.")] = Path("pools.jsonl"),
    ask: Annotated[str, typer.Option("--ask", help="Whose candidates: paper or default.")] = "default",
    part: Annotated[str, typer.Option("--set", help="How these photos are called where figures are told apart.")] = "",
) -> None:
    """Write the candidates of a stored run as pools, which the fitting of the consensus reads."""
    with told():
        data = load(run_dir)
        (name,) = _asks(ask)[:1]
        if name not in data.asks or not Ask(name).needs_lmm:
            raise Rejected(f"{run_dir} has no candidates of {name}.", field="ask")
        count = write_pools(out, pooling.pools(data, Ask(name), part))
    _err.print(plain(f"{count} pools: {out}"), soft_wrap=True)


def _show(found: Findings, folder: Path) -> None:
    table = Table(title=plain(f"{found.query_set}: % of {found.n} photos within"), title_justify="left", box=None)
    table.add_column("method", overflow="fold")
    for heading in (*HEADINGS, "median km"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found.rows:
        shares = [f"{100 * share.value:.1f}" for share in row.accuracy.within]
        table.add_row(row.words, *shares, f"{row.accuracy.median_km:,.0f}")
    Console(highlight=False).print(table)
    _err.print(plain(f"report: {folder / 'report.html'}"), soft_wrap=True)


def _run(
    listed: QuerySet, folder: RunFolder, note: RunNote, url: str, api_key: str, in_flight: int, again: bool
) -> Tally:
    async def asked(progress: Progress) -> Tally:
        async with AsyncG3(url, api_key, patience=_PATIENCE) as g3:
            return await JobRun(g3, folder, note, in_flight=in_flight, again=again).run(listed.queries, progress)

    with _bar(len(listed.queries)) as progress:
        return asyncio.run(asked(progress))


def _asks(written: str) -> list[str]:
    names = [name.strip() for name in written.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Ask)]
    if unknown or not names:
        raise Rejected(f"--ask takes {', '.join(Ask)}, by commas; not {', '.join(unknown) or 'nothing'}.", field="ask")
    return [ask.value for ask in Ask if ask in names]


def _is_synthetic(folder: Path) -> bool:
    """Whether the folder says of itself that its photos were rendered."""
    try:
        note = jsons.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(note, dict) and note.get("synthetic") is True


class _Rate(ProgressColumn):
    """Photos a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.2f} photos/s" if speed else "")


@contextmanager
def _bar(total: int) -> Iterator[Progress]:
    """A bar on standard error, with rate and time left. Photos that were there already do not count for the rate."""
    columns = (TextColumn("photos"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Bar(*columns, console=_err) as shown:
        task = shown.add_task("photos", total=total)

        def done(fresh: bool) -> None:
            if fresh:
                shown.advance(task)
            else:
                left = shown.tasks[0].total or 0
                shown.update(task, total=left - 1) if left > 1 else shown.advance(task)

        yield done
