"""Asks the index now and then, so that a readiness probe answers at once."""

import threading
from collections.abc import Callable


class Pulse:
    """The last answer of a check that may take a while."""

    def __init__(self, ask: Callable[[], str | None], *, every_s: float = 2.0) -> None:
        """Ask now, and every `every_s` seconds from a thread of its own."""
        self._ask = ask
        self._every_s = every_s
        self._problem = ask()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def problem(self) -> str | None:
        """What was wrong when last asked."""
        return self._problem

    def close(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._problem = self._ask()
