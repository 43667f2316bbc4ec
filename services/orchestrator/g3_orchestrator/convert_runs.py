"""Messages of `ingests.proto` from values of runs, and the other way round."""

from collections.abc import Iterable
from dataclasses import fields

from g3_kit.errors import Rejected
from g3_protos.orchestrator.v1 import ingests_pb2, jobs_pb2

from g3_orchestrator import convert, ingests
from g3_orchestrator.runs import (
    DEFAULT_AT_ONCE,
    Ingest,
    IngestPlan,
    IngestSpec,
    Publication,
    Reject,
    Shard,
    Tally,
)

MAX_ID_BYTES, MAX_CODE_BYTES, MAX_REASON_BYTES = 400, 100, 2_000


def spec(value: IngestSpec) -> ingests_pb2.IngestSpec:
    """The message of a spec."""
    return ingests_pb2.IngestSpec(**{item.name: getattr(value, item.name) for item in fields(value)})


def spec_of(sent: ingests_pb2.IngestSpec) -> IngestSpec:
    """What a caller asks for. Raises Rejected."""
    values = {item.name: getattr(sent, item.name) for item in fields(IngestSpec)}
    for name in ("least_recall_similar", "least_recall_dissimilar"):
        if not sent.HasField(name):
            values[name] = None
    values["alias"] = sent.alias or "references"
    values["at_once"] = sent.at_once or DEFAULT_AT_ONCE
    return IngestSpec(**values)


def plan(value: IngestPlan) -> ingests_pb2.IngestPlan:
    """The message of a plan."""
    return ingests_pb2.IngestPlan(**{item.name: getattr(value, item.name) for item in fields(value)})


def plan_of(sent: ingests_pb2.IngestPlan) -> IngestPlan:
    """What a worker planned. Raises Rejected."""
    if max(sent.rows, sent.standing) >= 2**63:
        raise Rejected("there are not that many rows", field="plan.rows")
    return IngestPlan(**{item.name: getattr(sent, item.name) for item in fields(IngestPlan)})


def tally(value: Tally) -> ingests_pb2.Tally:
    """The message of a tally."""
    return ingests_pb2.Tally(
        read=value.read,
        written=value.written,
        held=value.held,
        rejected=value.rejected,
        duplicates=value.duplicates,
        reasons=dict(value.reasons),
    )


def tally_of(sent: ingests_pb2.Tally) -> Tally:
    """How far a worker is. Raises Rejected when it does not add up."""
    return Tally(sent.read, sent.written, sent.held, sent.rejected, sent.duplicates, dict(sent.reasons))


def rejects_of(sent: Iterable[ingests_pb2.Reject]) -> list[Reject]:
    """Rejects, their texts cut to what is kept."""
    return [
        Reject(
            reject.row,
            _cut(reject.id, MAX_ID_BYTES),
            _cut(reject.code, MAX_CODE_BYTES),
            _cut(reject.reason, MAX_REASON_BYTES),
        )
        for reject in sent
    ]


def publication(value: Publication) -> ingests_pb2.Publication:
    """The message of what the end found."""
    return ingests_pb2.Publication(**{item.name: getattr(value, item.name) for item in fields(value)})


def publication_of(sent: ingests_pb2.Publication) -> Publication:
    """What a worker found."""
    return Publication(
        sent.counted,
        sent.recall_similar if sent.HasField("recall_similar") else None,
        sent.recall_dissimilar if sent.HasField("recall_dissimilar") else None,
        sent.published,
        sent.previous,
    )


def ingest(value: Ingest) -> ingests_pb2.Ingest:
    """The message of a run."""
    failure = value.failure
    return ingests_pb2.Ingest(
        ingest_id=str(value.ingest_id),
        state=convert.number(value.state),
        created_at=convert.timestamp(value.created_at),
        updated_at=convert.timestamp(value.updated_at),
        label=value.label,
        spec=spec(value.spec),
        plan=plan(value.plan) if value.plan else None,
        total=tally(value.total),
        shards=[_shard(each) for each in value.shards],
        publication=publication(value.publication) if value.publication else None,
        failure=jobs_pb2.Failure(code=failure.code, message=failure.message) if failure else None,
    )


def page(value: ingests.IngestPage) -> ingests_pb2.ListIngestsResponse:
    """The message of a page."""
    return ingests_pb2.ListIngestsResponse(
        ingests=[ingest(each) for each in value.ingests], next_page_token=value.next_cursor
    )


def _shard(value: Shard) -> ingests_pb2.Shard:
    return ingests_pb2.Shard(
        shard=value.number,
        state=value.state,
        rows=value.rows,
        tally=tally(value.tally),
        attempts=value.attempts,
        reason=value.reason,
    )


def _cut(text: str, most_bytes: int) -> str:
    """PostgreSQL's text holds every character but NUL."""
    return text.replace("\0", " ").encode()[:most_bytes].decode(errors="ignore")
