"""How each collection of a Milvus is indexed: kept in its properties, made and waited for here."""

import json
import threading
import time
from contextlib import suppress
from typing import Any

from g3_kit import logs
from g3_kit.errors import Unavailable, Unmet
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from g3_retrieval.kinds import IndexKind, Plan
from g3_retrieval.milvus_calls import NO_INDEX, translated
from g3_retrieval.milvus_catalogue import physical
from g3_retrieval.milvus_edition import Edition
from g3_retrieval.milvus_kinds import TYPES, of_type
from g3_retrieval.milvus_schema import MilvusOptions, schema
from g3_retrieval.references import Version

_PROPERTY = "g3.index"
_REFUSED = "invalid index type"
"""What a core says of a type that it was compiled without; it has no code of its own for that."""
_LOOKS, _LOOK_EVERY_S = 3, 1.0
"""How often in a row a core must say that all is indexed: it joins small segments now and then, and starts anew."""
_log = logs.get("g3_retrieval.milvus")


class MilvusPlans:
    """Thread-safe. A plan never changes, so it is asked for once."""

    def __init__(self, client: MilvusClient, edition: Edition, options: MilvusOptions) -> None:
        """Ask `client`."""
        self._client = client
        self._edition = edition
        self._options = options
        self._known: dict[str, Plan] = {}
        self._lock = threading.Lock()

    def make(self, version: Version, plan: Plan) -> None:
        """A collection, its plan, its index, and loaded; a making that was cut off is completed.

        Raises `Unmet` when Milvus refuses the kind; nothing is left behind then.
        """
        name, deadline_s = physical(version), self._options.write_deadline_s
        if not self._client.has_collection(name, timeout=self._options.deadline_s):
            fields = schema(3 * version.dimension)
            self._client.create_collection(name, schema=fields, consistency_level="Strong", timeout=deadline_s)
        # Before the index: whoever completes this making builds what was planned.
        properties = {"g3.model": version.model, "g3.dimension": str(version.dimension)}
        properties[_PROPERTY] = json.dumps(plan.as_json())
        self._client.alter_collection_properties(name, properties, timeout=self._options.deadline_s)
        try:
            self.index(name, plan)
        except MilvusException as error:
            self._client.drop_collection(name, timeout=deadline_s)
            if _REFUSED in str(error.message):
                raise Unmet(f"{self._edition} cannot build {plan.kind} ({TYPES[plan.kind]})", field="kind") from error
            raise
        self._client.load_collection(name, timeout=deadline_s)

    def index(self, name: str, plan: Plan) -> None:
        """Have the vectors of a collection indexed, once: inner product, which on unit vectors is the cosine."""
        if self._has_index(name):
            return
        params = MilvusClient.prepare_index_params()
        params.add_index("vector", index_type=TYPES[plan.kind], metric_type="IP", params=dict(plan.build))
        self._client.create_index(name, params, timeout=self._options.write_deadline_s)

    def of(self, version: Version) -> Plan:
        """The plan of a version. Raises `Missing`."""
        name = physical(version)
        with self._lock:
            known = self._known.get(name)
        if known is None:
            with translated(version.name):
                known = self._read(name)
            with self._lock:
                self._known[name] = known
        return known

    def forget(self, version: Version) -> None:
        """Ask again: it was dropped, and may be made anew."""
        with self._lock:
            self._known.pop(physical(version), None)

    def load(self, name: str) -> None:
        """Have Milvus answer for a collection, with its index if a making was cut off before it had one."""
        deadline_s = self._options.write_deadline_s
        try:
            self._client.load_collection(name, timeout=deadline_s)
        except MilvusException as error:
            if error.code != NO_INDEX:
                raise
            self.index(name, self._read(name))
            self._client.load_collection(name, timeout=deadline_s)

    def built(self, version: Version, *, live: bool) -> None:
        """Wait until the index covers what was flushed. Raises `Unavailable` when that takes too long; call again.

        A search over what is not indexed yet is exact and slow: a recall measured then would say nothing. `live` when
        others search it now: a core is then left to take up its new index by itself.
        """
        plan, name = self.of(version), physical(version)
        if not plan.kind.approximate:
            return
        with translated(version.name):
            if not self._edition.lite:
                self._wait(version.name, name)
            if self._edition.lite or not live:
                # milvus-lite says at once that it has finished, but loading builds what is missing, or fails.
                # A core loads what is indexed with its index, and would swap it in at some later time.
                self._client.release_collection(name, timeout=self._options.write_deadline_s)
                self._client.load_collection(name, timeout=self._options.build_deadline_s)

    def _wait(self, said: str, name: str) -> None:
        ends, finished = time.monotonic() + self._options.build_deadline_s, 0
        while finished < _LOOKS:
            described = self._client.describe_index(name, "vector", timeout=self._options.deadline_s) or {}
            pending, state = int(described.get("pending_index_rows", 0)), str(described.get("state", "Finished"))
            if state == "Failed":
                raise Unmet(f"the index of {said!r} cannot be built: {described.get('index_state_fail_reason', '')}")
            finished = 0 if pending or state != "Finished" else finished + 1
            if pending:
                _log.info("index is being built", collection=said, pending_rows=pending)
                if time.monotonic() > ends:
                    raise Unavailable(f"the index of {said!r} is being built: {pending} rows left", retry_after_s=30.0)
            time.sleep(_LOOK_EVERY_S)

    def _read(self, name: str) -> Plan:
        described: dict[str, Any] = self._client.describe_collection(name, timeout=self._options.deadline_s)
        kept = dict(described.get("properties") or {}).get(_PROPERTY)
        if kept:
            with suppress(ValueError, KeyError, TypeError):
                return Plan.of_json(json.loads(str(kept)))
        if not self._has_index(name):
            # A sample of farthest, or what an older release left half made.
            return Plan(IndexKind.FLAT)
        index = self._client.describe_index(name, "vector", timeout=self._options.deadline_s) or {}
        return of_type(str(index.get("index_type", IndexKind.FLAT)))

    def _has_index(self, name: str) -> bool:
        return "vector" in self._client.list_indexes(name, timeout=self._options.deadline_s)
