"""Everything that a run found, as data: the source of its tables, plots and of `report.json`."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from g3_evaluation import confidence
from g3_evaluation.asks import Ask
from g3_evaluation.case_study import Case, cases
from g3_evaluation.confidence import Calibrated, Covered, Radii
from g3_evaluation.costs import AskCost, costs
from g3_evaluation.curves import Curve, curves
from g3_evaluation.entries import PAIRS
from g3_evaluation.failing import BANDS, Grouping, groupings
from g3_evaluation.leakage import Leakage, leakage
from g3_evaluation.metrics import THRESHOLDS_KM, Accuracy, Difference, accuracy, difference
from g3_evaluation.photos import identical
from g3_evaluation.published import PublishedRow, query_set_of, rows
from g3_evaluation.query_sets import Excluded
from g3_evaluation.rescoring import PAPER, Part, proposals
from g3_evaluation.run_data import RunData


@dataclass(frozen=True)
class Row:
    """One row of the tables: its accuracy, and the interval of a bootstrap clustered by author."""

    name: str
    words: str
    published: str
    accuracy: Accuracy
    clustered: Difference


@dataclass(frozen=True)
class Pair:
    """One row against another, photo by photo."""

    better: str
    worse: str
    difference: Difference


@dataclass(frozen=True)
class Findings:
    """All of it."""

    query_set: str
    synthetic: bool
    lmm: str
    n: int
    unfinished: int
    authors: int
    asks: dict[str, str]
    refused: dict[str, str]
    releases: list[tuple[str, str]]
    samples: int
    retrieved: int
    rows: list[Row]
    bounds: dict[str, Accuracy]
    """The best of what could be chosen, known only to who knows the truth."""
    pairs: list[Pair]
    curves: list[Curve]
    covered: list[Covered]
    calibrated: dict[str, list[Calibrated]]
    radii: dict[str, Radii | None]
    failing: dict[str, list[Grouping]]
    leakage: Leakage | None
    costs: list[AskCost]
    cases: list[Case]
    excluded: list[Excluded]
    identical: list[list[str]]
    failures: list[tuple[str, str, str]]
    """Photo, way of asking, and why there is no answer."""
    published: list[PublishedRow]

    def row(self, name: str) -> Row | None:
        """The row of that name, if it can be told."""
        return next((row for row in self.rows if row.name == name), None)


def findings(data: RunData, reference_photos: Path | None = None, *, seed: int = 0) -> Findings:
    """What a run found. The same run and seed give the same figures."""
    note = data.note
    answered = [ask for ask in (Ask.DEFAULT, Ask.PAPER) if ask in data.asks]
    shas = {query.id: data.outcomes[data.asks[0], query.id].sha256 for query in data.queries}
    return Findings(
        query_set=note.query_set,
        synthetic=note.synthetic,
        lmm=note.lmm or ", ".join(sorted({each.lmm for ask in data.asks for each in data.of(ask)} - {""})),
        n=len(data.queries),
        unfinished=data.unfinished,
        authors=len(set(data.authors) - {""}),
        asks={ask.value: ask.words for ask in data.asks},
        refused=note.refused,
        releases=sorted({outcome.release for ask in data.asks for outcome in data.of(ask)} - {("", "")}),
        samples=note.samples,
        retrieved=note.retrieved,
        rows=_rows(data, seed),
        bounds=_bounds(data),
        pairs=_pairs(data, seed),
        curves=curves(data),
        covered=[confidence.covered(data, ask) for ask in answered],
        calibrated={ask.value: confidence.calibrated(data, ask) for ask in answered},
        radii={ask.value: confidence.radii(data, ask) for ask in answered},
        failing={ask.value: groupings(data, ask) for ask in answered[:1]},
        leakage=leakage(data),
        costs=costs(data),
        cases=cases(data, reference_photos),
        excluded=note.excluded,
        identical=identical({id_: sha for id_, sha in shas.items() if sha}),
        failures=[
            (query.id, ask.value, f"{outcome.failure[0]}: {outcome.failure[1]}")
            for ask in data.asks
            for query in data.queries
            if (outcome := data.outcomes[ask, query.id]).failure
        ],
        published=_published(note.query_set),
    )


def _published(query_set: str) -> list[PublishedRow]:
    return rows(query_set_of(query_set), "overall", "ablation", "lmm", "representation", "granularity", "newer")


def _rows(data: RunData, seed: int) -> list[Row]:
    none = np.full(len(data.queries), np.inf)
    return [
        Row(
            each.name,
            each.words,
            each.published,
            accuracy(data.distances(each.name)),
            difference(data.distances(each.name), none, data.authors, seed=seed),
        )
        for each in data.entries
    ]


def _bounds(data: RunData) -> dict[str, Accuracy]:
    parts = {Ask.PAPER: PAPER, Ask.DEFAULT: Part()}
    found = {}
    for ask, part in parts.items():
        if ask in data.asks:
            km = data.best(
                ask,
                lambda outcome, part=part: [  # type: ignore[misc]
                    (each.coordinates.latitude, each.coordinates.longitude) for each in proposals(outcome, part)
                ],
            )
            found[f"the best candidate of {ask.value}"] = accuracy(km)
    return found


def _pairs(data: RunData, seed: int) -> list[Pair]:
    told = {each.name for each in data.entries}
    return [
        Pair(better, worse, difference(data.distances(better), data.distances(worse), data.authors, seed=seed))
        for better, worse in PAIRS
        if {better, worse} <= told
    ]


def document(found: Findings) -> dict[str, Any]:
    """The findings as JSON: shares in [0, 1], kilometres, null for a median that is no distance."""
    stated = {name: _plain(getattr(found, name)) for name in found.__dataclass_fields__}
    for case in stated["cases"]:
        for shown in (case["photo"], *case["references"]):
            shown.pop("jpeg")  # pictures are in the HTML page
    return stated | {
        "distance": "geodesic on WGS 84, km; within a threshold means strictly below it",
        "intervals": "95 %: Wilson; `clustered` and differences by a bootstrap clustered by author",
        "thresholds_km": list(THRESHOLDS_KM),
        "bands": list(BANDS),
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(each) for name, each in asdict(value).items()}
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
