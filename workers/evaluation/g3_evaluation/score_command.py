"""`g3-eval score`: anybody's predictions to figures, without any service."""

import json as jsons
from pathlib import Path
from typing import Annotated

import typer
from g3_kit.errors import Rejected
from rich.console import Console

from g3_evaluation import prediction_file, score_report
from g3_evaluation.metrics import Difference
from g3_evaluation.published import QUERY_SETS
from g3_evaluation.scoring import Measure, Score, compared, published_beside
from g3_evaluation.scoring import score as score_of
from g3_evaluation.telling import told


def score(
    files: Annotated[list[Path], typer.Argument(help="CSV files with img_id and predictions; the truth too, or:")],
    truth: Annotated[Path | None, typer.Option("--truth", help="The truth by id, in a table of its own.")] = None,
    distance: Annotated[Measure, typer.Option("--distance", help="How distances are taken.")] = Measure.GEODESIC,
    against: Annotated[
        str, typer.Option("--against", help="Printed rows to stand beside: im2gps3k, yfcc4k, none, or auto.")
    ] = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="A Markdown file to write too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Everything as JSON on standard output.")] = False,
) -> None:
    """Score files of predictions: img_id, gt_lat, predicted_lat, gt_long, predicted_long, or the like."""
    with told():
        if against not in (*QUERY_SETS, "none", "auto"):
            raise Rejected(f"--against is im2gps3k, yfcc4k, none or auto, not {against}.", field="against")
        scores = [score_of(prediction_file.read(file, truth), distance) for file in files]
        differences = _differences(scores)
        published = published_beside(scores[0], against)
        if out is not None:
            out.write_text(score_report.markdown(scores, differences, published), encoding="utf-8")
    if json:
        typer.echo(jsons.dumps(score_report.document(scores, differences), allow_nan=False))
    else:
        score_report.show(scores, differences, published, Console(highlight=False))


def _differences(scores: list[Score]) -> list[Difference | None]:
    return [compared(scores[0], other) for other in scores[1:]]
