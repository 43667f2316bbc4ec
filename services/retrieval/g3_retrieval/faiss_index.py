"""`Index` on FAISS: exact inner products in one process, on a CPU or a GPU, kept in a folder that survives a kill."""

import fcntl
import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import faiss
from g3_kit.errors import Conflict, Missing, Rejected, Unavailable

from g3_retrieval import faiss_approximate
from g3_retrieval.faiss_collection import FaissCollection
from g3_retrieval.faiss_segments import sync_folder, write_whole
from g3_retrieval.kinds import WISHED_USUALLY, IndexKind, Plan, Sample, Wish
from g3_retrieval.listing import Page
from g3_retrieval.references import Collection, Filter, Found, FoundMany, ManySearch, ReferenceVectors, Search, Version

Answer = TypeVar("Answer")


class FaissIndex:
    """See `Index`. The folder belongs to one process at a time, by a lock.

    ::

        folder/lock, aliases.json, <version>/version.json, <version>/segment-000000000001.npz, …
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        """Load what `folder` holds. Raises `Conflict` when another process has it, `Rejected` on an unknown device."""
        self._device = _gpu(device)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._owned = (folder / "lock").open("w")
        try:
            fcntl.flock(self._owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._owned.close()
            raise Conflict("another process has this index folder open") from error
        self._lock = threading.RLock()
        self._aliases: dict[str, str] = self._read_aliases()
        self._collections: dict[str, FaissCollection] = {}
        for stated in sorted(folder.glob("*/version.json")):
            told = json.loads(stated.read_bytes())
            plan = Plan.of_json(told.pop("index")) if "index" in told else Plan(IndexKind.FLAT)
            there = FaissCollection(Version(**told), plan, stated.parent, self._device)
            self._collections[there.version.name] = there
            if self._aliases_of(there.version.name):
                # Approximate indexes are not kept on disk.
                there.seal()

    def create(self, collection: str, dimension: int, model: str, wish: Wish = WISHED_USUALLY) -> Collection:
        """See `Index.create`."""
        wanted = Version(collection, model, dimension)
        with self._lock:
            if collection in self._aliases:
                raise Conflict(f"{collection!r} is an alias", field="collection")
            existing = self._collections.get(collection)
            if existing is None:
                self._collections[collection] = self._make(wanted, faiss_approximate.plan(wish, 3 * dimension))
            elif existing.version != wanted:
                raise Conflict(f"{collection!r} exists with another model or dimension", field="collection")
            elif wish.kind not in (IndexKind.AUTO, existing.plan.kind):
                raise Conflict(f"{collection!r} exists as {existing.plan.kind}, not {wish.kind}", field="kind")
        return self.describe(collection)

    def version(self, collection: str) -> Version:
        """See `Index.version`."""
        return self._collection(collection).version

    def resolved(self, name: str) -> Version:
        """See `Index.resolved`."""
        return self._resolved(name).version

    def upsert(self, collection: str, model: str, references: ReferenceVectors) -> int:
        """See `Index.upsert`."""
        there = self._collection(collection)
        there.version.check(model, references.dimension)
        return there.upsert(references.last_of_each())

    def publish(self, collection: str, alias: str) -> str:
        """See `Index.publish`."""
        self.seal(collection)
        with self._lock:
            self._collection(collection)
            if alias in self._collections:
                raise Conflict(f"{alias!r} is a collection version", field="alias")
            previous = self._aliases.get(alias, "")
            aliases = {**self._aliases, alias: collection}
            write_whole(self._folder / "aliases.json", json.dumps(aliases).encode())
            self._aliases = aliases
        return previous

    def seal(self, collection: str) -> None:
        """See `Index.seal`."""
        self._collection(collection).seal()

    def sample(self, version: Version) -> Sample | None:
        """See `Index.sample`: farthest looks at every row."""
        self._collection(version.name)
        return None

    def drop(self, collection: str) -> None:
        """See `Index.drop`."""
        with self._lock:
            there = self._collection(collection)
            if aliases := self._aliases_of(collection):
                raise Conflict(f"{collection!r} is published as {', '.join(aliases)}", field="collection")
            with there.lock:
                there.dropped = True
                # Without its statement the version is gone, whatever of it a kill leaves behind.
                (self._folder / collection / "version.json").unlink()
                sync_folder(self._folder / collection)
                del self._collections[collection]
            shutil.rmtree(self._folder / collection)

    def search(self, search: Search) -> Found:
        """See `Index.search`."""

        def ask(there: FaissCollection) -> Found:
            there.version.check(search.model, search.vectors.dimension)
            return Found(*there.search(search), there.version.name, there.version.model)

        return self._with_collection(search.collection, ask)

    def search_many(self, search: ManySearch) -> FoundMany:
        """See `Index.search_many`."""

        def ask(there: FaissCollection) -> FoundMany:
            for vectors in search.vectors:
                there.version.check(search.model, vectors.dimension)
            return FoundMany(there.search_many(search), there.version.name, there.version.model)

        return self._with_collection(search.collection, ask)

    def describe(self, name: str) -> Collection:
        """See `Index.describe`."""
        with self._lock:
            return self._described(self._resolved(name))

    def collections(self) -> Sequence[Collection]:
        """See `Index.collections`."""
        with self._lock:
            return [self._described(self._collections[name]) for name in sorted(self._collections)]

    def listed(self, version: Version, after: str, limit: int, wanted: Filter, with_vectors: bool) -> Page:
        """See `Index.listed`."""
        return self._collection(version.name).listed(after, limit, wanted, with_vectors)

    def held(self, name: str, ids: Sequence[str]) -> Sequence[str]:
        """See `Index.held`."""
        return self._with_collection(name, lambda there: there.held(ids))

    def problem(self) -> str | None:
        """See `Index.problem`."""
        return None if os.access(self._folder, os.W_OK) else "the index folder cannot be written"

    def close(self) -> None:
        """See `Index.close`."""
        self._owned.close()

    def _with_collection(self, name: str, do: Callable[[FaissCollection], Answer]) -> Answer:
        there = self._resolved(name)
        try:
            return do(there)
        except Missing:
            # Dropped between being resolved and being used: the alias names another one by now.
            again = self._resolved(name)
            if again is there:
                raise
            return do(again)

    def _collection(self, name: str) -> FaissCollection:
        with self._lock:
            if name not in self._collections:
                raise Missing(f"there is no collection version {name!r}", field="collection")
            return self._collections[name]

    def _resolved(self, name: str) -> FaissCollection:
        with self._lock:
            there = self._collections.get(self._aliases.get(name, name))
        if there is None:
            raise Missing(f"there is no collection or alias {name!r}", field="collection")
        return there

    def _described(self, there: FaissCollection) -> Collection:
        version = there.version
        index = f"faiss/{there.plan.kind.lower()}" + ("" if self._device is None else "-gpu")
        aliases = self._aliases_of(version.name)
        return Collection(version.name, version.dimension, version.model, len(there), aliases, index, there.plan)

    def _aliases_of(self, collection: str) -> tuple[str, ...]:
        return tuple(sorted(alias for alias, named in self._aliases.items() if named == collection))

    def _read_aliases(self) -> dict[str, str]:
        path = self._folder / "aliases.json"
        return dict(json.loads(path.read_bytes())) if path.exists() else {}

    def _make(self, version: Version, plan: Plan) -> FaissCollection:
        folder = self._folder / version.name
        if folder.exists():
            # Left behind by a drop that was cut off.
            shutil.rmtree(folder)
        try:
            folder.mkdir()
        except OSError as error:
            raise Unavailable("the index cannot write to its folder") from error
        sync_folder(self._folder)
        stated = {"name": version.name, "model": version.model, "dimension": version.dimension}
        stated = {**stated, "index": plan.as_json()}
        write_whole(folder / "version.json", json.dumps(stated).encode())
        return FaissCollection(version, plan, folder, self._device)


def _gpu(device: str) -> int | None:
    """The number of the GPU that `device` (auto, cpu, cuda, cuda:N) means; None for the CPU."""
    # The CPU build of FAISS does not know how many GPUs there are.
    there = faiss.get_num_gpus() if hasattr(faiss, "StandardGpuResources") else 0
    if device == "cpu" or (device == "auto" and not there):
        return None
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda") or not (number or "0").isdigit():
        raise Rejected(f"the device is auto, cpu or cuda:N, not {device!r}", field="device")
    if int(number or 0) >= there:
        raise Rejected(f"FAISS sees {there} GPUs, so there is no {device}", field="device")
    return int(number or 0)
