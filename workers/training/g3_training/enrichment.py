"""Names of places for any table of ids and coordinates: MP16-Pro's columns, by offline reverse geocoding.

The paper's second contribution, for one's own photos. Source of the names: GeoNames, through `g3_geography`.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from g3_geography import Gazetteer
from g3_kit.errors import Conflict, Rejected

from g3_training.table import ID, LATITUDE, LONGITUDE, PlaceNames, located, rows_of
from g3_training.writing import write_json

# MP16-Pro's headings, and the text that the alignment learns from; the gazetteer knows neither neighbourhood, county,
# region nor continent, and these stay empty as many do there.
COLUMNS = ("IMG_ID", "LAT", "LON", "neighbourhood", "city", "county", "state", "region", "country", "continent", "text")
_REJECT_COLUMNS = ("row", "IMG_ID", "reason")
_BATCH = 4096

_Row = tuple[int, dict[str, str]]
_Located = tuple[int, str, float, float]
_Faulty = tuple[int, str, str]


@dataclass
class Enriched:
    """Where a table stands: `rows` read, `written` and `rejected` of them; the bytes of both files that are whole."""

    rows: int = 0
    written: int = 0
    rejected: int = 0
    out_bytes: int = 0
    rejects_bytes: int = 0
    finished: bool = False


def enrich(
    source: Path,
    out: Path,
    rejects: Path,
    *,
    farthest_km: float = 100.0,
    progress: Callable[[int], None] = lambda done: None,
) -> Enriched:
    """Writes names for each usable row of `source` to `out`, and the other rows with a reason to `rejects`.

    It streams: memory grows with the ids alone, which must not repeat. What is whole is noted beside `out` after every
    batch, and a run that was stopped goes on there. A photo farther than `farthest_km` from every place of the
    gazetteer is rejected: it is at none. Raises Missing and Rejected as `rows_of` does, Conflict when `out` is there
    and not from this command.
    """
    note = out.with_name(f"{out.name}.progress.json")
    state = _begun(note, source, out)
    if state.finished:
        return state
    wanted = {"id": ID, "latitude": LATITUDE, "longitude": LONGITUDE}
    rows, seen = rows_of(source, wanted), set[str]()
    done = state.rows
    with (
        _behind(out, state.out_bytes, COLUMNS) as names,
        _behind(rejects, state.rejects_bytes, _REJECT_COLUMNS) as reasons,
    ):
        while batch := list(islice(rows, _BATCH)):
            usable, faulty = _judged(batch, seen)
            if batch[-1][0] > done:  # else only the ids count, so that one that repeats is found
                _write(usable, faulty, farthest_km, names, reasons, state)
                state.rows = batch[-1][0]
                state.out_bytes, state.rejects_bytes = _flushed(names), _flushed(reasons)
                _keep(note, source, state)
            progress(len(batch))
    state.finished = True
    _keep(note, source, state)
    return state


def _judged(
    batch: list[_Row], seen: set[str]
) -> tuple[list[tuple[int, str, float, float]], list[tuple[int, str, str]]]:
    usable, faulty = [], []
    for number, row in batch:
        try:
            id_, latitude, longitude = located(row)
            if id_ in seen:
                raise Rejected("the id came before")
        except Rejected as error:
            faulty.append((number, row["id"], error.message))
            continue
        seen.add(id_)
        usable.append((number, id_, latitude, longitude))
    return usable, faulty


def _write(
    usable: list[_Located],
    faulty: list[_Faulty],
    farthest_km: float,
    names: TextIO,
    reasons: TextIO,
    state: Enriched,
) -> None:
    places, far = Gazetteer().cities().places, list(faulty)
    good = csv.writer(names)
    if usable:
        near, distances_km = Gazetteer().rows_near([row[2] for row in usable], [row[3] for row in usable])
        for (number, id_, latitude, longitude), at, distance_km in zip(
            usable, near.tolist(), distances_km.tolist(), strict=True
        ):
            if distance_km > farthest_km:
                far.append((number, id_, f"no place within {farthest_km:g} km"))
                continue
            place = places[at]
            text = PlaceNames("", place.city, place.state, place.country).text()
            good.writerow((id_, latitude, longitude, "", place.city, "", place.state, "", place.country, "", text))
            state.written += 1
    csv.writer(reasons).writerows(sorted(far))
    state.rejected += len(far)


def _begun(note: Path, source: Path, out: Path) -> Enriched:
    if not note.exists():
        if out.exists():
            raise Conflict(f"{out.name} is there already: name another file.", field="out")
        return Enriched()
    kept = json.loads(note.read_text("utf-8"))
    if kept.pop("source") != _of(source):
        raise Conflict(f"{out.name} was begun from another table: name another file.", field="out")
    return Enriched(**kept)


def _keep(note: Path, source: Path, state: Enriched) -> None:
    write_json(note, {"source": _of(source), **asdict(state)})


def _of(source: Path) -> list[object]:
    return [source.name, source.stat().st_size if source.exists() else 0]


@contextmanager
def _behind(path: Path, size: int, heading: tuple[str, ...]) -> Iterator[TextIO]:
    """The file, open behind its first `size` bytes; what a stopped run wrote beyond them is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        file.truncate(size)
        if size == 0:
            csv.writer(file).writerow(heading)
        yield file


def _flushed(file: TextIO) -> int:
    file.flush()
    os.fsync(file.fileno())
    return os.fstat(file.fileno()).st_size
