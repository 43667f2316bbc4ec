# ruff: noqa: S608 - statements are put together from constants of this file
"""Jobs in PostgreSQL, as callers see them: every statement names the tenant."""

import json
import secrets
import time
from uuid import UUID

from g3_kit.errors import Conflict, Missing, Rejected
from sqlalchemy import text

from g3_orchestrator.model import Event, Job, NewJob
from g3_orchestrator.repeating import again
from g3_orchestrator.states import JobKind, JobState, View, check
from g3_orchestrator.store.documents import job_in
from g3_orchestrator.store.engine import Database
from g3_orchestrator.store.port import JOBS_CHANNEL, OUTBOX_CHANNEL, Cursor

JOB_COLUMNS = """
    j.job_id, j.tenant_id, j.kind, j.state, j.created_at, j.updated_at, j.label, j.parameters, j.photo_sha256,
    j.photo_width, j.photo_height, j.photo_bytes, j.last_event, j.degraded, j.release_model, j.release_gps,
    j.release_collection, j.failure_code, j.failure_message"""

_SELECT = f"""
    SELECT {JOB_COLUMNS}, r.latitude, r.longitude, r.similarity, r.place, r.evidence%s
    FROM jobs j
    LEFT JOIN results r ON r.job_id = j.job_id AND r.tenant_id = j.tenant_id
    %s
    WHERE j.tenant_id = :tenant AND j.kind = 'locate'"""

_TIMINGS = """(
        SELECT json_agg(json_build_object(
            'stage', s.name,
            'waited_s', extract(epoch FROM coalesce(s.claimed_at, s.ended_at, now()) - s.first_due_at)::float8,
            'worked_s', coalesce(extract(epoch FROM coalesce(s.ended_at, now()) - s.claimed_at), 0)::float8,
            'attempts', s.attempt) ORDER BY s.first_due_at, s.name)
        FROM stages s WHERE s.job_id = j.job_id AND s.tenant_id = j.tenant_id)"""

# At most so many characters of each answer: the whole text stays in `answers`.
_SAID = """(
        SELECT json_agg(json_build_object(
            'prompt', a.prompt, 'sample', a.sample, 'text', left(a.text, 2000), 'model', a.model,
            'prompt_tokens', a.prompt_tokens, 'answer_tokens', a.answer_tokens) ORDER BY a.prompt, a.sample)
        FROM answers a WHERE a.job_id = r.job_id AND a.tenant_id = j.tenant_id)"""

_WHOLE = _SELECT % (
    f", r.candidates, r.dropped, f.similar_matches, {_TIMINGS} AS timings, {_SAID} AS answers",
    "LEFT JOIN retrievals f ON f.job_id = r.job_id AND f.tenant_id = j.tenant_id",
)
_GET = text(_WHOLE + " AND j.job_id = :job")
_ORDER = " ORDER BY j.created_at DESC, j.job_id DESC LIMIT :limit"
_AFTER = " AND (j.created_at, j.job_id) < (:created_at, :job)"
_IN_STATE = " AND j.state = :state"
_LIST = {
    (view, bool(after), bool(state)): text(select + after + state + _ORDER)
    for view, select in ((View.SUMMARY, _SELECT % ("", "")), (View.FULL, _WHOLE))
    for after in ("", _AFTER)
    for state in ("", _IN_STATE)
}

_CREATE = """
    WITH job AS (
        INSERT INTO jobs (job_id, tenant_id, state, label, parameters, photo_sha256, photo_width, photo_height,
                          photo_bytes, idempotency_key, request_hash, last_event)
        VALUES (%(job)s, %(tenant)s, 'queued', %(label)s, CAST(%(parameters)s AS jsonb), %(sha256)s,
                %(width)s, %(height)s, %(size)s, %(key)s, %(hash)s, 1)
        ON CONFLICT DO NOTHING
        RETURNING *
    ), stage AS (
        INSERT INTO stages (job_id, tenant_id, name, state, wake_at)
        SELECT job_id, tenant_id, 'retrieve', 'pending', now() + interval '15 seconds' FROM job
    ), bell AS (
        INSERT INTO outbox (job_id, tenant_id, stage, attempt) SELECT job_id, tenant_id, 'retrieve', 1 FROM job
    ), event AS (
        INSERT INTO events (job_id, tenant_id, event_id, state) SELECT job_id, tenant_id, 1, state FROM job
    )
    SELECT * FROM job"""

_BY_KEY = text("""
    SELECT job_id, request_hash FROM jobs
    WHERE tenant_id = :tenant AND (idempotency_key = :key OR job_id = :job)""")

_LOCK = text("""
    SELECT state, last_event FROM jobs WHERE tenant_id = :tenant AND job_id = :job AND kind = :kind
    FOR NO KEY UPDATE""")
_CANCEL = text("""
    WITH closed AS (
        UPDATE stages SET state = 'dead', reason = 'cancelled', ended_at = now(), wake_at = NULL, lease_until = NULL
        WHERE job_id = :job AND tenant_id = :tenant AND state NOT IN ('done', 'dead')
    ), moved AS (
        UPDATE jobs SET state = 'cancelled', updated_at = now(), last_event = last_event + 1
        WHERE job_id = :job AND tenant_id = :tenant
        RETURNING job_id, tenant_id, last_event, state
    )
    INSERT INTO events (job_id, tenant_id, event_id, state) SELECT job_id, tenant_id, last_event, state FROM moved""")

