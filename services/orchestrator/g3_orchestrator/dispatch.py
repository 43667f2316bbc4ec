"""Ringing over the broker."""

from collections.abc import Iterator, Sequence

from g3_kit.celery_app import Bell

from g3_orchestrator.model import OutboxRow
from g3_orchestrator.states import JobKind


class CeleryBells:
    """The role Bells, by Celery messages. Thread-safe."""

    def __init__(self, broker_url: str) -> None:
        """Connects at the first ring."""
        self._bell = Bell(broker_url)

    def ring_all(self, rows: Sequence[OutboxRow]) -> Iterator[OutboxRow]:
        """See Bells.ring_all."""
        for index in self._bell.ring_all([(row.stage.queue, _body(row)) for row in rows]):
            yield rows[index]

    def close(self) -> None:
        """Closes the connections."""
        self._bell.close()


def _body(row: OutboxRow) -> dict[str, object]:
    body: dict[str, object] = {"job_id": str(row.job_id), "stage": row.stage.value, "attempt": row.attempt}
    if row.stage.kind is JobKind.INGEST:
        body["shard"] = row.shard
    return body
