"""The sample of `farthest`: beside an approximate collection lies a FLAT one with some of its references.

A hash of the id decides (`kinds.rank`), so the sample is the same whatever the order of writing, and an id that is
replaced is replaced there too. It is written first: what is acknowledged lies in both.
"""

import threading
from typing import Any

from pymilvus import MilvusClient

from g3_retrieval.kinds import IndexKind, Plan, Sample, rank
from g3_retrieval.milvus_calls import translated
from g3_retrieval.milvus_catalogue import physical
from g3_retrieval.milvus_plans import MilvusPlans
from g3_retrieval.milvus_rows import MilvusRows
from g3_retrieval.milvus_schema import MilvusOptions, schema
from g3_retrieval.references import Version


def sampled(version: Version) -> str:
    """The physical name of the sample; no version has such a name."""
    return f"{physical(version)}__farthest"


class MilvusSamples:
    """Thread-safe; whoever writes to one version is one at a time (`MilvusIndex`)."""

    def __init__(self, client: MilvusClient, rows: MilvusRows, plans: MilvusPlans, options: MilvusOptions) -> None:
        """Ask `client`."""
        self._client = client
        self._rows = rows
        self._plans = plans
        self._options = options
        self._known: dict[str, Sample] = {}
        self._lock = threading.Lock()

    def make(self, version: Version) -> None:
        """An empty sample; one that is there stays."""
        name, deadline_s = sampled(version), self._options.write_deadline_s
        if not self._client.has_collection(name, timeout=self._options.deadline_s):
            fields = schema(3 * version.dimension, ranked=True)
            self._client.create_collection(name, schema=fields, consistency_level="Strong", timeout=deadline_s)
        self._plans.index(name, Plan(IndexKind.FLAT))
        self._client.load_collection(name, timeout=deadline_s)

    def upsert(self, version: Version, plan: Plan, rows: list[dict[str, Any]]) -> None:
        """Those of `rows` that belong to it."""
        ranked = ({**row, "rank": rank(row["id"])} for row in rows)
        if mine := [row for row in ranked if row["rank"] < plan.sampled_below]:
            self._rows.upsert(sampled(version), mine)
            self._forget(version)

    def flush(self, version: Version) -> None:
        """See `MilvusRows.flush`."""
        self._rows.flush(sampled(version))

    def drop(self, version: Version) -> None:
        """Remove it, if it is there."""
        with translated(version.name):
            self._client.drop_collection(sampled(version), timeout=self._options.write_deadline_s)
        self._forget(version)

    def of(self, version: Version, plan: Plan) -> Sample:
        """The sample as it stood when last asked after or written to from here: a core takes its time to count.

        When far more references came than were expected, it is searched below a lower rank: half, a quarter, ….
        """
        with self._lock:
            known = self._known.get(sampled(version))
        return known or self.counted(version, plan)

    def counted(self, version: Version, plan: Plan) -> Sample:
        """The sample as it stands now."""
        name, below = sampled(version), plan.sampled_below
        while (size := self._rows.count(name, passing(below))) > 2 * self._options.sample_rows:
            below //= 2
        with self._lock:
            self._known[name] = Sample(below, size)
        return Sample(below, size)

    def _forget(self, version: Version) -> None:
        with self._lock:
            self._known.pop(sampled(version), None)


def passing(below: int) -> str:
    """What the rows of a sample pass."""
    return f"rank < {below}" if below < 2**63 else ""
