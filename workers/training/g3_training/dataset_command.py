"""`g3-dataset`: tables for training."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from g3_kit.errors import G3Error, Rejected
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from g3_training.enrichment import enrich as enriched

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def dataset() -> None:
    """Tables for training."""


@app.command()
def enrich(
    table: Annotated[Path, typer.Argument(help="A CSV of ids and coordinates.")],
    out: Annotated[Path, typer.Option("--out", help="The table with names of places; a stopped run goes on.")],
    rejects: Annotated[
        Path | None, typer.Option(help="Rows that are not used, and why; beside --out unless given.")
    ] = None,
    farthest_km: Annotated[float, typer.Option(min=0, help="Photos farther from every place are rejected.")] = 100.0,
) -> None:
    """Name the place of every photo, offline: MP16-Pro's columns and the text that the alignment learns from."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("rows", total=None)
            state = enriched(
                table,
                out,
                rejects or out.with_name(f"{out.stem}-rejects.csv"),
                farthest_km=farthest_km,
                progress=lambda done: bar.advance(task, done),
            )
    except G3Error as error:
        sys.stderr.write(f"g3-dataset: {error.message}\n")
        raise typer.Exit(2 if isinstance(error, Rejected) else 1) from None
    typer.echo(f"{state.written} rows named in {out}, {state.rejected} rejected")


def main() -> None:
    """Runs the command line of this process."""
    app(prog_name="g3-dataset")
