"""Ingest runs as callers use them: the one service behind REST and gRPC."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from g3_kit.errors import Missing, Rejected

from g3_orchestrator.jobs import DEFAULT_PAGE, MAX_PAGE, identified, judge_text, opened, sealed
from g3_orchestrator.overflow import written
from g3_orchestrator.ports import Blobs
from g3_orchestrator.runs import Ingest, IngestSpec, NewIngest
from g3_orchestrator.states import JobState
from g3_orchestrator.store.port import Cursor, IngestStore

_ROWS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class IngestPage:
    """Some runs, newest first, and the cursor of what follows; "" when nothing does."""

    ingests: tuple[Ingest, ...]
    next_cursor: str


class Ingests:
    """Submitting, reading, listing and cancelling. Every method is blocking and safe to call from threads."""

    def __init__(self, store: IngestStore, blobs: Blobs) -> None:
        """`store` keeps the runs, `blobs` the files of rejects."""
        self._store = store
        self._blobs = blobs

    def submit(
        self, tenant_id: UUID, spec: IngestSpec, *, idempotency_key: str = "", label: str = ""
    ) -> tuple[Ingest, bool]:
        """The accepted run and True, or the earlier one of the same key and request and False. Raises Rejected."""
        judge_text(label, "label")
        judge_text(idempotency_key, "idempotency_key")
        asked = json.dumps(["ingest", spec.to_json(), label], sort_keys=True, separators=(",", ":"))
        new = NewIngest(spec, label, idempotency_key or None, hashlib.sha256(asked.encode()).digest())
        return self._store.create_ingest(tenant_id, new)

    def get(self, tenant_id: UUID, ingest_id: str) -> Ingest:
        """The run as it stands. Raises Missing."""
        return self._store.get_ingest(tenant_id, _identified(ingest_id))

    def page(self, tenant_id: UUID, *, state: JobState | None = None, limit: int = 0, cursor: str = "") -> IngestPage:
        """A page of runs; `limit` 1 to 200, 0 means 50. Raises Rejected for a limit or a cursor that is none."""
        if not 0 <= limit <= MAX_PAGE:
            raise Rejected(f"A page has 1 to {MAX_PAGE} runs.", field="limit")
        size = limit or DEFAULT_PAGE
        after = opened(cursor, tenant_id, state) if cursor else None
        runs = self._store.list_ingests(tenant_id, limit=size + 1, after=after, state=state)
        page = tuple(runs[:size])
        more = len(runs) > size
        next_cursor = sealed(Cursor(page[-1].created_at, page[-1].ingest_id), tenant_id, state) if more else ""
        return IngestPage(page, next_cursor)

    def cancel(self, tenant_id: UUID, ingest_id: str) -> Ingest:
        """The run, cancelled; its shards stop at their next batch. Raises Missing, or Conflict once it has ended."""
        return self._store.cancel_ingest(tenant_id, _identified(ingest_id))

    def rejects(self, tenant_id: UUID, ingest_id: str) -> Iterator[bytes]:
        """Every row that was not inserted, as lines of CSV without headings. Raises Missing before the first line."""
        run = _identified(ingest_id)
        files = self._store.reject_files(tenant_id, run)
        return self._rejects(tenant_id, run, [file.sha256 for file in files])

    def _rejects(self, tenant_id: UUID, run: UUID, files: list[str]) -> Iterator[bytes]:
        after = -1
        while rows := self._store.rejects(tenant_id, run, after_row=after, limit=_ROWS_AT_ONCE):
            yield written(rows)
            after = rows[-1].row
        for sha256 in files:
            yield self._blobs.get(tenant_id, sha256)


def _identified(ingest_id: str) -> UUID:
    try:
        return identified(ingest_id)
    except Missing:
        raise Missing("There is no such ingest run.") from None
