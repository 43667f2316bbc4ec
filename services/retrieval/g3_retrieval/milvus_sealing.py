"""Seals versions of milvus-lite by itself some time after they were written to.

It compares fresh rows one by one in Python: at 3 x 128 each thousand of them add 70 ms to every search, until a flush.
Publishing flushes; this does for what is written to a version that is published already. A core needs none of it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from g3_kit import logs
from g3_kit.errors import G3Error
from pymilvus.exceptions import MilvusException

from g3_retrieval.references import Version

ROWS, QUIET_S, _EVERY_S = 4_000, 2.0, 0.5
"""Sealed when so many rows are fresh, or when nothing was written for so long."""
_log = logs.get("g3_retrieval.milvus")


@dataclass(slots=True)
class _Fresh:
    rows: int
    written_at: float


class MilvusSealing:
    """A thread that calls `seal` for what is due; `close` ends it. Thread-safe."""

    def __init__(self, seal: Callable[[Version], None]) -> None:
        """`seal` flushes a version if it is published; publishing flushes the others."""
        self._seal = seal
        self._fresh: dict[Version, _Fresh] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sealing", daemon=True)
        self._thread.start()

    def written(self, version: Version, rows: int) -> None:
        """So many rows were written to a version."""
        with self._lock:
            fresh = self._fresh.setdefault(version, _Fresh(0, 0.0))
            fresh.rows += rows
            fresh.written_at = time.monotonic()

    def sealed(self, version: Version) -> None:
        """A version was sealed, or dropped."""
        with self._lock:
            self._fresh.pop(version, None)

    def close(self) -> None:
        """Seal no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            for version in self._due():
                try:
                    self._seal(version)
                except (G3Error, MilvusException) as error:
                    # Milvus is away: searches say so, and this is tried again.
                    _log.warning("version not sealed", collection=version.name, reason=str(error))
                    self.written(version, 0)

    def _due(self) -> list[Version]:
        now = time.monotonic()
        with self._lock:
            due = [v for v, fresh in self._fresh.items() if fresh.rows >= ROWS or now - fresh.written_at >= QUIET_S]
            for version in due:
                del self._fresh[version]
        return due
