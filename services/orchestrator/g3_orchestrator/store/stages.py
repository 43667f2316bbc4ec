# ruff: noqa: S608 - statements are put together from constants of this room
"""Stages in PostgreSQL, as the stage protocol and the sweeper take them."""

import contextlib
from collections.abc import Iterator
from uuid import UUID

from g3_kit.errors import Missing
from sqlalchemy import Connection

from g3_orchestrator.model import Answer, Retrieval
from g3_orchestrator.repeating import again
from g3_orchestrator.states import StageName
from g3_orchestrator.store.documents import Row, job_in, stage_in
from g3_orchestrator.store.engine import Database, direct
from g3_orchestrator.store.jobs import JOB_COLUMNS
from g3_orchestrator.store.result_documents import retrieval_in
from g3_orchestrator.store.work import PostgresStageWork

WORK_COLUMNS = f"""{JOB_COLUMNS},
    s.name AS stage_name, s.state AS stage_state, s.attempt AS stage_attempt, s.first_due_at AS stage_first_due_at,
    s.budget_until AS stage_budget_until, s.claim_id AS stage_claim_id, s.lease_until AS stage_lease_until,
    s.reason AS stage_reason, s.shard AS stage_shard, s.progressed AS stage_progressed, now() AS now"""

_LOCK = f"""
    SELECT {WORK_COLUMNS} FROM jobs j JOIN stages s ON s.job_id = j.job_id
    WHERE j.job_id = %(job)s AND s.name = %(stage)s AND s.shard = %(shard)s
    FOR NO KEY UPDATE OF j, s"""

_OVERDUE = f"""
    SELECT {WORK_COLUMNS} FROM stages s JOIN jobs j ON s.job_id = j.job_id
    WHERE s.wake_at <= now()
    ORDER BY s.wake_at LIMIT %(limit)s
    FOR NO KEY UPDATE OF j, s SKIP LOCKED"""

_RETRIEVAL = """
    SELECT f.similar_matches, f.dissimilar_matches, f.gps_aligned, f.gallery, j.release_model, j.release_gps,
           j.release_collection
    FROM retrievals f JOIN jobs j ON j.job_id = f.job_id AND j.tenant_id = f.tenant_id
    WHERE f.tenant_id = %(tenant)s AND f.job_id = %(job)s"""

_ANSWERS = """
    SELECT prompt, sample, text, model, prompt_tokens, answer_tokens FROM answers
    WHERE tenant_id = %(tenant)s AND job_id = %(job)s ORDER BY prompt, sample"""


class PostgresStages:
    """The role StageStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.contextmanager
    def locked(self, job_id: UUID, stage: StageName, shard: int = 0) -> Iterator[PostgresStageWork]:
        """See StageStore.locked."""
        notes: list[tuple[str, str]] = []
        with self._database.transaction(notes) as connection:
            values = {"job": job_id, "stage": stage.value, "shard": shard}
            row = direct(connection, _LOCK, values).fetchone()
            if row is None:
                raise Missing("no such stage", field="job_id")
            yield _work(connection, row, notes)

    @contextlib.contextmanager
    def overdue(self, limit: int) -> Iterator[list[PostgresStageWork]]:
        """See StageStore.overdue."""
        notes: list[tuple[str, str]] = []
        with self._database.transaction(notes) as connection:
            rows = direct(connection, _OVERDUE, {"limit": limit}).fetchall()
            yield [_work(connection, row, notes) for row in rows]

    def retrieval(self, tenant_id: UUID, job_id: UUID) -> Retrieval:
        """See StageStore.retrieval."""

        def read() -> Retrieval:
            with self._database.statement() as connection:
                row = direct(connection, _RETRIEVAL, {"tenant": tenant_id, "job": job_id}).fetchone()
            if row is None:
                raise Missing("nothing was retrieved for this job", field="job_id")
            return retrieval_in(row)

        return again(read)

    def answers(self, tenant_id: UUID, job_id: UUID) -> list[Answer]:
        """See StageStore.answers."""

        def read() -> list[Answer]:
            with self._database.statement() as connection:
                return [Answer(**row) for row in direct(connection, _ANSWERS, {"tenant": tenant_id, "job": job_id})]

        return again(read)


def _work(connection: Connection, row: Row, notes: list[tuple[str, str]]) -> PostgresStageWork:
    return PostgresStageWork(connection, job_in(row), stage_in(row), row["now"], notes)
