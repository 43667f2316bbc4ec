"""Files of predictions as they circulate, also broken ones.

`img_id,gt_lat,predicted_lat,gt_long,predicted_long,great_circle_distance`, then a blank line and a summary of two lines
that is no data; and plainer ones, with the truth in a table of its own.
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from g3_kit.errors import Rejected

from g3_evaluation.prediction_columns import ID, Columns, columns, truth_columns
from g3_evaluation.swapping import possible_only_swapped, require_possible

Place = tuple[float, float]
"""Latitude, longitude: degrees."""
_SUMMARY_LINES = 2
_MOST_BYTES = 1 << 30
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that is not as it should be. `failure`: it counts as a photo without an answer."""

    id: str
    what: str
    failure: bool


@dataclass
class Predictions:
    """A file of predictions by photo, in the order of the truths."""

    name: str
    truths: dict[str, Place] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    """What was predicted; a photo that is not there has no answer."""
    authors: dict[str, str] = field(default_factory=dict)
    stated_km: dict[str, float] = field(default_factory=dict)
    """The distances that the file itself states."""
    faults: list[Fault] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)
    """Lines after the last row that are no data."""
    swapped_truths: int = 0
    """Rows whose truth is a place only the other way round."""
    swapped_places: int = 0
    """The same of predictions."""


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: Mapping[str, str]


def read(file: Path, truth: Path | None = None) -> Predictions:
    """The predictions of a file, and the truths of the same file or of another one by id.

    Raises Rejected when a file cannot be read, lacks a column or states no truth.
    """
    headings, rows, summary = _table(file)
    found = columns(file.name, headings)
    read_ = Predictions(file.name, summary=summary)
    if truth is not None:
        _read_truths(truth, read_)
    elif not found.true[0]:
        raise Rejected(f"{file.name} states no truth: give a table of it with --truth.", field="truth")
    _read_rows(rows, found, read_, own_truth=truth is None)
    require_possible(f"the truth of {file.name}", read_.swapped_truths, len(read_.truths))
    require_possible(f"the prediction of {file.name}", read_.swapped_places, len(read_.truths))
    if not read_.truths:
        raise Rejected(f"{file.name} has no row with a truth to compare with.", field="predictions")
    missing = [id_ for id_ in read_.truths if id_ not in read_.places]
    told = {fault.id for fault in read_.faults if fault.failure}
    read_.faults += [Fault(shown(id_), "no prediction", True) for id_ in missing if shown(id_) not in told]
    return read_


def _read_truths(table: Path, into: Predictions) -> None:
    headings, rows, _ = _table(table)
    found = truth_columns(table.name, headings)
    for row in rows:
        id_, place = row.cells.get(found.id, ""), _place(row, found.true)
        into.swapped_truths += _only_swapped(row, found.true)
        if id_ in into.truths:
            into.faults.append(Fault(shown(id_), "the truth stands in an earlier row too", False))
        elif not id_ or isinstance(place, str):
            why = place if isinstance(place, str) else "no id"
            into.faults.append(Fault(_named(row, id_), f"the row states no truth ({why})", False))
        else:
            into.truths[id_] = place
            into.authors[id_] = row.cells.get("author", "")


def _read_rows(rows: Sequence[_Row], found: Columns, into: Predictions, *, own_truth: bool) -> None:
    seen: dict[str, Place | str] = {}
    for row in rows:
        id_ = row.cells.get(found.id, "")
        said = _place(row, found.said)
        if not id_:
            into.faults.append(Fault(_named(row, ""), "the row names no photo", False))
            continue
        if id_ in seen:
            _repeat(id_, said, seen, into)
            continue
        seen[id_] = said
        into.swapped_places += _only_swapped(row, found.said)
        if own_truth and not _own_truth(row, id_, found, into):
            continue
        if id_ not in into.truths:
            into.faults.append(Fault(shown(id_), "the table of truths has no such photo", False))
        elif isinstance(said, str):
            into.faults.append(Fault(shown(id_), f"prediction: {said}", True))
        else:
            into.places[id_] = said
            _keep_distance(row, id_, found, into)


def _repeat(id_: str, said: Place | str, seen: Mapping[str, Place | str], into: Predictions) -> None:
    """The same answer twice is one; two answers are none, for nobody says which is meant."""
    if said == seen[id_]:
        into.faults.append(Fault(shown(id_), "a repeated row, counted once", False))
        return
    into.places.pop(id_, None)
    into.faults.append(Fault(shown(id_), "a repeated row with another prediction", True))


