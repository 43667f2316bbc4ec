"""JSON documents and rows as domain values, and back."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from g3_orchestrator.model import NO_PHOTO, Failure, Job, PhotoRef, Release, Stage, StageTiming
from g3_orchestrator.parameters import DEFAULT, Parameters
from g3_orchestrator.states import JobKind, JobState, StageName, StageState
from g3_orchestrator.store.result_documents import result_in

Row = Mapping[Any, Any]


def job_in(row: Row) -> Job:
    """A job from its row. Columns of the result and `timings` are read when the row has them."""
    release = None
    if row["release_model"] is not None:
        release = Release(row["release_model"], row["release_gps"], row["release_collection"])
    failure = None
    if row["failure_code"] is not None:
        failure = Failure(row["failure_code"], row["failure_message"])
    parameters, photo = DEFAULT, NO_PHOTO
    if (kind := JobKind(row["kind"])) is JobKind.LOCATE:
        parameters = Parameters.from_json(row["parameters"])
        photo = PhotoRef(row["photo_sha256"], row["photo_width"], row["photo_height"], row["photo_bytes"])
    return Job(
        job_id=row["job_id"],
        tenant_id=row["tenant_id"],
        state=JobState(row["state"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        label=row["label"],
        parameters=parameters,
        photo=photo,
        last_event=row["last_event"],
        degraded=tuple(row["degraded"]),
        release=release,
        result=result_in(row, release),
        failure=failure,
        timings=tuple(_timing_in(timing) for timing in row.get("timings") or ()),
        kind=kind,
    )


def _timing_in(written: Row) -> StageTiming:
    return StageTiming(
        StageName(written["stage"]), float(written["waited_s"]), float(written["worked_s"]), written["attempts"]
    )


def stage_in(row: Row) -> Stage:
    """A stage from columns prefixed with `stage_`."""
    return Stage(
        job_id=row["job_id"],
        tenant_id=row["tenant_id"],
        name=StageName(row["stage_name"]),
        state=StageState(row["stage_state"]),
        attempt=row["stage_attempt"],
        first_due_at=row["stage_first_due_at"],
        budget_until=row["stage_budget_until"],
        claim_id=row["stage_claim_id"],
        lease_until=row["stage_lease_until"],
        reason=row["stage_reason"],
        shard=row["stage_shard"],
        progressed=row["stage_progressed"],
    )


def seconds(value: float) -> timedelta:
    """An interval as the driver takes it."""
    return timedelta(seconds=value)
