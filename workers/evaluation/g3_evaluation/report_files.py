"""The report as files of a folder: report.json, report.md and answers.csv."""

import csv
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from g3_evaluation.methods import Answers, Method
from g3_evaluation.metrics import Distances
from g3_evaluation.query_sets import Query
from g3_evaluation.report import RetrievalReport, document
from g3_evaluation.report_markdown import markdown


def write(
    folder: Path,
    report: RetrievalReport,
    queries: Sequence[Query],
    answers: Answers,
    distances: Mapping[Method, Distances],
) -> None:
    """Writes the three files, each whole or not at all. `answers.csv` has a row a photo, empty where no answer is."""
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / "report.json", json.dumps(document(report), indent=1, allow_nan=False) + "\n")
    replace(folder / "report.md", markdown(report))
    replace(folder / "answers.csv", _table(queries, answers, distances))


def _table(queries: Sequence[Query], answers: Answers, distances: Mapping[Method, Distances]) -> str:
    shown = [method for method in Method if method not in (Method.ORACLE, Method.CEILING)]
    lines = StringIO()
    writer = csv.writer(lines)
    writer.writerow(
        ["img_id", "gt_lat", "gt_long"]
        + [f"{method.value}_{what}" for method in shown for what in ("lat", "long", "km")]
        + ["oracle_km", "ceiling_km"]
    )
    for row, query in enumerate(queries):
        cells: list[str] = [query.id, _degrees(query.coordinates.latitude), _degrees(query.coordinates.longitude)]
        for method in shown:
            place = answers.places[method].get(query.id)
            where = ["", ""] if place is None else [_degrees(degrees) for degrees in place]
            cells += [*where, _km(float(distances[method][row]))]
        cells += [_km(float(distances[method][row])) for method in (Method.ORACLE, Method.CEILING)]
        writer.writerow(cells)
    return lines.getvalue()


def _degrees(value: float) -> str:
    return f"{value:.7f}"


def _km(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else ""


def replace(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8") as draft:
        draft.write(text)
    Path(draft.name).chmod(0o644)
    Path(draft.name).replace(path)
