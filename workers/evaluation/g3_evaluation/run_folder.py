"""The folder of one run: what was asked of which photos (`run.json`, `queries.csv`) and what came (`outcomes.jsonl`).

All that a report needs lies here, so that it can be made again without any service.
"""

import csv
import io
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from g3_geography import Coordinates
from g3_kit.errors import Conflict, Missing, Rejected

from g3_evaluation import journal
from g3_evaluation.asks import Ask, Superset
from g3_evaluation.outcomes import Outcome
from g3_evaluation.query_sets import Excluded, Query
from g3_evaluation.report_files import replace

_QUERY_COLUMNS = ("img_id", "latitude", "longitude", "author", "scene", "path")


@dataclass
class RunNote:
    """What a run is. `run` names it to the server: keys of jobs begin with it, so that runs never share jobs."""

    query_set: str
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    synthetic: bool = False
    lmm: str = ""
    """How the LMM is called in tables."""
    asks: list[str] = field(default_factory=list)
    samples: int = 5
    retrieved: int = 20
    exclude_author: bool = True
    exclude_near: float = 0.0
    """Cosine from which references are excluded as nearly identical; 0: none are."""
    excluded: list[Excluded] = field(default_factory=list)
    """Rows that state no truth."""
    refused: dict[str, str] = field(default_factory=dict)
    """Ways of asking that the server does not know, and its words."""

    @property
    def superset(self) -> Superset:
        """What was asked for once."""
        return Superset(self.samples, self.retrieved)

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> Self:
        """The note of `run.json`. Raises TypeError or KeyError for anything else."""
        known = {each.name: written[each.name] for each in fields(cls) if each.name in written}
        return cls(**known | {"excluded": [Excluded(**each) for each in written.get("excluded", [])]})


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def journal(self) -> Path:
        """The outcomes, a line each."""
        return self.path / "outcomes.jsonl"

    def note(self) -> RunNote | None:
        """What `run.json` says; None where there is none. Raises Rejected for a damaged one."""
        file = self.path / "run.json"
        try:
            return RunNote.from_json(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Rejected(f"{file} cannot be read: choose another folder with --out.", field="out") from None

    def claim(self, wanted: RunNote, queries: Sequence[Query]) -> RunNote:
        """Begins the run, or goes on with the one that is there. Raises Conflict for a run of another query set."""
        there = self.note()
        if there is not None and (self.path / "queries.csv").exists():
            truths = {query.id: query.coordinates for query in self.queries()}
            if any(truths.get(query.id, query.coordinates) != query.coordinates for query in queries) or not (
                truths.keys() & {query.id for query in queries}
            ):
                raise Conflict(
                    f"{self.path} holds a run over other photos, of {there.query_set}: choose another --out.",
                    field="out",
                )
            wanted.run = there.run
            wanted.asks = [ask for ask in Ask if ask in {*there.asks, *wanted.asks}]
        self.path.mkdir(parents=True, exist_ok=True)
        replace(self.path / "queries.csv", _table(queries))
        self.keep(wanted)
        return wanted

    def keep(self, note: RunNote) -> None:
        """Writes `run.json`, whole or not at all."""
        replace(self.path / "run.json", json.dumps(asdict(note), indent=1, ensure_ascii=False) + "\n")

    def queries(self) -> list[Query]:
        """The photos. Raises Missing where no run is."""
        try:
            with (self.path / "queries.csv").open(encoding="utf-8", newline="") as table:
                return [
                    Query(
                        row["img_id"],
                        Path(row["path"]),
                        Coordinates(float(row["latitude"]), float(row["longitude"])),
                        row["author"],
                        row["scene"],
                    )
                    for row in csv.DictReader(table)
                ]
        except FileNotFoundError:
            raise Missing(f"{self.path} holds no run: g3-eval run --out {self.path} makes one.", field="run") from None

    def outcomes(self) -> dict[tuple[str, str], Outcome]:
        """The last outcome of each way of asking and photo."""
        return {(outcome.ask, outcome.photo): outcome for outcome in journal.read(self.journal)}


def _table(queries: Sequence[Query]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(_QUERY_COLUMNS)
    for query in queries:
        where = query.coordinates
        writer.writerow(
            (query.id, repr(where.latitude), repr(where.longitude), query.author, query.scene, query.path.resolve())
        )
    return lines.getvalue()
