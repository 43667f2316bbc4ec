"""The figures that the poster and later papers print, to stand beside ours: `data/published.json`, with its sources."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

QUERY_SETS = {"im2gps3k": "IM2GPS3K", "yfcc4k": "YFCC4K"}
"""How the data file calls them, by how a command line does."""
_COUNTS = {2997: "im2gps3k", 4536: "yfcc4k"}


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One printed row. `table`: "overall", "ablation", "lmm", "representation", "granularity" or "newer".

    `within`: percentages of the query set's photos at 1, 25, 200, 750 and 2500 km. `source`: whose figures they are.
    """

    table: str
    method: str
    query_set: str
    within: tuple[float, ...]
    source: str


@cache
def _rows() -> tuple[PublishedRow, ...]:
    text = (files("g3_evaluation") / "data" / "published.json").read_text(encoding="utf-8")
    document = json.loads(text)
    sources = document["sources"]
    return tuple(
        PublishedRow(row["table"], row["method"], row["query_set"], tuple(row["within"]), sources[row["source"]])
        for row in document["rows"]
    )


def rows(query_set: str, *tables: str) -> list[PublishedRow]:
    """The rows of a query set ("im2gps3k" or "yfcc4k"; none for another) in the tables named, in the printed order."""
    name = QUERY_SETS.get(query_set, "")
    return [row for row in _rows() if row.query_set == name and row.table in tables]


def query_set_of(name: str, count: int = 0) -> str:
    """Which public query set a file or folder is of, by its name, else by its count; "" when neither tells."""
    lowered = name.lower()
    return next((key for key in QUERY_SETS if key in lowered), _COUNTS.get(count, ""))
