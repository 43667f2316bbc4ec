"""How many calls are in flight at once: as many as keep the LMM server busy, and no more than wait there.

Additive increase, multiplicative decrease, as TCP does (RFC 5681). What tells that the server is full is, in this
order: the queue that it reports (more sequences waiting than running), its 429, answers that take more than half of
the time that a call may take.
"""

import asyncio
import time
from collections import deque

from prometheus_client import Gauge

_SIZE = Gauge("g3_generation_lmm_window", "Calls that may be in flight at once now.")
_FLYING = Gauge("g3_generation_lmm_calls", "Calls in flight.")
_START = 8
_HOLD_S = 30.0  # longest that one Retry-After stops all calls
_FRESH_S = 10.0  # a report of the server counts so long


class Window:
    """Belongs to one event loop; `size` may be read from any thread. Each call is between `enter` and `leave`."""

    def __init__(self, ceiling: int) -> None:
        """`ceiling` is never passed; it begins with a few calls and doubles with each round of answers."""
        self._ceiling = ceiling
        self._size = float(min(ceiling, _START))
        self._slow_start = True
        self._taken = 0
        self._turns: deque[asyncio.Future[None]] = deque()
        self._shrunk = 0.0
        self._full_at = 0.0
        self._held_until = 0.0
        self._roomy_at: tuple[bool, float] = (True, 0.0)
        _SIZE.set(self.size)

    @property
    def size(self) -> int:
        """Calls that may be in flight now; at least 1."""
        return int(self._size)

    @property
    def taken(self) -> int:
        """Calls in flight."""
        return self._taken

    async def enter(self) -> float:
        """Waits for a turn and returns when it came (time.monotonic); `leave` must follow."""
        while not self._free():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._turns.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                # The turn may have come just now: it is the next one's.
                self._wake()
                raise
        self._taken += 1
        _FLYING.inc()
        now = time.monotonic()
        if self._taken >= self.size:
            self._full_at = now
        return now

    def leave(self) -> None:
        """The call has ended, in whatever way."""
        self._taken -= 1
        _FLYING.dec()
        self._wake()

    def answered(self, began: float, deadline_s: float) -> None:
        """A call whose turn came at `began` and that might have taken `deadline_s` was answered."""
        roomy, at = self._roomy_at
        reported = time.monotonic() - at < _FRESH_S
        if not reported and time.monotonic() - began > deadline_s / 2:
            self._shrink(0.75, began)
        elif (roomy or not reported) and self._full_at >= began:
            # Only what was full while the call was in flight has shown that it is too small.
            self._size = min(self._ceiling, self._size + (1.0 if self._slow_start else 1.0 / self._size))
            self._resized()

    def full(self, began: float, retry_after_s: float | None) -> None:
        """The server answered 429, or not in time."""
        self._shrink(0.5, began)
        if retry_after_s:
            self._held_until = max(self._held_until, time.monotonic() + min(retry_after_s, _HOLD_S))
            asyncio.get_running_loop().call_later(min(retry_after_s, _HOLD_S), self._wake)

    def reported(self, waiting: float, running: float) -> None:
        """The server says how many sequences wait and run there."""
        self._roomy_at = (waiting <= running / 2, time.monotonic())
        # One more batch may wait, so that the server never starves; what is beyond has to drain before more is judged.
        if waiting > max(running, 1.0) and self._taken <= self.size:
            self._shrink(0.8, time.monotonic())

    def _shrink(self, factor: float, began: float) -> None:
        """Once for all calls that were in flight together."""
        if began < self._shrunk:
            return
        self._shrunk = time.monotonic()
        self._slow_start = False
        self._size = max(1.0, min(self._size, float(max(self._taken, 1))) * factor)
        self._resized()

    def _free(self) -> bool:
        return self._taken < self.size and time.monotonic() >= self._held_until

    def _wake(self) -> None:
        free = self.size - self._taken if time.monotonic() >= self._held_until else 0
        while free > 0 and self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1

    def _resized(self) -> None:
        _SIZE.set(self.size)
        self._wake()
