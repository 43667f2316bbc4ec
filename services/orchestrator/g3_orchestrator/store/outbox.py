"""The outbox in PostgreSQL: rows become messages, several relays at once."""

import contextlib
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from g3_orchestrator.model import OutboxRow
from g3_orchestrator.states import StageName
from g3_orchestrator.store.documents import seconds
from g3_orchestrator.store.engine import Database, direct

_TAKE = """
    SELECT outbox_id, job_id, stage, shard, attempt FROM outbox
    WHERE sent_at IS NULL ORDER BY outbox_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED"""

# A stage that somebody holds is being claimed already and needs no mark. The lateral makes one look by key of each row:
# as a plain join it was planned as a walk through every open stage.
_SENT = """
    WITH sent AS (
        UPDATE outbox SET sent_at = now() WHERE outbox_id = ANY(%(ids)s) RETURNING job_id, stage, shard, attempt
    ), free AS (
        SELECT held.job_id, held.name, held.shard FROM sent CROSS JOIN LATERAL (
            SELECT s.job_id, s.name, s.shard FROM stages s
            WHERE s.job_id = sent.job_id AND s.name = sent.stage AND s.shard = sent.shard
              AND s.attempt = sent.attempt AND s.state = 'pending'
            FOR UPDATE SKIP LOCKED
        ) held
    )
    UPDATE stages s
    SET state = 'dispatched', rings = rings + 1,
        wake_at = least(now() + CAST(%(again)s AS interval) * least(power(2, rings), 8), budget_until)
    FROM free WHERE s.job_id = free.job_id AND s.name = free.name AND s.shard = free.shard"""

_PRUNE = text("""
    DELETE FROM outbox WHERE outbox_id IN (
        SELECT outbox_id FROM outbox WHERE sent_at < now() - CAST(:age AS interval)
        ORDER BY sent_at LIMIT 10000 FOR UPDATE SKIP LOCKED
    )""")


class PostgresOutboxBatch:
    """The role OutboxBatch."""

    def __init__(self, connection: Connection, rows: Sequence[OutboxRow]) -> None:
        self._connection = connection
        self.rows = rows

    def mark_sent(self, rows: Sequence[OutboxRow], again_s: float) -> None:
        """See OutboxBatch.mark_sent. The waits double with every ring, up to eight times `again_s`."""
        if rows:
            values = {"ids": [row.outbox_id for row in rows], "again": seconds(again_s)}
            direct(self._connection, _SENT, values)


class PostgresOutbox:
    """The role OutboxStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextlib.contextmanager
    def outgoing(self, limit: int) -> Iterator[PostgresOutboxBatch]:
        """See OutboxStore.outgoing."""
        with self._database.transaction() as connection:
            taken = direct(connection, _TAKE, {"limit": limit})
            rows = [
                OutboxRow(row["outbox_id"], row["job_id"], StageName(row["stage"]), row["attempt"], row["shard"])
                for row in taken
            ]
            yield PostgresOutboxBatch(connection, rows)

    def prune(self, older_than_s: float) -> int:
        """See OutboxStore.prune."""
        with self._database.statement() as connection:
            return connection.execute(_PRUNE, {"age": seconds(older_than_s)}).rowcount
