"""Rows of ingest runs as values."""

from collections.abc import Mapping
from typing import Any

from g3_orchestrator.model import Failure
from g3_orchestrator.runs import Ingest, IngestPlan, IngestSpec, Publication, Shard, Tally
from g3_orchestrator.states import JobState

Row = Mapping[Any, Any]
_PLANNED = ("rows", "shards", "collection", "model", "dimension", "source", "standing")


def plan_in(row: Row) -> IngestPlan | None:
    """The plan, or None while there is none."""
    if row["rows"] is None:
        return None
    return IngestPlan(**{name: row[name] for name in _PLANNED})


def tally_in(row: Row) -> Tally:
    """A tally."""
    return Tally(row["read"], row["written"], row["held"], row["rejected"], row["duplicates"], row["reasons"])


def publication_in(row: Row) -> Publication | None:
    """What the end found, or None before."""
    if row["counted"] is None:
        return None
    return Publication(
        row["counted"], row["recall_similar"], row["recall_dissimilar"], row["published"], row["previous"]
    )


def ingest_in(row: Row, total: Tally, shards: tuple[Shard, ...] = ()) -> Ingest:
    """A run from its row of jobs and ingests."""
    failure = None
    if row["failure_code"] is not None:
        failure = Failure(row["failure_code"], row["failure_message"])
    return Ingest(
        ingest_id=row["job_id"],
        tenant_id=row["tenant_id"],
        state=JobState(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        label=row["label"],
        spec=IngestSpec.from_json(row["spec"]),
        last_event=row["last_event"],
        plan=plan_in(row),
        total=total,
        shards=shards,
        publication=publication_in(row),
        failure=failure,
    )


def shards_in(plan: IngestPlan | None, stages: Mapping[int, Row], tallies: Mapping[int, Tally]) -> tuple[Shard, ...]:
    """Every shard of the plan, opened or not."""
    if plan is None:
        return ()
    shards = []
    for number in range(plan.shards):
        stage = stages.get(number)
        tally = tallies.get(number, Tally())
        if stage is None:
            shards.append(Shard(number, "waiting", plan.rows_of(number), tally))
        else:
            told = (stage["attempt"], stage["reason"])
            shards.append(Shard(number, stage["state"], plan.rows_of(number), tally, *told))
    return tuple(shards)