def _own_truth(row: _Row, id_: str, found: Columns, into: Predictions) -> bool:
    truth = _place(row, found.true)
    into.swapped_truths += _only_swapped(row, found.true)
    if isinstance(truth, str):
        into.faults.append(Fault(shown(id_), f"the row states no truth ({truth})", False))
        return False
    into.truths[id_] = truth
    into.authors[id_] = row.cells.get("author", "")
    return True


def _keep_distance(row: _Row, id_: str, found: Columns, into: Predictions) -> None:
    stated = _number(row.cells.get(found.distance, ""))
    if stated is not None and math.isfinite(stated):
        into.stated_km[id_] = stated


def _place(row: _Row, names: tuple[str, str]) -> Place | str:
    """The place in two cells, or what is wrong with them."""
    texts = [row.cells.get(name, "") for name in names]
    if not all(texts):
        return "missing"
    north, east = (_number(text) for text in texts)
    if north is None or east is None:
        return "no number of degrees"
    if not (math.isfinite(north) and math.isfinite(east)):
        return "not a finite number"
    if abs(north) > 90:
        return f"latitude {north:g} is out of range"
    if abs(east) > 180:
        return f"longitude {east:g} is out of range"
    return north, east


def _only_swapped(row: _Row, names: tuple[str, str]) -> bool:
    north, east = (_number(row.cells.get(name, "")) for name in names)
    return north is not None and east is not None and possible_only_swapped(north, east)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _table(file: Path) -> tuple[list[str], list[_Row], list[str]]:
    """Lower-case headings, the rows of data, and the lines of a summary that follows them."""
    lines = _lines(file)
    if not lines:
        raise Rejected(f"{file.name} is empty.", field="predictions")
    reader = csv.reader(lines, delimiter=max(",;\t", key=lines[0].count), strict=True)
    try:
        parsed = [
            (number, cells)
            for number, cells in ((reader.line_num, cells) for cells in reader)
            if number == 1 or any(cell.strip() for cell in cells) or not cells
        ]
    except csv.Error as error:
        raise Rejected(f"{file.name} cannot be read as a CSV file ({error}).", field="predictions") from None
    headings = [name.strip().lower() for name in parsed[0][1]]
    rows: list[_Row | None] = [
        _Row(number, {name: cell.strip() for name, cell in zip(headings, cells, strict=False)}) if cells else None
        for number, cells in parsed[1:]
    ]
    data, after = _divided(rows, _reader_of_ids(headings), len(headings))
    return headings, data, [lines[row.line - 1].strip() for row in after]


def _reader_of_ids(headings: Sequence[str]) -> Callable[[_Row], str]:
    column = next((name for name in ID if name in headings), "")
    return lambda row: row.cells.get(column, "")


def _divided(rows: Sequence[_Row | None], id_of: Callable[[_Row], str], width: int) -> tuple[list[_Row], list[_Row]]:
    """The rows, and the one or two lines behind the last blank one when they are a summary and no data."""
    while rows and rows[-1] is None:
        rows = rows[:-1]
    data = [row for row in rows if row is not None]
    last_blank = max((number for number, row in enumerate(rows) if row is None), default=-1)
    tail = [row for row in rows[last_blank + 1 :] if row is not None]
    if last_blank < 0 or not 1 <= len(tail) <= _SUMMARY_LINES or len(tail) == len(data):
        return data, []
    body = data[: -len(tail)]
    suffix = PurePosixPath(id_of(body[0])).suffix
    alike = [len(row.cells) == width and PurePosixPath(id_of(row)).suffix == suffix != "" for row in tail]
    # Figures of a summary look like coordinates: only ids of the same kind of file make a row of it.
    return (data, []) if all(alike) else (body, tail)


def _lines(file: Path) -> list[str]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise Rejected(f"{file.name} is too large for a file of predictions.", field="predictions")
        return file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise Rejected(f"There is no file {file}.", field="predictions") from None
    except (OSError, UnicodeDecodeError):
        raise Rejected(f"{file.name} cannot be read as a CSV file in UTF-8.", field="predictions") from None


def _named(row: _Row, id_: str) -> str:
    return shown(id_) if id_ else f"line {row.line}"


def shown(text: str) -> str:
    """An id as it may be printed."""
    return (text if text.isprintable() else ascii(text))[:_SHOWN]