_EVENTS = text("""
    SELECT e.event_id, e.state, e.created_at
    FROM jobs j LEFT JOIN events e ON e.job_id = j.job_id AND e.tenant_id = j.tenant_id AND e.event_id > :after
    WHERE j.tenant_id = :tenant AND j.job_id = :job
    ORDER BY e.event_id""")

_PING = text("SELECT 1")


def uuid7() -> UUID:
    """A UUID, version 7 (RFC 9562): 48 bits of Unix milliseconds, then random bits. Ids of one time lie together."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


class PostgresJobs:
    """The role JobStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_job(self, tenant_id: UUID, new: NewJob) -> tuple[Job, bool]:
        """See JobStore.create_job."""
        # Chosen outside the retry: a repeat after an unknown commit finds its own row.
        job_id = uuid7()
        return again(lambda: self._create(tenant_id, job_id, new))

    def _create(self, tenant_id: UUID, job_id: UUID, new: NewJob) -> tuple[Job, bool]:
        values = {
            "job": job_id,
            "tenant": tenant_id,
            "label": new.label,
            "parameters": json.dumps(new.parameters.to_json()),
            "sha256": new.photo.sha256,
            "width": new.photo.width,
            "height": new.photo.height,
            "size": new.photo.size_bytes,
            "key": new.idempotency_key,
            "hash": new.request_hash,
        }
        row = self._database.single(_CREATE, values)
        if row is not None:
            self._database.notify([(OUTBOX_CHANNEL, ""), (JOBS_CHANNEL, f"{tenant_id}/{job_id}")])
            return job_in(row), True
        with self._database.statement() as connection:
            known = {"tenant": tenant_id, "key": new.idempotency_key, "job": job_id}
            earlier = connection.execute(_BY_KEY, known).one()
        if bytes(earlier.request_hash) != new.request_hash:
            message = "this idempotency key was used before, with another request"
            raise Rejected(message, field="idempotency_key")
        return self.get_job(tenant_id, earlier.job_id), earlier.job_id == job_id

    def get_job(self, tenant_id: UUID, job_id: UUID) -> Job:
        """See JobStore.get_job."""

        def read() -> Job:
            with self._database.statement() as connection:
                row = connection.execute(_GET, {"tenant": tenant_id, "job": job_id}).mappings().one_or_none()
            if row is None:
                raise Missing("no such job", field="job_id")
            return job_in(row)

        return again(read)

    def list_jobs(
        self,
        tenant_id: UUID,
        *,
        limit: int,
        after: Cursor | None = None,
        state: JobState | None = None,
        view: View = View.SUMMARY,
    ) -> list[Job]:
        """See JobStore.list_jobs."""
        values: dict[str, object] = {"tenant": tenant_id, "limit": limit}
        if after is not None:
            values |= {"created_at": after.created_at, "job": after.job_id}
        if state is not None:
            values["state"] = state.value

        def read() -> list[Job]:
            with self._database.statement() as connection:
                rows = connection.execute(_LIST[view, after is not None, state is not None], values).mappings()
                return [job_in(row) for row in rows]

        return again(read)

    def cancel_job(self, tenant_id: UUID, job_id: UUID) -> Job:
        """See JobStore.cancel_job."""
        again(lambda: cancel(self._database, tenant_id, job_id, JobKind.LOCATE))
        return self.get_job(tenant_id, job_id)

    def events_after(self, tenant_id: UUID, job_id: UUID, event_id: int) -> list[Event]:
        """See JobStore.events_after."""
        values = {"tenant": tenant_id, "job": job_id, "after": event_id}

        def read() -> list[Event]:
            with self._database.statement() as connection:
                rows = connection.execute(_EVENTS, values).all()
            if not rows:
                raise Missing("no such job", field="job_id")
            return [Event(row.event_id, JobState(row.state), row.created_at) for row in rows if row.event_id]

        return again(read)

    def ping(self) -> None:
        """See JobStore.ping."""
        with self._database.statement() as connection:
            connection.execute(_PING)


def cancel(database: Database, tenant_id: UUID, job_id: UUID, kind: JobKind) -> None:
    """Cancels a job of this kind and closes its open stages. Raises Missing, Conflict, Lost."""
    values = {"tenant": tenant_id, "job": job_id, "kind": kind.value}
    notes: list[tuple[str, str]] = []
    with database.transaction(notes) as connection:
        row = connection.execute(_LOCK, values).one_or_none()
        if row is None:
            raise Missing("no such job", field="job_id")
        state = JobState(row.state)
        if state is JobState.CANCELLED:
            return
        if state.ended:
            raise Conflict(f"the job has {state} already")
        check(state, JobState.CANCELLED)
        connection.execute(_CANCEL, values)
        notes.append((JOBS_CHANNEL, f"{tenant_id}/{job_id}"))
