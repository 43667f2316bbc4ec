"""The report of one run or several, as files: report.md, report.html and report.json."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from g3_evaluation import blocks, cells, run_sections
from g3_evaluation.blocks import Block, Heading, Paragraph, Table
from g3_evaluation.findings import Findings, document, findings
from g3_evaluation.metrics import Difference, difference
from g3_evaluation.report_files import replace
from g3_evaluation.run_data import RunData, load

_SIDE_BY_SIDE = ("default", "paper", "img2loc")


@dataclass(frozen=True)
class Beside:
    """The same row of a run and of the first run, on the photos that both have."""

    entry: str
    run: str
    photos: int
    difference: Difference


def write(path: Path, reference_photos: Path | None = None) -> Findings:
    """Writes the report of a run into its folder. Raises as `load`."""
    found = findings(load(path), reference_photos)
    _write(path, run_sections.sections(found), document(found), f"G3 on {found.query_set}")
    return found


def write_beside(paths: Sequence[Path], out: Path) -> list[Findings]:
    """Writes a report that has several runs side by side: another LMM, or references named in another granularity.

    Raises as `load`.
    """
    runs = [load(path) for path in paths]
    all_found = [findings(data) for data in runs]
    names = [_name(path, data) for path, data in zip(paths, runs, strict=True)]
    told = _beside(runs, names)
    stated = {
        "runs": {name: document(found) for name, found in zip(names, all_found, strict=True)},
        "against_the_first": [
            {
                "entry": each.entry,
                "run": each.run,
                "photos": each.photos,
                "within": [asdict(share) for share in each.difference.within],
            }
            for each in told
        ],
    }
    _write(out, _sections(all_found, names, told), stated, "G3: runs side by side")
    return all_found


def _name(path: Path, data: RunData) -> str:
    return f"{path.name} ({data.note.lmm})" if data.note.lmm else path.name


def _beside(runs: Sequence[RunData], names: Sequence[str]) -> list[Beside]:
    told = []
    first = runs[0]
    rows = {query.id: row for row, query in enumerate(first.queries)}
    for data, name in zip(runs[1:], names[1:], strict=True):
        pairs = [(rows[query.id], row) for row, query in enumerate(data.queries) if query.id in rows]
        for entry in _SIDE_BY_SIDE:
            if pairs and {entry} <= {each.name for each in data.entries} & {each.name for each in first.entries}:
                mine, theirs = (np.array(side) for side in zip(*pairs, strict=True))
                authors = [first.authors[row] for row in mine.tolist()]
                gained = difference(data.distances(entry)[theirs], first.distances(entry)[mine], authors)
                told.append(Beside(entry, name, len(pairs), gained))
    return told


def _sections(all_found: Sequence[Findings], names: Sequence[str], told: Sequence[Beside]) -> list[Block]:
    lines = [
        [
            name,
            row.words,
            str(found.n),
            *map(cells.of_share, row.accuracy.within),
        ]
        for entry in _SIDE_BY_SIDE
        for name, found in zip(names, all_found, strict=True)
        if (row := found.row(entry))
    ]
    printed = [
        [row.method, f"printed, {row.table}", "", *(f"{value:.2f}" for value in row.within)]
        for row in all_found[0].published
        if row.table in ("lmm", "granularity")
    ]
    gained = [
        [
            each.run,
            each.entry,
            str(each.photos),
            *map(cells.of_points, each.difference.within),
        ]
        for each in told
    ]
    return [
        Heading("G3: runs side by side", 1),
        Paragraph("Accuracy in % with 95 % Wilson intervals; another LMM, or references named in another granularity."),
        Table(["run", "method", "n", *cells.WITHIN], lines + printed),
        Heading(f"Differences from {names[0]} on the photos of both, percentage points"),
        Table(["run", "method", "photos", *cells.WITHIN], gained),
        Paragraph("Intervals of differences are a 95 % bootstrap clustered by author."),
    ]


def _write(folder: Path, told: list[Block], stated: Mapping[str, object], title: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in blocks.files(told).items():
        draft = folder / f".{name}.part"
        draft.write_bytes(content)
        draft.replace(folder / name)
    replace(folder / "report.json", json.dumps(stated, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    replace(folder / "report.md", blocks.markdown(told))
    replace(folder / "report.html", blocks.page(title, told))
