# ruff: noqa: S608 - statements are put together from constants of this room
"""The usual course of a stage, claimed and completed as expected: one statement each, a transaction of its own.

Here nothing is judged. A statement does its work only while everything is as its caller expects it (the states that
`states` lets precede the new ones, the attempt, the claim) and otherwise changes nothing: then the caller locks the
stage and finds out why (`stages`). Like everywhere, the job's row is locked before its stage is written.
"""

from g3_orchestrator.model import Result, Retrieval
from g3_orchestrator.states import JobState, StageName, StageState, before, check
from g3_orchestrator.store.documents import job_in, seconds, stage_in
from g3_orchestrator.store.engine import Database
from g3_orchestrator.store.port import JOBS_CHANNEL, OUTBOX_CHANNEL, Following, Held, Holding
from g3_orchestrator.store.result_documents import result_out, retrieval_out
from g3_orchestrator.store.stages import WORK_COLUMNS

_FREE = [state.value for state in before(StageState.LEASED)]

# A job that is where its stage has it; its lock is the mutex of everything that happens to the job.
_JOB = "job AS (SELECT job_id FROM jobs WHERE job_id = %(job)s AND state = %(state)s FOR NO KEY UPDATE)"
# By its whole key: joined by the job's alone, it was planned as a walk through the stages of all jobs.
_STAGE = "s.job_id = %(job)s AND s.name = %(stage)s AND s.shard = 0 AND s.attempt = %(attempt)s"
_EVENT = """
    event AS (
        INSERT INTO events (job_id, tenant_id, event_id, state) SELECT job_id, tenant_id, last_event, state FROM moved
    )"""
# The disk is not waited for: a claim that PostgreSQL forgets in a crash is one that nobody can complete.
_CLAIMED = f"SELECT {WORK_COLUMNS}, set_config('synchronous_commit', 'off', true)"
_LEASE = f"""
    leased AS (
        UPDATE stages s SET state = 'leased', claim_id = %(claim)s, claimed_at = coalesce(s.claimed_at, now()),
            lease_until = now() + %(lease)s, wake_at = least(now() + %(lease)s, s.budget_until)
        FROM job
        WHERE {_STAGE} AND s.state = ANY(%(free)s) AND (s.budget_until IS NULL OR s.budget_until > now())
        RETURNING s.*
    )"""
_CLAIM = f"""
    WITH {_JOB}, {_LEASE}
    {_CLAIMED} FROM leased s JOIN jobs j ON j.job_id = s.job_id"""
_CLAIM_FIRST = f"""
    WITH {_JOB}, {_LEASE}, moved AS (
        UPDATE jobs j SET state = %(next_state)s, updated_at = now(), last_event = j.last_event + 1
        FROM leased s WHERE j.job_id = s.job_id
        RETURNING j.*
    ), {_EVENT}
    {_CLAIMED} FROM leased s JOIN moved j ON j.job_id = s.job_id"""

_CLOSE = f"""
    closed AS (
        UPDATE stages s SET state = 'done', reason = '', ended_at = now(), wake_at = NULL, lease_until = NULL
        FROM job WHERE {_STAGE} AND s.state = 'leased' AND s.claim_id = %(claim)s
        RETURNING s.job_id
    )"""
# Everything that follows reads from `moved`, which reads from `closed`: a job has one open stage at any moment.
_MOVE = """
    moved AS (
        UPDATE jobs j SET state = %(next_state)s, updated_at = now(), last_event = j.last_event + 1{and_more}
        FROM closed WHERE j.job_id = closed.job_id
        RETURNING j.job_id, j.tenant_id, j.last_event, j.state
    )"""
_MOVED = "SELECT tenant_id FROM moved"
_BEGIN = """
    next AS (
        INSERT INTO stages (job_id, tenant_id, name, state, budget_until, wake_at)
        SELECT job_id, tenant_id, %(next)s, 'pending', now() + CAST(%(budget)s AS interval),
               now() + interval '15 seconds'
        FROM moved
    ), bell AS (
        INSERT INTO outbox (job_id, tenant_id, stage, attempt) SELECT job_id, tenant_id, %(next)s, 1 FROM moved
    )"""
