"""Who took each photo, from a table of its own: MP16-Pro's has no author column."""

from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
from g3_kit.errors import Rejected

from g3_ingest.offsets import key_of
from g3_ingest.sources import first_of
from g3_ingest.table import Table

_ID = ("img_id", "image_id", "id")


class Authors:
    """Authors by id, looked up in the file: memory does not grow with it but for the map of its index."""

    def __init__(self, table: Table, folder: Path) -> None:
        """`folder` holds what `index` wrote for this table."""
        self._table = table
        self._key = np.load(folder / "authors-key.npy", mmap_mode="r")
        self._at = np.load(folder / "authors-at.npy", mmap_mode="r")
        self._size = np.load(folder / "authors-size.npy", mmap_mode="r")

    def of(self, id_: str) -> str:
        """The author of a photo; "" when unknown."""
        key = np.uint64(key_of(id_))
        place = int(np.searchsorted(self._key, key))
        if place >= len(self._key) or self._key[place] != key:
            return ""
        with self._table.path.open("rb") as file:
            file.seek(int(self._at[place]))
            cells = self._table.cells(file.read(int(self._size[place])))
        return cells.get("author", "") if first_of(cells, _ID) == id_ else ""

    @staticmethod
    def index(table: Table, folder: Path, check: Callable[[], None]) -> None:
        """Writes where each id's row lies. Raises Rejected when the table lacks a column."""
        if "author" not in table.headings or not set(_ID) & set(table.headings):
            raise Rejected(f"{table.path.name} needs the columns img_id and author", field="authors")
        keys, at, size = array("Q"), array("Q"), array("Q")
        for offset, length, cells in table.scan(check):
            keys.append(key_of(first_of(cells, _ID)))
            at.append(offset)
            size.append(length)
        key = np.array(keys, np.uint64)
        order = np.argsort(key, kind="stable")
        np.save(folder / "authors-key.npy", key[order])
        np.save(folder / "authors-at.npy", np.array(at, np.uint64)[order])
        np.save(folder / "authors-size.npy", np.array(size, np.uint64)[order])
