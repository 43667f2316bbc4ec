"""`Index` on Milvus, in the subset that milvus-lite and a Milvus core share (no templates, no nullable fields)."""

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from g3_kit.errors import Conflict, Missing, NotYet, Unavailable
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from g3_retrieval.answers import answer, answers
from g3_retrieval.listing import Page
from g3_retrieval.milvus_calls import translated
from g3_retrieval.milvus_catalogue import MilvusCatalogue, physical
from g3_retrieval.milvus_expressions import expression, one_of
from g3_retrieval.milvus_rows import MilvusRows
from g3_retrieval.milvus_schema import (
    FIELDS,
    MilvusOptions,
    columns,
    index_params,
    match,
    reference,
    schema,
    search_params,
)
from g3_retrieval.ranking import Ranked
from g3_retrieval.references import (
    Collection,
    Dissimilar,
    Filter,
    Found,
    FoundMany,
    ManySearch,
    Match,
    ReferenceVectors,
    Search,
    Vectors,
    Version,
)

_HELD_AT_ONCE = 4_000


class MilvusIndex:
    """See `Index`. Writes to one collection are serialised here: milvus-lite loses rows of concurrent writers."""

    def __init__(self, uri: str, token: str = "", options: MilvusOptions | None = None) -> None:
        """Connect to `uri`. Raises `Unavailable` when nobody answers there."""
        # It logs every failed call with its stack, also those that are answers here (no such alias).
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self._options = options or MilvusOptions()
        with translated():
            self._client = MilvusClient(uri=uri, token=token, timeout=self._options.deadline_s)
        self._rows = MilvusRows(self._client, self._options)
        self._catalogue = MilvusCatalogue(self._client, self._options.deadline_s)
        self._writing: dict[str, threading.RLock] = {}
        self._locks = threading.Lock()
        self._naming = threading.RLock()
        self._index_types: dict[str, str] = {}
        self._sealed: set[str] = set()

    def create(self, collection: str, dimension: int, model: str) -> Collection:
        """See `Index.create`. A creation that was cut off half-way is completed by the repeat."""
        wanted = Version(collection, model, dimension)
        with self._naming:
            if self._catalogue.aliased(collection):
                raise Conflict(f"{collection!r} is an alias", field="collection")
            existing = self._catalogue.versions().get(collection)
            if existing not in (None, wanted):
                raise Conflict(f"{collection!r} exists with another model or dimension", field="collection")
            with translated(collection):
                if existing is None:
                    self._make(wanted)
                else:
                    self._rows.load(physical(wanted))
            self._catalogue.versions()
        return self.describe(collection)

    def version(self, collection: str) -> Version:
        """See `Index.version`."""
        return self._catalogue.version(collection)

    def resolved(self, name: str) -> Version:
        """See `Index.resolved`."""
        return self._catalogue.resolved(name)

    def upsert(self, collection: str, model: str, references: ReferenceVectors) -> int:
        """See `Index.upsert`."""
        version = self._catalogue.version(collection)
        version.check(model, references.dimension)
        written = references.last_of_each()
        vectors = written.stored()
        rows = [
            {"id": reference.id, "vector": vector, **columns(reference)}
            for reference, vector in zip(written.references, vectors, strict=True)
        ]
        try:
            with self._lock_of(collection):
                self._sealed.discard(physical(version))
                self._rows.upsert(physical(version), rows)
        except Missing:
            self._catalogue.forget(collection)
            raise
        return len(rows)

    def publish(self, collection: str, alias: str) -> str:
        """See `Index.publish`."""
        with self._naming:
            versions = self._catalogue.versions()
            if collection not in versions:
                raise Missing(f"there is no collection version {collection!r}", field="collection")
            if alias in versions:
                raise Conflict(f"{alias!r} is a collection version", field="alias")
            previous = self._catalogue.aliased(alias)
            name = physical(versions[collection])
            with translated(collection):
                # What is published must answer at once, also after a restart of Milvus has released it.
                self._rows.load(name)
                self._seal(versions[collection])
                point = self._client.alter_alias if previous else self._client.create_alias
                point(name, alias, timeout=self._options.deadline_s)
        return previous.name if previous else ""

    def drop(self, collection: str) -> None:
        """See `Index.drop`. Milvus 2.3 drops a collection under its aliases, so they are looked at first."""
        with self._naming, self._lock_of(collection):
            version = self._catalogue.versions().get(collection)
            if version is None:
                raise Missing(f"there is no collection version {collection!r}", field="collection")
            if aliases := self._catalogue.aliases(version):
                raise Conflict(f"{collection!r} is published as {', '.join(aliases)}", field="collection")
            with translated(collection):
                self._client.drop_collection(physical(version), timeout=self._options.write_deadline_s)
            self._catalogue.forget(collection)
            self._index_types.pop(physical(version), None)
            self._sealed.discard(physical(version))

    def search(self, search: Search) -> Found:
        """See `Index.search`."""
        return self._catalogue.with_version(search.collection, lambda version: self._search(search, version))

    def search_many(self, search: ManySearch) -> FoundMany:
        """See `Index.search_many`."""
        return self._catalogue.with_version(search.collection, lambda version: self._search_many(search, version))

    def describe(self, name: str) -> Collection:
        """See `Index.describe`."""
        return self._catalogue.with_version(name, self._described)

    def collections(self) -> Sequence[Collection]:
        """See `Index.collections`."""
        described = []
        for _, version in sorted(self._catalogue.versions().items()):
            # What was dropped since the names were read is left out.
            with suppress(Missing):
                described.append(self._described(version))
        return described

    def listed(self, version: Version, after: str, limit: int, wanted: Filter, with_vectors: bool) -> Page:
        """See `Index.listed`."""
        fields = ["id", *FIELDS, *(["vector"] if with_vectors else [])]
        rows = self._rows.first(physical(version), after, expression(wanted), fields, limit)
        listed = tuple(reference(row["id"], row) for row in rows)
        if not with_vectors:
            return Page(listed)
        vectors = np.array([row["vector"] for row in rows], np.float32)
        return Page(listed, vectors.reshape(len(rows), 3 * version.dimension))

    def held(self, name: str, ids: Sequence[str]) -> Sequence[str]:
        """See `Index.held`."""

        def ask(version: Version) -> Sequence[str]:
            found: set[str] = set()
            for start in range(0, len(ids), _HELD_AT_ONCE):
                wanted = one_of("id", ids[start : start + _HELD_AT_ONCE])
                found.update(row["id"] for row in self._rows.query(physical(version), wanted, ["id"]))
            if not found:
                self._rows.stands(physical(version))
            return [asked for asked in ids if asked in found]

        return self._catalogue.with_version(name, ask)

    def problem(self) -> str | None:
        """See `Index.problem`."""
        try:
            with translated():
                self._client.get_server_version(timeout=1.0)
        except (Unavailable, MilvusException):
            return "Milvus does not answer"
        return None

    def close(self) -> None:
        """See `Index.close`."""
        self._client.close()

    def _make(self, version: Version) -> None:
        name = physical(version)
        self._client.create_collection(
            name,
            schema=schema(version),
            index_params=index_params(self._options),
            consistency_level="Strong",
            timeout=self._options.write_deadline_s,
        )
        # For whoever looks at Milvus itself; the name stays the authority.
        self._client.alter_collection_properties(
            name, {"g3.model": version.model, "g3.dimension": str(version.dimension)}, timeout=self._options.deadline_s
        )

    def _lock_of(self, collection: str) -> threading.RLock:
        with self._locks:
            return self._writing.setdefault(collection, threading.RLock())

    def _seal(self, version: Version) -> None:
        """Flush, only after writes or not knowing of any: it takes seconds, and servers limit how often they do it."""
        name = physical(version)
        with self._lock_of(version.name):
            if name not in self._sealed:
                self._rows.flush(name)
                self._sealed.add(name)

    def _described(self, version: Version) -> Collection:
        count = self._rows.count(physical(version))
        aliases = self._catalogue.aliases(version)
        index = f"milvus/{self._index_type(version)}"
        return Collection(version.name, version.dimension, version.model, count, aliases, index)

    def _index_type(self, version: Version) -> str:
        name = physical(version)
        if name not in self._index_types:
            with translated(version.name):
                described = self._client.describe_index(name, "vector", timeout=self._options.deadline_s)
            self._index_types[name] = str((described or {}).get("index_type", "unknown"))
        return self._index_types[name]

    def _search(self, search: Search, version: Version) -> Found:
        version.check(search.model, search.vectors.dimension)
        if search.dissimilar_kind is Dissimilar.FARTHEST and self._index_type(version) != "FLAT":
            raise NotYet("farthest is an exact search: this collection's index is approximate", field="dissimilar_kind")
        similar, dissimilar = answer(search, lambda query: self._ranked(version, query, search.filter))
        return Found(similar, dissimilar, version.name, version.model)

    def _search_many(self, search: ManySearch, version: Version) -> FoundMany:
        for vectors in search.vectors:
            version.check(search.model, vectors.dimension)
        passing = expression(search.filter)

        def best(queries: Vectors, limit: int) -> Sequence[Sequence[Match]]:
            params = search_params(self._index_type(version), limit)
            found = self._rows.search_many(physical(version), list(queries), passing, limit, FIELDS, params)
            return [[match(hit) for hit in hits] for hits in found]

        similar = answers(search, best, lambda query: self._ranked(version, query, search.filter))
        return FoundMany(similar, version.name, version.model)

    def _ranked(self, version: Version, query: Vectors, wanted: Filter) -> Ranked:
        passing = expression(wanted)

        def ranked(limit: int) -> Sequence[Match]:
            params = search_params(self._index_type(version), limit)
            return [match(hit) for hit in self._rows.search(physical(version), query, passing, limit, FIELDS, params)]

        return ranked
