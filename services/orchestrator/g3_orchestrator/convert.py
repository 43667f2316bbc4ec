"""Messages of `jobs.proto` from domain values, and the other way round."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from g3_geography import BoundingBox, Coordinates
from g3_kit.errors import Rejected
from g3_protos.geography.v1 import geography_pb2
from g3_protos.orchestrator.v1 import jobs_pb2
from g3_protos.retrieval.v1 import retrieval_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from g3_orchestrator import convert_results, jobs, model
from g3_orchestrator.fields import inside
from g3_orchestrator.parameters import AbstainBelow, Asked, Circle, Hints, Parameters
from g3_orchestrator.states import (
    Dissimilar,
    JobState,
    Origin,
    Profile,
    PromptOrder,
    Ranking,
    RetrievalVector,
    Strategy,
    View,
)

Word = TypeVar("Word", bound=StrEnum)

# Prefix of the members and the generated wrapper of each enum: `RANKING_MEAN` is Ranking("mean").
_WIRE: dict[type[StrEnum], tuple[str, Any]] = {
    Profile: ("PROFILE_", jobs_pb2.Profile),
    Strategy: ("STRATEGY_", jobs_pb2.Strategy),
    PromptOrder: ("PROMPT_ORDER_", jobs_pb2.PromptOrder),
    Ranking: ("RANKING_", jobs_pb2.Ranking),
    RetrievalVector: ("RETRIEVAL_VECTOR_", retrieval_pb2.RetrievalVector),
    Dissimilar: ("DISSIMILAR_", retrieval_pb2.Dissimilar),
    JobState: ("JOB_STATE_", jobs_pb2.JobState),
    Origin: ("ORIGIN_", jobs_pb2.Origin),
    View: ("JOB_VIEW_", jobs_pb2.JobView),
}


def word(kind: type[Word], number: int, field: str) -> Word | None:
    """The member that a number on the wire stands for; None for 0, which says nothing. Raises Rejected."""
    if number == 0:
        return None
    prefix, wire = _WIRE[kind]
    try:
        return kind(wire.Name(number).removeprefix(prefix).lower())
    except ValueError:
        raise Rejected(f"{field} has no value {number}", field=field) from None


def number(value: StrEnum) -> Any:
    """The number on the wire of an enum member."""
    prefix, wire = _WIRE[type(value)]
    return wire.Value(prefix + value.value.upper())


def asked(sent: jobs_pb2.Parameters) -> Asked:
    """What a caller states. Raises Rejected for unknown enum numbers and impossible places."""
    return Asked(
        profile=word(Profile, sent.profile, "parameters.profile"),
        strategy=word(Strategy, sent.strategy, "parameters.strategy"),
        retrieval_vector=word(RetrievalVector, sent.retrieval_vector, "parameters.retrieval_vector"),
        references_per_prompt=(
            tuple(sent.references_per_prompt.counts) if sent.HasField("references_per_prompt") else None
        ),
        dissimilar=word(Dissimilar, sent.dissimilar, "parameters.dissimilar"),
        prompt_order=word(PromptOrder, sent.prompt_order, "parameters.prompt_order"),
        ranking=word(Ranking, sent.ranking, "parameters.ranking"),
        hints=_hints(sent.hints) if sent.HasField("hints") else None,
        excluded_references=tuple(sent.excluded_references),
        excluded_authors=tuple(sent.excluded_authors),
        samples_per_prompt=sent.samples_per_prompt if sent.HasField("samples_per_prompt") else None,
        retrieved_candidates=sent.retrieved_candidates if sent.HasField("retrieved_candidates") else None,
        temperature=sent.temperature if sent.HasField("temperature") else None,
        gallery=sent.gallery if sent.HasField("gallery") else None,
        top_k=sent.top_k if sent.HasField("top_k") else None,
        abstain_below=_abstain_below(sent.abstain_below) if sent.HasField("abstain_below") else None,
    )


def _abstain_below(sent: jobs_pb2.AbstainBelow) -> AbstainBelow:
    with inside("parameters"):
        return AbstainBelow(sent.probability, sent.within_km)


def _hints(sent: jobs_pb2.Hints) -> Hints:
    box, disc = sent.bounding_box, sent.circle
    bounding_box, circle = None, None
    if sent.HasField("bounding_box"):
        with inside("parameters.hints.bounding_box"):
            bounding_box = BoundingBox(box.south, box.west, box.north, box.east)
    if sent.HasField("circle"):
        with inside("parameters.hints.circle.center"):
            center = Coordinates(disc.center.latitude, disc.center.longitude)
        with inside("parameters"):
            circle = Circle(center, disc.radius_km)
    return Hints(tuple(sent.country_codes), bounding_box, circle)


def job(value: model.Job) -> jobs_pb2.Job:
    """The message of a job."""
    return jobs_pb2.Job(
        job_id=str(value.job_id),
        state=number(value.state),
        created_at=timestamp(value.created_at),
        updated_at=timestamp(value.updated_at),
        label=value.label,
        parameters=parameters(value.parameters),
        result=convert_results.result(value.result) if value.result else None,
        failure=jobs_pb2.Failure(code=value.failure.code, message=value.failure.message) if value.failure else None,
        timings=[
            jobs_pb2.StageTiming(stage=t.stage, waited_s=t.waited_s, worked_s=t.worked_s, attempts=t.attempts)
            for t in value.timings
        ],
        degraded=value.degraded,
    )


def page(value: jobs.Page) -> jobs_pb2.ListJobsResponse:
    """The message of a page."""
    return jobs_pb2.ListJobsResponse(jobs=[job(each) for each in value.jobs], next_page_token=value.next_cursor)


def event(value: jobs.JobEvent) -> jobs_pb2.JobEvent:
    """The message of an event."""
    return jobs_pb2.JobEvent(event_id=value.event_id, job=job(value.job))


def parameters(value: Parameters) -> jobs_pb2.Parameters:
    return jobs_pb2.Parameters(
        profile=number(value.profile),
        strategy=number(value.strategy),
        retrieval_vector=number(value.retrieval_vector),
        references_per_prompt=jobs_pb2.ReferenceCounts(counts=value.references_per_prompt),
        samples_per_prompt=value.samples_per_prompt,
        retrieved_candidates=value.retrieved_candidates,
        dissimilar=number(value.dissimilar),
        temperature=value.temperature,
        prompt_order=number(value.prompt_order),
        gallery=value.gallery,
        ranking=number(value.ranking),
        top_k=value.top_k,
        hints=_hints_message(value.hints) if value.hints else None,
        excluded_references=value.excluded_references,
        excluded_authors=value.excluded_authors,
        abstain_below=jobs_pb2.AbstainBelow(
            probability=value.abstain_below.probability, within_km=value.abstain_below.within_km
        )
        if value.abstain_below
        else None,
    )


def _hints_message(value: Hints) -> jobs_pb2.Hints:
    box, circle = value.bounding_box, value.circle
    return jobs_pb2.Hints(
        country_codes=value.country_codes,
        bounding_box=geography_pb2.BoundingBox(south=box.south, west=box.west, north=box.north, east=box.east)
        if box
        else None,
        circle=geography_pb2.Circle(center=convert_results.coordinates(circle.center), radius_km=circle.radius_km)
        if circle
        else None,
    )


def timestamp(value: datetime) -> Timestamp:
    """The message of a moment."""
    stamp = Timestamp()
    stamp.FromDatetime(value)
    return stamp


def authorization(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """The metadata entry that carries the API key."""
    for name, value in metadata:
        if name == "authorization":
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return None
