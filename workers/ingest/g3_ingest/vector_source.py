"""Ready-made vectors: a `.npy` array beside a table with one row for each, in the same order."""

import json
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from g3_kit.errors import Rejected

from g3_ingest.authors import Authors
from g3_ingest.embedder import PhotoVectors
from g3_ingest.offsets import ROW, Flaw, flag_repeated, key_of
from g3_ingest.references import MAX_ID_BYTES
from g3_ingest.rows import ReadyMade, Row
from g3_ingest.sources import ID, coordinates_in, first_of, judge_headings, place_in
from g3_ingest.table import Table

_UNIT = 1e-3


class VectorSource:
    """See `Source`. The array is float32 [rows, 3, d] (clip, text_aligned, gps_aligned) and is mapped, not read.

    `NAME.json` beside it says of which model the vectors are: `{"model": "<fingerprint>"}`.
    """

    def __init__(
        self, vectors: Path, table: Table, folder: Path, fingerprint: str, authors: Authors | None = None
    ) -> None:
        """`folder` holds what `index` wrote. Raises Rejected when array, table and note do not fit each other."""
        self.fingerprint = fingerprint
        self._table = table
        self._authors = authors
        self._rows = np.load(folder / "rows.npy", mmap_mode="r")
        try:
            self._vectors = np.load(vectors, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            raise Rejected(f"{vectors.name} is no array of numpy", field="source") from None
        if self._vectors.dtype != np.float32 or self._vectors.ndim != 3 or self._vectors.shape[1] != 3:
            raise Rejected(f"{vectors.name} must be float32 [rows, 3, width]", field="source")
        if len(self._vectors) != len(self._rows):
            reason = f"{vectors.name} has {len(self._vectors)} rows and {table.path.name} has {len(self._rows)}"
            raise Rejected(reason, field="table")
        self.ready_made: ReadyMade | None = ReadyMade(_model_of(vectors), int(self._vectors.shape[2]))

    @property
    def rows(self) -> int:
        """See `Source.rows`."""
        return len(self._rows)

    def read(self, first: int, last: int) -> Iterator[Row]:
        """See `Source.read`."""
        with self._table.path.open("rb") as file:
            for number in range(first, last):
                row = self._rows[number]
                file.seek(int(row["at"]))
                yield self._row(number, file.read(int(row["size"])))

    def _row(self, number: int, written: bytes) -> Row:
        cells = self._table.cells(written)
        id_ = first_of(cells, ID)
        try:
            if not id_ or len(id_.encode(errors="surrogatepass")) > MAX_ID_BYTES or not id_.isprintable():
                raise Rejected(f"the id must have 1 to {MAX_ID_BYTES} bytes that can be shown")
            if self._rows[number]["flaw"] == Flaw.REPEATED:
                raise Rejected("the id stands in an earlier row too")
            author = cells.get("author", "") or (self._authors.of(id_) if self._authors else "")
            vectors = self._unit(number)
            return Row(number, id_, coordinates_in(cells), place_in(cells), author, vectors=vectors)
        except Rejected as error:
            return Row(number, id_ or f"row {number}", fault=error)

    def _unit(self, number: int) -> PhotoVectors:
        three = np.ascontiguousarray(self._vectors[number], "<f4")
        lengths = np.linalg.norm(three.astype(np.float64), axis=1)
        if not np.all(np.abs(lengths - 1) <= _UNIT):
            raise Rejected("its vectors are not of unit length")
        clip, text, gps = (vector.tobytes() for vector in three)
        return PhotoVectors(three.shape[1], clip, text, gps)


def index(table: Table, folder: Path, check: Callable[[], None]) -> None:
    """Writes where the table's rows lie. Raises Rejected."""
    judge_headings(table.path, table.headings)
    at, size, ids = array("Q"), array("I"), array("Q")
    for offset, length, cells in table.scan(check):
        at.append(offset)
        size.append(length)
        ids.append(key_of(first_of(cells, ID)))
    if not len(at):
        raise Rejected(f"{table.path.name} has no rows", field="table")
    rows = np.zeros(len(at), ROW)
    rows["at"], rows["size"] = np.array(at), np.array(size)
    flag_repeated(rows, np.array(ids, np.uint64))
    np.save(folder / "rows.npy", rows)


def _model_of(vectors: Path) -> str:
    note = vectors.with_suffix(".json")
    try:
        model = json.loads(note.read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError, TypeError):
        model = None
    if not isinstance(model, str) or not model:
        raise Rejected(f'{note.name} must say of which model the vectors are: {{"model": "…"}}', field="source")
    return model
