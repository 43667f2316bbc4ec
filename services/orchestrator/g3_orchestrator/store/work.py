# ruff: noqa: S608 - statements are put together from constants of this file
"""One locked stage in PostgreSQL: each method is one statement, leaving the context commits all of them.

The job's row is the mutex of everything that happens to the job: it is locked first, always.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection

from g3_orchestrator.model import Answer, Failure, Job, Result, Retrieval, Stage
from g3_orchestrator.states import JobState, StageName, StageState, check
from g3_orchestrator.store.documents import seconds
from g3_orchestrator.store.engine import direct
from g3_orchestrator.store.port import JOBS_CHANNEL, OUTBOX_CHANNEL
from g3_orchestrator.store.result_documents import result_out, retrieval_out
from g3_orchestrator.store.run_work import PostgresRunWork

_THIS = "WHERE job_id = %(job)s AND name = %(stage)s AND shard = %(shard)s"

_LEASE = f"""
    UPDATE stages SET state = 'leased', claim_id = %(claim)s, claimed_at = coalesce(claimed_at, now()),
        lease_until = now() + CAST(%(lease)s AS interval),
        wake_at = least(now() + CAST(%(lease)s AS interval), budget_until)
    {_THIS}"""
_RENEW = f"""
    UPDATE stages SET lease_until = now() + CAST(%(lease)s AS interval),
        wake_at = least(now() + CAST(%(lease)s AS interval), budget_until)
    {_THIS}"""
_RING = f"""
    WITH rung AS (
        UPDATE stages SET state = 'pending', wake_at = least(now() + CAST(%(again)s AS interval), budget_until) {_THIS}
        RETURNING job_id, tenant_id, name, shard, attempt
    )
    INSERT INTO outbox (job_id, tenant_id, stage, shard, attempt)
    SELECT job_id, tenant_id, name, shard, attempt FROM rung
    WHERE NOT EXISTS (SELECT 1 FROM outbox o WHERE o.job_id = %(job)s AND o.stage = %(stage)s AND o.shard = %(shard)s
                      AND o.sent_at IS NULL AND o.attempt = rung.attempt)"""
_RETRY = f"""
    UPDATE stages SET state = 'pending', attempt = attempt + 1, rings = 0, claim_id = NULL, lease_until = NULL,
        reason = %(reason)s, wake_at = least(now() + CAST(%(delay)s AS interval), budget_until) {_THIS}"""
_RELEASE = f"""
    UPDATE stages SET state = 'pending', progressed = attempt, attempt = attempt + 1, rings = 0, claim_id = NULL,
        lease_until = NULL, reason = %(reason)s, wake_at = least(now(), budget_until) {_THIS}"""
_CLOSE = f"""
    UPDATE stages SET state = %(state)s, reason = %(reason)s, ended_at = now(), wake_at = NULL,
        lease_until = NULL {_THIS}"""
_RECORD = """
    INSERT INTO answers (job_id, tenant_id, prompt, sample, text, model, prompt_tokens, answer_tokens)
    SELECT %(job)s, %(tenant)s, a.prompt, a.sample, a.text, a.model, a.prompt_tokens, a.answer_tokens
    FROM unnest(CAST(%(prompts)s AS int[]), CAST(%(samples)s AS int[]), CAST(%(texts)s AS text[]),
                CAST(%(models)s AS text[]), CAST(%(prompt_tokens)s AS int[]), CAST(%(answer_tokens)s AS int[]))
         AS a (prompt, sample, text, model, prompt_tokens, answer_tokens)
    ON CONFLICT DO NOTHING"""
_KEEP = """
    WITH pinned AS (
        UPDATE jobs SET release_model = %(model)s, release_gps = %(gps)s, release_collection = %(collection)s
        WHERE job_id = %(job)s
    )
    INSERT INTO retrievals (job_id, tenant_id, similar_matches, dissimilar_matches, gps_aligned, gallery)
    VALUES (%(job)s, %(tenant)s, CAST(%(similar)s AS jsonb), CAST(%(dissimilar)s AS jsonb), %(gps_aligned)s,
            CAST(%(gallery)s AS jsonb))
    ON CONFLICT (job_id) DO UPDATE
    SET similar_matches = excluded.similar_matches, dissimilar_matches = excluded.dissimilar_matches,
        gps_aligned = excluded.gps_aligned, gallery = excluded.gallery"""
_EVENT = """
    INSERT INTO events (job_id, tenant_id, event_id, state) SELECT job_id, tenant_id, last_event, state FROM moved"""
_MOVED = "RETURNING job_id, tenant_id, last_event, state"
_MOVE = f"""
    WITH moved AS (
        UPDATE jobs SET state = %(state)s, updated_at = now(), last_event = last_event + 1
        WHERE job_id = %(job)s {_MOVED}
    ) {_EVENT}"""
_BEGIN = f"""
    WITH moved AS (
        UPDATE jobs SET state = %(state)s, updated_at = now(), last_event = last_event + 1,
            degraded = CAST(%(degraded)s AS text[])
        WHERE job_id = %(job)s {_MOVED}
    ), stage AS (
        INSERT INTO stages (job_id, tenant_id, name, state, budget_until, wake_at)
        SELECT job_id, tenant_id, %(next)s, 'pending', now() + CAST(%(budget)s AS interval),
               now() + interval '15 seconds'
        FROM moved
    ), bell AS (
        INSERT INTO outbox (job_id, tenant_id, stage, attempt) SELECT job_id, tenant_id, %(next)s, 1 FROM moved
    ) {_EVENT}"""
_RESULT = """
    INSERT INTO results (job_id, tenant_id, latitude, longitude, similarity, place, candidates, dropped, evidence)
    VALUES (%(job)s, %(tenant)s, %(latitude)s, %(longitude)s, %(similarity)s, CAST(%(place)s AS jsonb),
            CAST(%(candidates)s AS jsonb), CAST(%(dropped)s AS jsonb), CAST(%(evidence)s AS jsonb))"""
_SUCCEED = f"""
    WITH moved AS (
        UPDATE jobs SET state = 'succeeded', updated_at = now(), last_event = last_event + 1, result_of = job_id
        WHERE job_id = %(job)s {_MOVED}
    ) {_EVENT}"""
_FAIL = f"""
    WITH moved AS (
        UPDATE jobs SET state = 'failed', updated_at = now(), last_event = last_event + 1,
            failure_code = %(code)s, failure_message = %(message)s
        WHERE job_id = %(job)s {_MOVED}
    ) {_EVENT}"""


class PostgresStageWork:
    """The role StageWork. It adds to `notes` what is to be notified after the commit."""

    def __init__(
        self, connection: Connection, job: Job, stage: Stage, now: datetime, notes: list[tuple[str, str]]
    ) -> None:
        self._connection = connection
        self.job = job
        self.stage = stage
        self.now = now
        self.notes = notes
        self.run = PostgresRunWork(connection, stage, notes)

    def lease(self, claim_id: str, lease_s: float) -> None:
        """See StageWork.lease."""
        self._step(StageState.LEASED)
        self._run(_LEASE, claim=claim_id, lease=seconds(lease_s))
        if self.job.state is JobState.QUEUED:
            self._moves(self.stage.name.job_state)
            self._run(_MOVE, state=self.job.state.value)

    def renew(self, lease_s: float) -> None:
        """See StageWork.renew."""
        self._run(_RENEW, lease=seconds(lease_s))

    def ring(self, again_s: float) -> None:
        """See StageWork.ring."""
        if self.stage.state is not StageState.PENDING:
            self._step(StageState.PENDING)
        self._run(_RING, again=seconds(again_s))
        self.notes.append((OUTBOX_CHANNEL, ""))

    def retry(self, delay_s: float, reason: str) -> None:
        """See StageWork.retry."""
        self._step(StageState.PENDING)
        self.stage = replace(self.stage, attempt=self.stage.attempt + 1)
        self._run(_RETRY, delay=seconds(delay_s), reason=reason)

    def release(self, reason: str) -> None:
        """See StageWork.release."""
        self._step(StageState.PENDING)
        self._run(_RELEASE, reason=reason)
        self.stage = replace(self.stage, attempt=self.stage.attempt + 1, progressed=self.stage.attempt)

    def finish(self) -> None:
        """See StageWork.finish."""
        self._step(StageState.DONE)
        self._run(_CLOSE, state=StageState.DONE.value, reason="")

    def give_up(self, reason: str) -> None:
        """See StageWork.give_up."""
        self._step(StageState.DEAD)
        self._run(_CLOSE, state=StageState.DEAD.value, reason=reason)

    def record(self, answers: Sequence[Answer]) -> int:
        """See StageWork.record."""
        columns = {
            "prompts": [answer.prompt for answer in answers],
            "samples": [answer.sample for answer in answers],
            "texts": [answer.text for answer in answers],
            "models": [answer.model for answer in answers],
            "prompt_tokens": [answer.prompt_tokens for answer in answers],
            "answer_tokens": [answer.answer_tokens for answer in answers],
        }
        return self._run(_RECORD, **columns).rowcount

    def keep(self, retrieval: Retrieval) -> None:
        """See StageWork.keep."""
        self._run(_KEEP, **retrieval_out(retrieval))
        self.job = replace(self.job, release=retrieval.release)

    def begin(self, name: StageName, *, budget_s: float | None, degraded: tuple[str, ...]) -> None:
        """See StageWork.begin."""
        self._moves(name.job_state)
        budget = None if budget_s is None else seconds(budget_s)
        self._run(_BEGIN, state=self.job.state.value, next=name.value, budget=budget, degraded=list(degraded))
        self.notes.append((OUTBOX_CHANNEL, ""))

    def succeed(self, result: Result) -> None:
        """See StageWork.succeed."""
        self._moves(JobState.SUCCEEDED)
        self._run(_RESULT, **result_out(result))
        self._run(_SUCCEED)

    def conclude(self) -> None:
        """See StageWork.conclude."""
        self._moves(JobState.SUCCEEDED)
        self._run(_MOVE, state=self.job.state.value)

    def fail(self, failure: Failure) -> None:
        """See StageWork.fail."""
        self._moves(JobState.FAILED)
        self._run(_FAIL, code=failure.code, message=failure.message)

    def _step(self, state: StageState) -> None:
        check(self.stage.state, state)
        self.stage = replace(self.stage, state=state)

    def _moves(self, state: JobState) -> None:
        check(self.job.state, state)
        self.job = replace(self.job, state=state, last_event=self.job.last_event + 1)
        self.notes.append((JOBS_CHANNEL, f"{self.job.tenant_id}/{self.job.job_id}"))

    def _run(self, statement: str, **values: object) -> psycopg.Cursor[dict[str, Any]]:
        stage = self.stage
        ids = {"job": stage.job_id, "tenant": stage.tenant_id, "stage": stage.name.value, "shard": stage.shard}
        return direct(self._connection, statement, ids | values)
