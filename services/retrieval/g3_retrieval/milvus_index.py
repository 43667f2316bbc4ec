"""`Index` on Milvus, in the subset that milvus-lite and a Milvus core share (no templates, no nullable fields)."""

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from g3_kit.errors import Conflict, Missing, Unavailable
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from g3_retrieval import milvus_kinds
from g3_retrieval.kinds import WISHED_USUALLY, IndexKind, Plan, Sample, Wish
from g3_retrieval.listing import Page
from g3_retrieval.milvus_calls import translated
from g3_retrieval.milvus_catalogue import MilvusCatalogue, physical
from g3_retrieval.milvus_edition import Edition
from g3_retrieval.milvus_expressions import expression, one_of
from g3_retrieval.milvus_plans import MilvusPlans
from g3_retrieval.milvus_rows import MilvusRows
from g3_retrieval.milvus_sample import MilvusSamples
from g3_retrieval.milvus_schema import FIELDS, MilvusOptions, columns, reference
from g3_retrieval.milvus_sealing import MilvusSealing
from g3_retrieval.milvus_search import MilvusSearch
from g3_retrieval.references import Collection, Filter, Found, FoundMany, ManySearch, ReferenceVectors, Search, Version

_HELD_AT_ONCE = 4_000
_SELDOM_PINGED = {"grpc.keepalive_time_ms": 330_000, "grpc.keepalive_permit_without_calls": 0}
"""pymilvus pings every ten seconds, idle or not, and milvus-lite wants no more than one ping in five minutes: it then
closes the connection ("too many pings"), in a long call or for the next that connects. Calls have deadlines anyway.
"""


class MilvusIndex:
    """See `Index`. Writes to one collection are serialised here: milvus-lite loses rows of concurrent writers."""

    def __init__(self, uri: str, token: str = "", options: MilvusOptions | None = None) -> None:
        """Connect to `uri`. Raises `Unavailable` when nobody answers there."""
        # It logs every failed call with its stack, also those that are answers here (no such alias).
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self._options = options or MilvusOptions()
        with translated():
            self._client = MilvusClient(
                uri=uri, token=token, timeout=self._options.deadline_s, grpc_options=dict(_SELDOM_PINGED)
            )
            self._edition = Edition(str(self._client.get_server_version(timeout=self._options.deadline_s)))
        self._plans = MilvusPlans(self._client, self._edition, self._options)
        self._rows = MilvusRows(self._client, self._edition, self._options, self._plans.load)
        self._samples = MilvusSamples(self._client, self._rows, self._plans, self._options)
        self._asked = MilvusSearch(self._rows, self._plans, self._samples)
        self._catalogue = MilvusCatalogue(self._client, self._options.deadline_s)
        self._writing: dict[str, threading.RLock] = {}
        self._locks = threading.Lock()
        self._naming = threading.RLock()
        self._sealed: set[str] = set()
        self._sealing = MilvusSealing(self._freshen) if self._edition.lite else None

    def create(self, collection: str, dimension: int, model: str, wish: Wish = WISHED_USUALLY) -> Collection:
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
                    self._make(wanted, wish)
                else:
                    kept = self._plans.of(wanted)
                    if wish.kind not in (IndexKind.AUTO, kept.kind):
                        raise Conflict(f"{collection!r} exists as {kept.kind}, not {wish.kind}", field="kind")
                    self._complete(wanted, kept)
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
            plan = self._plans.of(version)
            with self._lock_of(collection):
                self._sealed.discard(physical(version))
                self._samples.upsert(version, plan, rows)
                self._rows.upsert(physical(version), rows)
            if self._sealing is not None:
                self._sealing.written(version, len(rows))
        except Missing:
            self._forget(version)
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
                self._complete(versions[collection], self._plans.of(versions[collection]))
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
            self._samples.drop(version)
            self._forget(version)

    def search(self, search: Search) -> Found:
        """See `Index.search`."""
        return self._catalogue.with_version(search.collection, lambda version: self._asked.answer(search, version))

    def search_many(self, search: ManySearch) -> FoundMany:
        """See `Index.search_many`."""
        return self._catalogue.with_version(search.collection, lambda version: self._asked.answer_many(search, version))

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

    def sample(self, version: Version) -> Sample | None:
        """See `Index.sample`."""
        plan = self._plans.of(version)
        return self._samples.counted(version, plan) if plan.sampled_below else None

    def seal(self, collection: str) -> None:
        """See `Index.seal`."""
        self._seal(self._catalogue.version(collection))

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
        if self._sealing is not None:
            self._sealing.close()
        self._client.close()

    def _make(self, version: Version, wish: Wish) -> None:
        plan = milvus_kinds.plan(wish, 3 * version.dimension, self._edition, self._options.sample_rows)
        # What a drop left behind that was cut off.
        self._samples.drop(version)
        self._forget(version)
        self._plans.make(version, plan)
        if plan.sampled_below:
            self._samples.make(version)

    def _complete(self, version: Version, plan: Plan) -> None:
        self._plans.load(physical(version))
        if plan.sampled_below:
            self._samples.make(version)

    def _forget(self, version: Version) -> None:
        self._catalogue.forget(version.name)
        self._plans.forget(version)
        self._sealed.discard(physical(version))
        if self._sealing is not None:
            self._sealing.sealed(version)

    def _lock_of(self, collection: str) -> threading.RLock:
        with self._locks:
            return self._writing.setdefault(collection, threading.RLock())

    def _seal(self, version: Version) -> None:
        """Flush, only after writes or not knowing of any: it takes seconds, and servers limit how often they do it."""
        name, plan = physical(version), self._plans.of(version)
        with self._lock_of(version.name):
            if name in self._sealed:
                return
            self._rows.flush(name)
            if plan.sampled_below:
                self._samples.flush(version)
            self._plans.built(version, live=bool(self._catalogue.aliases(version)))
            self._sealed.add(name)
            if self._sealing is not None:
                self._sealing.sealed(version)

    def _freshen(self, version: Version) -> None:
        """Flush a version that is published; the index over it is built meanwhile."""
        if self._catalogue.aliases(version):
            with self._lock_of(version.name):
                self._rows.flush(physical(version))
                if self._plans.of(version).sampled_below:
                    self._samples.flush(version)

    def _described(self, version: Version) -> Collection:
        plan = self._plans.of(version)
        return Collection(
            version.name,
            version.dimension,
            version.model,
            self._rows.count(physical(version)),
            self._catalogue.aliases(version),
            f"milvus/{milvus_kinds.TYPES[plan.kind]}",
            plan,
            self.sample(version),
        )
