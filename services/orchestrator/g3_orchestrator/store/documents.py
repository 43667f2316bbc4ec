"""JSON documents and rows as domain values, and back."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from g3_geography import Coordinates, Place

from g3_orchestrator.model import (
    NO_PHOTO,
    Candidate,
    Dropped,
    Failure,
    Job,
    Match,
    PhotoRef,
    Release,
    Result,
    Stage,
    StageTiming,
)
from g3_orchestrator.parameters import DEFAULT, Parameters
from g3_orchestrator.states import DropReason, JobKind, JobState, Origin, StageName, StageState

Row = Mapping[Any, Any]


def place_out(place: Place) -> dict[str, str]:
    """A place as JSON."""
    return {
        "city": place.city,
        "state": place.state,
        "country": place.country,
        "country_code": place.country_code,
    }


def match_out(match: Match) -> dict[str, Any]:
    """A match as JSON."""
    return {
        "id": match.reference_id,
        "latitude": match.coordinates.latitude,
        "longitude": match.coordinates.longitude,
        "place": place_out(match.place),
        "author": match.author,
        "similarity": match.similarity,
    }


def match_in(written: Row) -> Match:
    """The match that `match_out` wrote."""
    return Match(
        reference_id=written["id"],
        coordinates=Coordinates(written["latitude"], written["longitude"]),
        place=Place(**written["place"]),
        author=written["author"],
        similarity=written["similarity"],
    )


def candidate_out(candidate: Candidate) -> dict[str, Any]:
    """A candidate as JSON."""
    return {
        "latitude": candidate.coordinates.latitude,
        "longitude": candidate.coordinates.longitude,
        "origin": candidate.origin.value,
        "similarity": candidate.similarity,
        "rank": candidate.rank,
        "place": place_out(candidate.place),
        "prompt": candidate.prompt,
        "sample": candidate.sample,
        "reference_id": candidate.reference_id,
    }


def candidate_in(written: Row) -> Candidate:
    """The candidate that `candidate_out` wrote."""
    return Candidate(
        coordinates=Coordinates(written["latitude"], written["longitude"]),
        origin=Origin(written["origin"]),
        similarity=written["similarity"],
        rank=written["rank"],
        place=Place(**written["place"]),
        prompt=written["prompt"],
        sample=written["sample"],
        reference_id=written["reference_id"],
    )


def dropped_out(dropped: Dropped) -> dict[str, Any]:
    """A dropped answer as JSON."""
    return {"prompt": dropped.prompt, "sample": dropped.sample, "reason": dropped.reason.value}


def dropped_in(written: Row) -> Dropped:
    """The dropped answer that `dropped_out` wrote."""
    return Dropped(written["prompt"], written["sample"], DropReason(written["reason"]))


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
        result=_result_in(row, release),
        failure=failure,
        timings=tuple(_timing_in(timing) for timing in row.get("timings") or ()),
        kind=kind,
    )


def _result_in(row: Row, release: Release | None) -> Result | None:
    if release is None or row.get("candidates") is None:
        return None
    return Result(
        coordinates=Coordinates(row["latitude"], row["longitude"]),
        place=Place(**row["place"]),
        similarity=row["similarity"],
        candidates=tuple(candidate_in(candidate) for candidate in row["candidates"]),
        references=tuple(match_in(match) for match in row["similar_matches"]),
        dropped=tuple(dropped_in(dropped) for dropped in row["dropped"]),
        release=release,
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
