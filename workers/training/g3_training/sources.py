"""Where photos come from: MP16-Pro as published, a folder, or the procedural world's arrays.

A source lists its usable photos in the order in which they are stored, so that reading them in the order of the table
is reading forwards.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Protocol

import g3_photo
import numpy as np
from g3_kit.errors import Missing, Rejected
from numpy.typing import NDArray
from PIL import Image

from g3_training.table import PhotoTable, Reject, read_table
from g3_training.tar_index import TarIndex

# Flickr answers for a photo that is gone with a picture of its own, always smaller than this
PLACEHOLDER_BYTES = 5120


class PhotoSource(Protocol):
    """Photos that can be read by the row of their table, from any thread."""

    table: PhotoTable

    def photo(self, row: int) -> Image.Image:
        """An RGB photo. Raises Rejected with the reason for one that is of no use."""
        ...

    def identity(self) -> dict[str, Any]:
        """What was read, for the cache's key: equal when the photos are."""
        ...


class TarSource:
    """MP16-Pro: a CSV and one or more tar archives of JPEGs, read where they are, without extracting."""

    def __init__(self, csv: Path, archives: list[Path], index_folder: Path | None = None) -> None:
        """Reads the table and the archives' headers; `index_folder` keeps the latter for the next time.

        An archive's member is known by its name with slashes and without: `ab/cd/x.jpg` of the table is
        `…/ab_cd_x.jpg` there. Raises Missing and Rejected as `read_table` and `TarIndex.of` do.
        """
        listed = read_table(csv)
        self._archives = archives
        indexes = [TarIndex.of(archive, index_folder) for archive in archives]
        self._files = [os.open(archive, os.O_RDONLY) for archive in archives]
        where: dict[str, tuple[int, int, int]] = {}
        for number, index in enumerate(indexes):
            for name, offset, size in zip(index.names, index.offsets.tolist(), index.sizes.tolist(), strict=True):
                where.setdefault(Path(name).name, (number, offset, size))
        found = [where.get(id_.replace("/", "_")) for id_ in listed.ids]
        listed.rejects.extend(
            Reject(id_, "no such file in the archives")
            for id_, place in zip(listed.ids, found, strict=True)
            if place is None
        )
        kept = [row for row, place in enumerate(found) if place is not None]
        places = np.array([found[row] for row in kept], dtype=np.int64).reshape(-1, 3)
        order = np.lexsort((places[:, 1], places[:, 0]))
        self.table = listed.chosen(np.array(kept, dtype=np.int64)[order])
        self._places = places[order]

    def __del__(self) -> None:
        for file in getattr(self, "_files", []):
            os.close(file)

    def photo(self, row: int) -> Image.Image:
        """See `PhotoSource`."""
        archive, offset, size = self._places[row].tolist()
        _require_photo(size)
        return g3_photo.read(os.pread(self._files[archive], size, offset))

    def identity(self) -> dict[str, Any]:
        """Names and sizes of the archives and what was taken of them."""
        archives = [[archive.name, archive.stat().st_size] for archive in self._archives]
        return {"kind": "tar", "archives": archives, **_rows(self.table)}


class FolderSource:
    """Photos below a folder, listed by a CSV. Ids are paths, with slashes or, as in the archives, underscores."""

    def __init__(self, folder: Path, csv: Path) -> None:
        """Raises Missing for no such folder or table, Rejected as `read_table` does."""
        if not folder.is_dir():
            raise Missing(f"There is no folder {folder.name}.", field="folder")
        listed = read_table(csv)
        self._folder = folder
        found = [self._path(id_) for id_ in listed.ids]
        listed.rejects.extend(
            Reject(id_, "no such file in the folder") for id_, path in zip(listed.ids, found, strict=True) if not path
        )
        kept = [row for row, path in enumerate(found) if path is not None]
        self.table = listed.chosen(np.array(kept, dtype=np.int64))
        self._paths = [path for path in found if path is not None]

    def photo(self, row: int) -> Image.Image:
        """See `PhotoSource`."""
        data = self._paths[row].read_bytes()
        _require_photo(len(data))
        return g3_photo.read(data)

    def identity(self) -> dict[str, Any]:
        """The rows taken."""
        return {"kind": "folder", **_rows(self.table)}

    def _path(self, id_: str) -> Path | None:
        # an id is data: it may not lead out of the folder
        if ".." in Path(id_).parts or Path(id_).is_absolute():
            return None
        stem = id_.replace("/", "_")
        folders = stem.split("_")
        nested = Path(*folders[:2]) / stem if len(folders) > 2 else Path(stem)
        names = (Path(id_), Path(stem), nested)
        return next((self._folder / name for name in names if (self._folder / name).is_file()), None)


