"""Ingest runs in PostgreSQL, as callers see them: every statement names the tenant."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from g3_kit.errors import Missing, Rejected
from sqlalchemy import Connection

from g3_orchestrator.repeating import again
from g3_orchestrator.runs import Ingest, NewIngest, Reject, RejectFile, Tally
from g3_orchestrator.states import JobKind, JobState
from g3_orchestrator.store.engine import Database, direct
from g3_orchestrator.store.jobs import cancel, uuid7
from g3_orchestrator.store.port import JOBS_CHANNEL, OUTBOX_CHANNEL, Cursor
from g3_orchestrator.store.run_documents import ingest_in, plan_in, shards_in, tally_in

_CREATE = """
    WITH job AS (
        INSERT INTO jobs (job_id, tenant_id, kind, state, label, parameters, idempotency_key, request_hash, last_event)
        VALUES (%(job)s, %(tenant)s, 'ingest', 'queued', %(label)s, '{}', %(key)s, %(hash)s, 1)
        ON CONFLICT DO NOTHING
        RETURNING *
    ), run AS (
        INSERT INTO ingests (job_id, tenant_id, spec) SELECT job_id, tenant_id, CAST(%(spec)s AS jsonb) FROM job
    ), stage AS (
        INSERT INTO stages (job_id, tenant_id, name, state, wake_at)
        SELECT job_id, tenant_id, 'plan', 'pending', now() + interval '15 seconds' FROM job
    ), bell AS (
        INSERT INTO outbox (job_id, tenant_id, stage, attempt) SELECT job_id, tenant_id, 'plan', 1 FROM job
    ), event AS (
        INSERT INTO events (job_id, tenant_id, event_id, state) SELECT job_id, tenant_id, 1, state FROM job
    )
    SELECT job_id FROM job"""
_BY_KEY = """
    SELECT job_id, request_hash FROM jobs
    WHERE tenant_id = %(tenant)s AND (idempotency_key = %(key)s OR job_id = %(job)s)"""
_RUNS = """
    SELECT j.job_id, j.tenant_id, j.state, j.created_at, j.updated_at, j.label, j.last_event, j.failure_code,
           j.failure_message, i.spec, i.rows, i.shards, i.collection, i.model, i.dimension, i.source, i.standing,
           i.counted, i.recall_similar, i.recall_dissimilar, i.published, i.previous
    FROM ingests i JOIN jobs j ON j.job_id = i.job_id AND j.tenant_id = i.tenant_id
    WHERE i.tenant_id = %(tenant)s"""
_GET = f"{_RUNS} AND i.job_id = %(job)s"
_ORDER = " ORDER BY j.created_at DESC, j.job_id DESC LIMIT %(limit)s"
_AFTER = " AND (j.created_at, j.job_id) < (%(created_at)s, %(job)s)"
_IN_STATE = " AND j.state = %(state)s"
_STAGES = """
    SELECT shard, state, attempt, reason FROM stages
    WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND name = 'fill'"""
_TALLIES = """
    SELECT job_id, shard, read, written, held, rejected, duplicates, reasons FROM shards
    WHERE tenant_id = %(tenant)s AND job_id = ANY(%(jobs)s) ORDER BY job_id, shard"""
_REJECTS = """
    SELECT row, reference_id, code, reason FROM rejects
    WHERE tenant_id = %(tenant)s AND job_id = %(job)s AND row > %(after)s ORDER BY row LIMIT %(limit)s"""
_FILES = """
    SELECT first_row, sha256, rejects FROM reject_files
    WHERE tenant_id = %(tenant)s AND job_id = %(job)s ORDER BY first_row"""


class PostgresIngests:
    """The role IngestStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_ingest(self, tenant_id: UUID, new: NewIngest) -> tuple[Ingest, bool]:
        """See IngestStore.create_ingest."""
        # Chosen outside the retry: a repeat after an unknown commit finds its own row.
        job_id = uuid7()
        return again(lambda: self._create_ingest(tenant_id, job_id, new))

    def _create_ingest(self, tenant_id: UUID, job_id: UUID, new: NewIngest) -> tuple[Ingest, bool]:
        values = {
            "job": job_id,
            "tenant": tenant_id,
            "label": new.label,
            "spec": json.dumps(new.spec.to_json()),
            "key": new.idempotency_key,
            "hash": new.request_hash,
        }
        notes: list[tuple[str, str]] = []
        with self._database.statement(notes) as connection:
            if direct(connection, _CREATE, values).fetchone() is not None:
                notes += [(OUTBOX_CHANNEL, ""), (JOBS_CHANNEL, f"{tenant_id}/{job_id}")]
                found = None
            else:
                found = direct(connection, _BY_KEY, values).fetchone()
        if found is None:
            return self.get_ingest(tenant_id, job_id), True
        if bytes(found["request_hash"]) != new.request_hash:
            message = "this idempotency key was used before, with another request"
            raise Rejected(message, field="idempotency_key")
        return self.get_ingest(tenant_id, found["job_id"]), found["job_id"] == job_id

    def get_ingest(self, tenant_id: UUID, ingest_id: UUID) -> Ingest:
        """See IngestStore.get_ingest."""
        values = {"tenant": tenant_id, "job": ingest_id}

        def read() -> Ingest:
            with self._database.transaction() as connection:
                row = direct(connection, _GET, values).fetchone()
                if row is None:
                    raise Missing("no such ingest run", field="ingest_id")
                stages = {stage["shard"]: stage for stage in direct(connection, _STAGES, values)}
                tallies = _tallies(connection, tenant_id, [ingest_id]).get(ingest_id, {})
            shards = shards_in(plan_in(row), stages, tallies)
            return ingest_in(row, sum(tallies.values(), Tally()), shards)

        return again(read)

    def list_ingests(
        self, tenant_id: UUID, *, limit: int, after: Cursor | None = None, state: JobState | None = None
    ) -> list[Ingest]:
        """See IngestStore.list_ingests."""
        values: dict[str, object] = {"tenant": tenant_id, "limit": limit}
        statement = _RUNS
        if after is not None:
            statement += _AFTER
            values |= {"created_at": after.created_at, "job": after.job_id}
        if state is not None:
            statement += _IN_STATE
            values["state"] = state.value

        def read() -> list[Ingest]:
            with self._database.transaction() as connection:
                rows = direct(connection, statement + _ORDER, values).fetchall()
                tallies = _tallies(connection, tenant_id, [row["job_id"] for row in rows])
            return [ingest_in(row, sum(tallies.get(row["job_id"], {}).values(), Tally())) for row in rows]

        return again(read)

    def cancel_ingest(self, tenant_id: UUID, ingest_id: UUID) -> Ingest:
        """See IngestStore.cancel_ingest."""
        again(lambda: cancel(self._database, tenant_id, ingest_id, JobKind.INGEST))
        return self.get_ingest(tenant_id, ingest_id)

    def rejects(self, tenant_id: UUID, ingest_id: UUID, *, after_row: int, limit: int) -> list[Reject]:
        """See IngestStore.rejects."""
        values = {"tenant": tenant_id, "job": ingest_id, "after": after_row, "limit": limit}
        rows = self._of_run(_REJECTS, values)
        return [Reject(row["row"], row["reference_id"], row["code"], row["reason"]) for row in rows]

    def reject_files(self, tenant_id: UUID, ingest_id: UUID) -> list[RejectFile]:
        """See IngestStore.reject_files."""
        rows = self._of_run(_FILES, {"tenant": tenant_id, "job": ingest_id})
        return [RejectFile(row["first_row"], row["sha256"], row["rejects"]) for row in rows]

    def _of_run(self, statement: str, values: dict[str, object]) -> list[dict[str, Any]]:
        def read() -> list[dict[str, Any]]:
            with self._database.statement() as connection:
                if direct(connection, _GET, values).fetchone() is None:
                    raise Missing("no such ingest run", field="ingest_id")
                return direct(connection, statement, values).fetchall()

        return again(read)


def _tallies(connection: Connection, tenant_id: UUID, runs: Sequence[UUID]) -> dict[UUID, dict[int, Tally]]:
    """The tallies of each run by shard."""
    found: dict[UUID, dict[int, Tally]] = {}
    for row in direct(connection, _TALLIES, {"tenant": tenant_id, "jobs": list(runs)}):
        found.setdefault(row["job_id"], {})[row["shard"]] = tally_in(row)
    return found
