"""Ringing over the broker."""

from g3_kit.celery_app import Bell

from g3_orchestrator.model import OutboxRow
from g3_orchestrator.states import JobKind


class CeleryBells:
    """The role Bells, by Celery messages. Thread-safe."""

    def __init__(self, broker_url: str) -> None:
        """Connects at the first ring."""
        self._bell = Bell(broker_url)

    def ring(self, row: OutboxRow) -> None:
        """See Bells.ring."""
        body: dict[str, object] = {"job_id": str(row.job_id), "stage": row.stage.value, "attempt": row.attempt}
        if row.stage.kind is JobKind.INGEST:
            body["shard"] = row.shard
        self._bell.ring(row.stage.queue, body)

    def close(self) -> None:
        """Closes the connections."""
        self._bell.close()
