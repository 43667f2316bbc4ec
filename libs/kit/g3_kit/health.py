"""Readiness: a room is ready when every one of its checks finds nothing wrong and it is not draining."""

import threading
from collections.abc import Callable, Mapping

Check = Callable[[], str | None]
"""Returns None when all is well, else a short sentence that says what is wrong."""


class Health:
    """The checks of one room. Thread-safe; checks are cheap and never block for long."""

    def __init__(self) -> None:
        """No checks: ready."""
        self._checks: dict[str, Check] = {}
        self._lock = threading.Lock()
        self._draining = threading.Event()

    def add(self, name: str, check: Check) -> None:
        """Ask `check` too, under `name`."""
        with self._lock:
            self._checks[name] = check

    def problems(self) -> Mapping[str, str]:
        """What is wrong now, by the name of the check; empty means ready."""
        with self._lock:
            checks = dict(self._checks)
        found = {name: problem for name, check in checks.items() if (problem := _asked(check)) is not None}
        if self._draining.is_set():
            found["draining"] = "the room is shutting down"
        return found

    @property
    def ready(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems()

    @property
    def draining(self) -> bool:
        """Whether the room has been told to stop."""
        return self._draining.is_set()

    def drain(self) -> None:
        """From now on the room is not ready."""
        self._draining.set()


def _asked(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a check that breaks has found something wrong; it must not end its asker
        return f"the check itself failed ({type(error).__name__})"
