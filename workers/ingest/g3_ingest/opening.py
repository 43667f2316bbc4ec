"""From what a run names to its source, inside the folders that this worker may read."""

from collections.abc import Callable, Sequence
from pathlib import Path

from g3_kit.errors import Rejected

from g3_ingest import photo_source, vector_source, world_source
from g3_ingest.authors import Authors
from g3_ingest.offsets import fingerprint, kept
from g3_ingest.photo_source import PhotoSource, Places
from g3_ingest.rows import Source
from g3_ingest.table import Table
from g3_ingest.vector_source import VectorSource
from g3_ingest.world_source import WorldSource

Check = Callable[[], None]


class Sources:
    """Opens sources. Thread-safe."""

    def __init__(self, cache: Path, roots: Sequence[Path]) -> None:
        """Indexes are kept in `cache`; nothing outside of `roots` is read."""
        self._cache = cache
        self._roots = [root.resolve() for root in roots]

    def open(self, source: str, table: str, authors: str, check: Check = lambda: None) -> Source:
        """The source. Its index is made when this machine has none; `check` is called meanwhile, and may raise.

        Raises Rejected for what is none, or lies elsewhere.
        """
        if source.startswith(world_source.PREFIX):
            if table or authors:
                raise Rejected("a world plan knows its places and authors: give no table", field="table")
            return WorldSource(world_source.plan_of(source))
        place = self._inside(source, "source")
        listed = Table(self._inside(table, "table")) if table else None
        joined = Table(self._inside(authors, "authors")) if authors else None
        if place.suffix == ".npy":
            if listed is None:
                raise Rejected("ready-made vectors need a table with their ids and coordinates", field="table")
            return self._vectors(place, listed, joined, check)
        if not place.exists():
            raise Rejected(f"there is no file or folder {source}", field="source")
        return self._photos(Places.found(place), listed, joined, check)

    def _photos(self, places: Places, table: Table | None, authors: Table | None, check: Check) -> Source:
        if places.archives and table is None:
            raise Rejected("archives need a table with ids and coordinates", field="table")
        known = [*places.archives, *([table.path] if table else [])]
        more = () if places.archives else (str(places.folder), str(_youngest(places.folder)))
        name = fingerprint(known, "photos", *more)
        folder = kept(self._cache, name, lambda part: photo_source.index(places, table, part, check))
        return PhotoSource(places, table, folder, name, self._authors(authors, check))

    def _vectors(self, vectors: Path, table: Table, authors: Table | None, check: Check) -> Source:
        name = fingerprint([vectors, table.path], "vectors")
        folder = kept(self._cache, name, lambda part: vector_source.index(table, part, check))
        return VectorSource(vectors, table, folder, name, self._authors(authors, check))

    def _authors(self, table: Table | None, check: Check) -> Authors | None:
        if table is None:
            return None
        name = fingerprint([table.path], "authors")
        return Authors(table, kept(self._cache, name, lambda part: Authors.index(table, part, check)))

    def _inside(self, path: str, field: str) -> Path:
        asked = Path(path)
        if not asked.is_absolute():
            raise Rejected(f"{field} must be an absolute path on the worker's machine", field=field)
        real = asked.resolve()
        if not any(real == root or root in real.parents for root in self._roots):
            reason = f"{path} lies outside the folders that the ingest worker may read (G3_INGEST_ROOTS)"
            raise Rejected(reason, field=field)
        return real


def _youngest(folder: Path) -> int:
    """When a folder or one of those directly below it last got or lost a file."""
    below = [path.stat().st_mtime_ns for path in folder.iterdir() if path.is_dir()]
    return max([folder.stat().st_mtime_ns, *below])
