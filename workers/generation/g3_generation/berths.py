"""How many stages are in hand at once: a stage that the LMM cannot take is left to another worker, unclaimed."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from prometheus_client import Gauge

_STAGES = Gauge("g3_generation_stages_in_hand", "Stages that this worker has claimed and not ended.")
# What may be in hand changes with the window of calls, of which nobody tells.
_LOOK_S = 0.25


class Berths:
    """Thread-safe. `most()` says how many stages may be in hand now."""

    def __init__(self, most: Callable[[], int]) -> None:
        """None is taken."""
        self._most = most
        self._taken = 0
        self._freed = threading.Condition()

    def take(self, patience_s: float, leaving: Future[None]) -> bool:
        """Waits for a berth; False when there is none within `patience_s` or the worker leaves."""
        ends = time.monotonic() + patience_s
        with self._freed:
            while self._taken >= self._most() and not leaving.done():
                left_s = ends - time.monotonic()
                if left_s <= 0:
                    return False
                self._freed.wait(min(left_s, _LOOK_S))
            if leaving.done():
                return False
            self._taken += 1
        _STAGES.inc()
        return True

    def free(self) -> None:
        """Gives a berth back."""
        with self._freed:
            self._taken -= 1
            self._freed.notify()
        _STAGES.dec()
