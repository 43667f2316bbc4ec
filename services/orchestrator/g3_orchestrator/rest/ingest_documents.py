"""JSON documents of ingest runs."""

from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from g3_orchestrator import problems
from g3_orchestrator.ingests import IngestPage
from g3_orchestrator.rest.ingest_schemas import IngestSubmission
from g3_orchestrator.runs import Ingest, IngestSpec, Shard, Tally

Document = dict[str, Any]


def asked(body: bytes) -> tuple[IngestSpec, str]:
    """What a body asks for, and its label. Raises Rejected, naming the fields at fault."""
    try:
        given = IngestSubmission.model_validate_json(body)
    except ValidationError as error:
        raise problems.faults(error) from None
    return IngestSpec(**given.model_dump(exclude={"label"})), given.label or ""


def ingest(value: Ingest) -> Document:
    """The document `ingest_schemas.Ingest` of a run."""
    return {
        "ingest_id": str(value.ingest_id),
        "state": value.state,
        "created_at": value.created_at,
        "updated_at": value.updated_at,
        "label": value.label,
        "spec": value.spec.to_json(),
        "plan": asdict(value.plan) if value.plan else None,
        "total": _tally(value.total),
        "shards": [_shard(each) for each in value.shards],
        "publication": asdict(value.publication) if value.publication else None,
        "failure": {"code": value.failure.code, "message": value.failure.message} if value.failure else None,
    }


def page(value: IngestPage) -> Document:
    """The document `ingest_schemas.IngestPage` of a page."""
    return {"ingests": [ingest(each) for each in value.ingests], "next_cursor": value.next_cursor}


def _shard(value: Shard) -> Document:
    return {
        "shard": value.number,
        "state": value.state,
        "rows": value.rows,
        "tally": _tally(value.tally),
        "attempts": value.attempts,
        "reason": value.reason,
    }


def _tally(value: Tally) -> Document:
    return {
        "read": value.read,
        "written": value.written,
        "held": value.held,
        "rejected": value.rejected,
        "duplicates": value.duplicates,
        "reasons": dict(value.reasons),
    }
