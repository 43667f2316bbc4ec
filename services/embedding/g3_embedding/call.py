"""One call of a client, as the domain sees it: how long it waits, and whether it has gone."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future

from g3_kit.errors import Late, Unavailable


class Call:
    """Deadline and cancellation. `cancel` may come from any thread, before or after the outcomes exist."""

    def __init__(self, deadline_s: float, clock: Callable[[], float]) -> None:
        """`deadline_s` is a time of `clock`, in seconds."""
        self.deadline_s = deadline_s
        self._clock = clock
        self._lock = threading.Lock()
        self._cancelled = False
        self._outcomes: list[Future[object]] = []

    def cancel(self) -> None:
        """Nobody waits any more: what has not reached the model is dropped."""
        with self._lock:
            self._cancelled = True
            outcomes = list(self._outcomes)
        for outcome in outcomes:
            outcome.cancel()

    def outcome(self) -> "Future[object]":
        """A new future that is cancelled with the call."""
        future: Future[object] = Future()
        with self._lock:
            self._outcomes.append(future)
            if self._cancelled:
                future.cancel()
        return future

    def wanted(self) -> bool:
        """Whether anybody still waits."""
        return not self._cancelled and self._clock() < self.deadline_s

    def results(self, outcomes: Sequence["Future[object]"]) -> list[object]:
        """Wait for all. Raises Late at the deadline, Unavailable after cancel(), and what a future raises.

        Whatever it raises, the other outcomes are cancelled: the call fails as a whole.
        """
        try:
            return [outcome.result(timeout=max(0.0, self.deadline_s - self._clock())) for outcome in outcomes]
        except TimeoutError:
            raise Late("The deadline passed before the model had answered.") from None
        except CancelledError:
            raise Unavailable("The call was cancelled.") from None
        finally:
            self.cancel()