class WorldSource:
    """The procedural world's arrays: folders of `pixels-*.npy` (uint8 [m, s, s, 3]), `table.csv`, `dataset.json`."""

    def __init__(self, folders: list[Path]) -> None:
        """Rows of the tables count through the arrays in the order of their names.

        Raises Missing for a folder without them, Rejected when table and arrays differ in length or in shape.
        """
        tables, self._arrays, self._stated = [], list[NDArray[np.uint8]](), []
        for folder in folders:
            names = sorted(folder.glob("pixels-*.npy"))
            if not names:
                raise Missing(f"There are no pixels-*.npy in {folder.name}.", field="arrays")
            arrays = [np.load(name, mmap_mode="r") for name in names]
            table = read_table(folder / "table.csv")
            if table.rejects or len(table) != sum(map(len, arrays)):
                raise Rejected(f"{folder.name}: table.csv does not fit the arrays.", field="arrays")
            tables.append(table)
            self._arrays += arrays
            self._stated.append(json.loads((folder / "dataset.json").read_text("utf-8")))
        if len({array.shape[1:] for array in self._arrays}) != 1:
            raise Rejected("The arrays are of different sizes.", field="arrays")
        self.size = int(self._arrays[0].shape[1])
        self._starts = np.cumsum([0, *map(len, self._arrays)])
        self.table = joined(tables)

    def photo(self, row: int) -> Image.Image:
        """See `PhotoSource`."""
        return Image.fromarray(self.block(np.array([row]))[0])

    def block(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [m, size, size, 3]: many at once, much faster than one by one."""
        pixels = np.empty((len(rows), self.size, self.size, 3), dtype=np.uint8)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        for shard in np.unique(shards):
            chosen = shards == shard
            pixels[chosen] = self._arrays[shard][rows[chosen] - self._starts[shard]]
        return pixels

    def identity(self) -> dict[str, Any]:
        """What the arrays say that they hold."""
        return {"kind": "world", "stated": self._stated, **_rows(self.table)}


def joined(tables: list[PhotoTable]) -> PhotoTable:
    """Several tables as one; equal places meet."""
    number = {names: index for index, names in enumerate(dict.fromkeys(n for table in tables for n in table.places))}
    renumbered = [np.array([number[names] for names in table.places], dtype=np.int64) for table in tables]
    return PhotoTable(
        [id_ for table in tables for id_ in table.ids],
        np.concatenate([table.coordinates for table in tables]),
        np.concatenate([places[table.place] for places, table in zip(renumbered, tables, strict=True)]),
        list(number),
        [reject for table in tables for reject in table.rejects],
    )


def _require_photo(size_bytes: int) -> None:
    if size_bytes <= PLACEHOLDER_BYTES:
        raise Rejected(f"a placeholder of {PLACEHOLDER_BYTES} bytes or less")


def _rows(table: PhotoTable) -> dict[str, Any]:
    digest = hashlib.sha256()
    for id_ in table.ids:
        digest.update(id_.encode() + b"\0")
    digest.update(np.ascontiguousarray(table.coordinates).tobytes())
    for place in table.places:
        digest.update("\0".join(place).encode() + b"\1")
    digest.update(table.place.tobytes())
    return {"rows": len(table), "rows_sha256": digest.hexdigest()}
