"""The relay: outbox rows become messages. Any number of relays may run; a row is sent by one of them.

A relay that dies between sending and its commit sends those rows again: the claim refuses the second message.
"""

from collections.abc import Sequence
from threading import Event as Flag

from g3_kit import logs
from g3_kit.errors import G3Error, Unavailable
from prometheus_client import Counter

from g3_orchestrator.model import OutboxRow
from g3_orchestrator.ports import Bells
from g3_orchestrator.store.port import OUTBOX_CHANNEL, Changes, OutboxStore

_log = logs.get("g3_orchestrator.relay")
_SENT = Counter("g3_relay_messages_total", "Messages handed to the broker.", ["queue"])
_FAILED = Counter("g3_relay_failures_total", "Passes that ended early because a part was away.")


class Relay:
    """Sends what is in the outbox."""

    def __init__(self, store: OutboxStore, bells: Bells, *, batch: int = 20, ring_again_s: float = 15.0) -> None:
        """`batch` rows are held at a time: few enough that several relays share a burst."""
        self._store = store
        self._bells = bells
        self._batch = batch
        self._ring_again_s = ring_again_s
        self._wait_s = 0.0

    def send(self) -> int:
        """One batch; how many rows were sent. Raises Unavailable when the broker refused, after marking the others."""
        refusal: Unavailable | None = None
        sent: list[OutboxRow] = []
        with self._store.outgoing(self._batch) as batch:
            try:
                for row in self._bells.ring_all(batch.rows):
                    sent.append(row)
                    _SENT.labels(row.stage.queue).inc()
            except Unavailable as error:
                refusal = error
            batch.mark_sent(sent, self._ring_again_s)
        if refusal is not None:
            raise refusal
        return len(sent)

    def run(self, changes: Changes, stop: Flag) -> None:
        """Sends whatever comes until `stop` is set; blocks. Woken by notifications, and looking every 0.2 s."""

        def woken(_: Sequence[str]) -> None:
            self._drain(stop)

        changes.listen(OUTBOX_CHANNEL, stop, woken, every_s=0.2)

    def _drain(self, stop: Flag) -> None:
        while not stop.is_set():
            try:
                if self.send() < self._batch:
                    self._wait_s = 0.0
                    return
            except G3Error as error:
                _FAILED.inc()
                self._wait_s = min(max(self._wait_s * 2, 0.2), 5.0)
                _log.warning("the relay waits", code=error.code, reason=error.message, seconds=self._wait_s)
                stop.wait(self._wait_s)
