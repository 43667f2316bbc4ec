"""Ingest runs: their documents, and what the client does about them."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pydantic import Field

from g3_client import wire
from g3_client.errors import Missing
from g3_client.flows import Flow, Patience, asked
from g3_client.models import Document, Failure, JobState
from g3_client.wire import Call


class IngestSpec(Document):
    """What was asked for."""

    source: str
    table: str = ""
    authors: str = ""
    collection: str = ""
    alias: str = ""
    unpublished: bool = False
    shards: int = 0
    at_once: int = 0
    near_duplicate: float = 0.0
    near_duplicate_in_collection: bool = False
    index: str = ""
    least_recall_similar: float | None = None
    least_recall_dissimilar: float | None = None
    resume: bool = False


class IngestPlan(Document):
    """What was found in the source."""

    rows: int
    shards: int
    collection: str
    model: str
    dimension: int
    source: str
    standing: int = 0


class Tally(Document):
    """How far rows have come: read = written + held + rejected + duplicates."""

    read: int = 0
    written: int = 0
    held: int = 0
    rejected: int = 0
    duplicates: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)


class Shard(Document):
    """One shard; `state` is "waiting" or a stage's state."""

    shard: int
    state: str
    rows: int
    tally: Tally = Tally()
    attempts: int = 0
    reason: str = ""


class Publication(Document):
    """What the end of a run found."""

    counted: int
    recall_similar: float | None = None
    recall_dissimilar: float | None = None
    published: bool = False
    previous: str = ""


class Ingest(Document):
    """An ingest run as it stands."""

    ingest_id: str
    state: JobState
    created_at: datetime | None = None
    updated_at: datetime | None = None
    label: str = ""
    spec: IngestSpec
    plan: IngestPlan | None = None
    total: Tally = Tally()
    shards: tuple[Shard, ...] = ()
    publication: Publication | None = None
    failure: Failure | None = None

    @property
    def ended(self) -> bool:
        """Whether it changes no more."""
        return self.state.ended

    @property
    def succeeded(self) -> bool:
        """Whether its version is filled and verified."""
        return self.state is JobState.SUCCEEDED


class IngestPage(Document):
    """One page of a listing, newest first; `next_cursor` is empty on the last page."""

    ingests: tuple[Ingest, ...]
    next_cursor: str = ""


def submitted(spec: Mapping[str, Any], idempotency_key: str | None, patience: Patience) -> Flow[Ingest]:
    """The run of a spec; a fresh key is made unless one is given, so that trying again cannot submit twice."""
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    call = Call("POST", "/v1/ingests", headers=headers, body=spec)
    return wire.parsed(Ingest, (yield from asked(call, patience)))


def got(ingest: Ingest | str, patience: Patience) -> Flow[Ingest]:
    """A run as it stands."""
    return wire.parsed(Ingest, (yield from asked(Call("GET", _path(ingest)), patience)))


def cancelled(ingest: Ingest | str, patience: Patience) -> Flow[Ingest]:
    """A run after it was cancelled."""
    return wire.parsed(Ingest, (yield from asked(Call("POST", f"{_path(ingest)}/cancel"), patience)))


def page(state: JobState | str | None, limit: int | None, cursor: str, patience: Patience) -> Flow[IngestPage]:
    """One page of the listing."""
    query = {"state": str(state or ""), "limit": str(limit or ""), "cursor": cursor}
    call = Call("GET", "/v1/ingests", query={name: value for name, value in query.items() if value})
    return wire.parsed(IngestPage, (yield from asked(call, patience)))


def rejects(ingest: Ingest | str, patience: Patience) -> Flow[str]:
    """The rejects of a run as CSV."""
    call = Call("GET", f"{_path(ingest)}/rejects", headers={"Accept": "text/csv"}, read_s=120.0)
    return (yield from asked(call, patience)).text


def _path(ingest: Ingest | str) -> str:
    ingest_id = ingest if isinstance(ingest, str) else ingest.ingest_id
    # "." and ".." would be resolved away and name another resource
    if not ingest_id.strip("."):
        raise Missing(f"There is no ingest run {ingest_id!r}.", status=404, code="missing")
    return f"/v1/ingests/{quote(ingest_id, safe='')}"
