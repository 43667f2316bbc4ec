"""Keeping the leases of the stages that this process works on."""

import contextlib
import threading
from collections.abc import Iterator

from g3_kit import logs
from g3_kit.errors import G3Error

from g3_orchestrator.stages import Ref, Stages

_log = logs.get("g3_orchestrator.leases")


class Leases:
    """One thread renews every held lease at a third of its length. Most stages end before their first renewal."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._held: dict[Ref, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._every_s = stages.policy.lease_s / 3
        self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def kept(self, ref: Ref) -> Iterator[None]:
        """Renews the claimed stage as long as the context is open. A lost lease shows when the stage is completed."""
        with self._lock:
            self._held[ref] = 0.0
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(ref, None)

    def close(self) -> None:
        """Stops renewing."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _keep(self) -> None:
        # Twice as often as needed, so that no lease is older than two thirds of its length.
        while not self._stop.wait(self._every_s / 2):
            with self._lock:
                due = [ref for ref, age_s in self._held.items() if age_s > 0]
                self._held = {ref: age_s + self._every_s / 2 for ref, age_s in self._held.items()}
            for ref in due:
                self._renew(ref)

    def _renew(self, ref: Ref) -> None:
        try:
            self._stages.renew(ref)
        except G3Error as error:
            _log.warning("a lease was not renewed", job_id=str(ref.job_id), stage=ref.stage.value, reason=error.message)
