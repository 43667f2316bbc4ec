"""The sweeper: whatever is overdue is rung again, taken back or given up. Any number of sweepers may run."""

import time
from threading import Event as Flag

from g3_kit import logs
from g3_kit.errors import G3Error
from prometheus_client import Counter

from g3_orchestrator.stages import Stages
from g3_orchestrator.store.port import OutboxStore

_log = logs.get("g3_orchestrator.sweeper")
_SWEPT = Counter("g3_sweeper_stages_total", "Overdue stages by what was done.", ["what"])
_PRUNE_EVERY_S = 60.0
_KEEP_SENT_S = 3600.0


class Sweeper:
    """Looks after overdue stages once a second."""

    def __init__(self, stages: Stages, outbox: OutboxStore, *, every_s: float = 1.0, batch: int = 100) -> None:
        self._stages = stages
        self._outbox = outbox
        self._every_s = every_s
        self._batch = batch

    def sweep(self) -> int:
        """Everything that is overdue now; how many stages. Raises Unavailable."""
        total = 0
        while True:
            swept = self._stages.sweep(self._batch)
            _SWEPT.labels("rung").inc(swept.rung)
            _SWEPT.labels("taken_back").inc(swept.taken_back)
            _SWEPT.labels("given_up").inc(swept.given_up)
            total += swept.total
            if swept.total < self._batch:
                return total

    def run(self, stop: Flag) -> None:
        """Sweeps until `stop` is set; blocks."""
        pruned_at = time.monotonic()
        while not stop.wait(self._every_s):
            try:
                if total := self.sweep():
                    _log.info("swept", stages=total)
                if time.monotonic() - pruned_at >= _PRUNE_EVERY_S:
                    pruned_at = time.monotonic()
                    self._outbox.prune(_KEEP_SENT_S)
            except G3Error as error:
                _log.warning("a sweep was cut short", code=error.code, reason=error.message)
