"""What the stages of an ingest run write beside themselves, in the transaction that holds the job's row."""

import json
from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import Connection

from g3_orchestrator.model import Stage
from g3_orchestrator.runs import IngestPlan, IngestSpec, Opened, Publication, Reject, RejectFile, Tally
from g3_orchestrator.store.engine import direct
from g3_orchestrator.store.port import OUTBOX_CHANNEL
from g3_orchestrator.store.run_documents import plan_in, tally_in

_SPEC = """
    SELECT spec, rows, shards, collection, model, dimension, source, standing FROM ingests WHERE job_id = %(job)s"""
_PLAN = """
    UPDATE ingests SET rows = %(rows)s, shards = %(shards)s, collection = %(collection)s, model = %(model)s,
        dimension = %(dimension)s, source = %(source)s, standing = %(standing)s
    WHERE job_id = %(job)s"""
_OPENED = """
    SELECT count(*) AS opened, count(*) FILTER (WHERE state = 'done') AS done FROM stages
    WHERE job_id = %(job)s AND name = 'fill'"""
_OPEN = """
    WITH stage AS (
        INSERT INTO stages (job_id, tenant_id, name, shard, state, wake_at)
        SELECT %(job)s, %(tenant)s, 'fill', shard, 'pending', now() + interval '15 seconds'
        FROM generate_series(%(first)s::int, %(first)s::int + %(count)s::int - 1) AS shard
        RETURNING job_id, tenant_id, shard
    )
    INSERT INTO outbox (job_id, tenant_id, stage, shard, attempt)
    SELECT job_id, tenant_id, 'fill', shard, 1 FROM stage"""
_TALLY = """
    SELECT read, written, held, rejected, duplicates, reasons FROM shards
    WHERE job_id = %(job)s AND shard = %(shard)s"""
_TALLIES = """
    SELECT read, written, held, rejected, duplicates, reasons FROM shards WHERE job_id = %(job)s ORDER BY shard"""
_ADVANCE = """
    WITH told AS (
        INSERT INTO shards AS s (job_id, shard, tenant_id, read, written, held, rejected, duplicates, reasons)
        VALUES (%(job)s, %(shard)s, %(tenant)s, %(read)s, %(written)s, %(held)s, %(rejected)s, %(duplicates)s,
                CAST(%(reasons)s AS jsonb))
        ON CONFLICT (job_id, shard) DO UPDATE
        SET read = excluded.read, written = excluded.written, held = excluded.held, rejected = excluded.rejected,
            duplicates = excluded.duplicates, reasons = excluded.reasons, updated_at = now()
        WHERE s.read < excluded.read
        RETURNING job_id, shard
    )
    UPDATE stages t SET progressed = t.attempt FROM told
    WHERE t.job_id = told.job_id AND t.name = 'fill' AND t.shard = told.shard"""
_REJECTS = """
    INSERT INTO rejects (job_id, tenant_id, shard, row, reference_id, code, reason)
    SELECT %(job)s, %(tenant)s, %(shard)s, r.row, r.id, r.code, r.reason
    FROM unnest(CAST(%(rows)s AS bigint[]), CAST(%(ids)s AS text[]), CAST(%(codes)s AS text[]),
                CAST(%(texts)s AS text[])) AS r (row, id, code, reason)
    ON CONFLICT DO NOTHING"""
_FILE = """
    INSERT INTO reject_files (job_id, tenant_id, shard, first_row, sha256, rejects)
    VALUES (%(job)s, %(tenant)s, %(shard)s, %(first)s, %(sha256)s, %(rejects)s) ON CONFLICT DO NOTHING"""
_KEPT = "SELECT count(*) AS kept FROM rejects WHERE job_id = %(job)s AND shard = %(shard)s"
_PUBLICATION = """
    UPDATE ingests SET counted = %(counted)s, recall_similar = %(similar)s, recall_dissimilar = %(dissimilar)s,
        published = %(published)s, previous = CASE WHEN %(previous)s = '' THEN previous ELSE %(previous)s END
    WHERE job_id = %(job)s"""
_CLOSE_OTHERS = """
    UPDATE stages SET state = 'dead', reason = %(reason)s, ended_at = now(), wake_at = NULL, lease_until = NULL
    WHERE job_id = %(job)s AND state NOT IN ('done', 'dead') AND NOT (name = %(stage)s AND shard = %(shard)s)"""


class PostgresRunWork:
    """The role RunWork."""

    def __init__(self, connection: Connection, stage: Stage, notes: list[tuple[str, str]]) -> None:
        self._connection = connection
        self._stage = stage
        self._notes = notes

    def spec(self) -> IngestSpec:
        """See RunWork.spec."""
        return IngestSpec.from_json(self._one(_SPEC)["spec"])

    def plan(self) -> IngestPlan | None:
        """See RunWork.plan."""
        return plan_in(self._one(_SPEC))

    def keep_plan(self, plan: IngestPlan) -> None:
        """See RunWork.keep_plan."""
        self._run(
            _PLAN,
            rows=plan.rows,
            shards=plan.shards,
            collection=plan.collection,
            model=plan.model,
            dimension=plan.dimension,
            source=plan.source,
            standing=plan.standing,
        )

    def opened(self) -> Opened:
        """See RunWork.opened."""
        row = self._one(_OPENED)
        return Opened(row["opened"], row["done"])

    def open(self, first: int, count: int) -> None:
        """See RunWork.open."""
        if count > 0:
            self._run(_OPEN, first=first, count=count)
            self._notes.append((OUTBOX_CHANNEL, ""))

    def tally(self) -> Tally:
        """See RunWork.tally."""
        row = self._run(_TALLY).fetchone()
        return Tally() if row is None else tally_in(row)

    def total(self) -> Tally:
        """See RunWork.total."""
        return sum((tally_in(row) for row in self._run(_TALLIES)), Tally())

    def advance(self, tally: Tally, rejects: Sequence[Reject], file: RejectFile | None) -> bool:
        """See RunWork.advance."""
        counts = {name: getattr(tally, name) for name in ("read", "written", "held", "rejected", "duplicates")}
        if not self._run(_ADVANCE, **counts, reasons=json.dumps(dict(tally.reasons))).rowcount:
            return False
        if rejects:
            self._run(
                _REJECTS,
                rows=[reject.row for reject in rejects],
                ids=[reject.reference_id for reject in rejects],
                codes=[reject.code for reject in rejects],
                texts=[reject.reason for reject in rejects],
            )
        if file is not None:
            self._run(_FILE, first=file.first_row, sha256=file.sha256, rejects=file.rejects)
        return True

    def kept_rejects(self) -> int:
        """See RunWork.kept_rejects."""
        return int(self._one(_KEPT)["kept"])

    def keep_publication(self, publication: Publication) -> None:
        """See RunWork.keep_publication."""
        self._run(
            _PUBLICATION,
            counted=publication.counted,
            similar=publication.recall_similar,
            dissimilar=publication.recall_dissimilar,
            published=publication.published,
            previous=publication.previous,
        )

    def close_others(self, reason: str) -> None:
        """See RunWork.close_others."""
        self._run(_CLOSE_OTHERS, reason=reason)

    def _one(self, statement: str) -> dict[str, Any]:
        row = self._run(statement).fetchone()
        assert row is not None  # noqa: S101 - an ingest job has its row, and count(*) gives one
        return row

    def _run(self, statement: str, **values: object) -> psycopg.Cursor[dict[str, Any]]:
        stage = self._stage
        ids = {"job": stage.job_id, "tenant": stage.tenant_id, "stage": stage.name.value, "shard": stage.shard}
        return direct(self._connection, statement, ids | values)