_RETRIEVED = f"""
    WITH {_JOB}, {_CLOSE}, {
    _MOVE.format(
        and_more=''', degraded = CAST(%(degraded)s AS text[]), release_model = %(model)s, release_gps = %(gps)s,
            release_collection = %(collection)s'''
    )
}, {_BEGIN}, {_EVENT}, kept AS (
        INSERT INTO retrievals (job_id, tenant_id, similar_matches, dissimilar_matches, gps_aligned, gallery)
        SELECT job_id, tenant_id, CAST(%(similar)s AS jsonb), CAST(%(dissimilar)s AS jsonb), %(gps_aligned)s,
               CAST(%(gallery)s AS jsonb)
        FROM moved
        ON CONFLICT (job_id) DO UPDATE
        SET similar_matches = excluded.similar_matches, dissimilar_matches = excluded.dissimilar_matches,
            gps_aligned = excluded.gps_aligned, gallery = excluded.gallery
    )
    {_MOVED}"""
_GENERATED = f"WITH {_JOB}, {_CLOSE}, {_MOVE.format(and_more='')}, {_BEGIN}, {_EVENT} {_MOVED}"
_VERIFIED = f"""
    WITH {_JOB}, {_CLOSE}, {_MOVE.format(and_more=", result_of = j.job_id")}, {_EVENT}, result AS (
        INSERT INTO results (job_id, tenant_id, latitude, longitude, similarity, place, candidates, dropped, evidence)
        SELECT job_id, tenant_id, %(latitude)s, %(longitude)s, %(similarity)s, CAST(%(place)s AS jsonb),
               CAST(%(candidates)s AS jsonb), CAST(%(dropped)s AS jsonb), CAST(%(evidence)s AS jsonb)
        FROM moved
    )
    {_MOVED}"""


class PostgresCourse:
    """The part of the role StageStore that is the usual course."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim_free(self, ref: Holding, lease_s: float) -> Held | None:
        """See StageStore.claim_free."""
        check(StageState.DISPATCHED, StageState.LEASED)
        values = _values(ref) | {"free": _FREE, "lease": seconds(lease_s), "state": ref.stage.job_state.value}
        statement = _CLAIM
        if ref.stage is StageName.RETRIEVE:
            check(JobState.QUEUED, ref.stage.job_state)
            values |= {"state": JobState.QUEUED.value, "next_state": ref.stage.job_state.value}
            statement = _CLAIM_FIRST
        row = self._database.single(statement, values)
        if row is None:
            return None
        held = Held(job_in(row), stage_in(row), row["now"])
        if statement is _CLAIM_FIRST:
            self._database.notify([(JOBS_CHANNEL, f"{held.job.tenant_id}/{held.job.job_id}")])
        return held

    def finish_retrieve(self, ref: Holding, retrieval: Retrieval, following: Following) -> bool:
        """See StageStore.finish_retrieve."""
        return self._finish(_RETRIEVED, ref, following.stage.job_state, _next(following) | retrieval_out(retrieval))

    def finish_generate(self, ref: Holding, following: Following) -> bool:
        """See StageStore.finish_generate."""
        return self._finish(_GENERATED, ref, following.stage.job_state, _next(following))

    def finish_verify(self, ref: Holding, result: Result) -> bool:
        """See StageStore.finish_verify."""
        return self._finish(_VERIFIED, ref, JobState.SUCCEEDED, result_out(result))

    def _finish(self, statement: str, ref: Holding, state: JobState, values: dict[str, object]) -> bool:
        check(StageState.LEASED, StageState.DONE)
        check(ref.stage.job_state, state)
        states = {"state": ref.stage.job_state.value, "next_state": state.value}
        row = self._database.single(statement, _values(ref) | states | values)
        if row is None:
            return False
        notes = [(JOBS_CHANNEL, f"{row['tenant_id']}/{ref.job_id}")]
        self._database.notify(notes if state.ended else [*notes, (OUTBOX_CHANNEL, "")])
        return True


def _values(ref: Holding) -> dict[str, object]:
    return {"job": ref.job_id, "stage": ref.stage.value, "attempt": ref.attempt, "claim": ref.claim_id}


def _next(following: Following) -> dict[str, object]:
    return {
        "next": following.stage.value,
        "budget": None if following.budget_s is None else seconds(following.budget_s),
        "degraded": None if following.degraded is None else list(following.degraded),
    }
