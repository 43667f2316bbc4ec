"""Waiting for a job to change: one LISTEN connection for the whole process, however many callers wait.

A notification may be lost, so it only shortens a wait: every waiter looks again by itself after a pause, and nobody
hangs.
"""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from g3_orchestrator.store.port import JOBS_CHANNEL, Changes

# What looking after lost notifications may cost the database: queries a second in all.
_LOOKS_PER_S = 100.0


class Watches:
    """Wakes whoever waits for a job when PostgreSQL announces a change of it."""

    def __init__(self, changes: Changes, *, poll_s: float = 1.0) -> None:
        """`poll_s` is the longest a waiter sleeps without looking again, as long as few are waiting."""
        self._poll_s = poll_s
        self._changes = changes
        self._lock = threading.Lock()
        self._wakers: dict[str, set[Callable[[], None]]] = {}
        self._waiting = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="watches", daemon=True)

    @property
    def pause_s(self) -> float:
        """How long a waiter may sleep: longer the more of them there are, so that their looking stays bearable."""
        pause_s = max(self._poll_s, self._waiting / _LOOKS_PER_S)
        # a thousand waiters must not look again in the same instant
        return pause_s * random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing

    @property
    def closing(self) -> bool:
        """Whether the process is going down: streams end, their readers come back to another one."""
        return self._closing.is_set()

    def start(self) -> Self:
        """Begins to listen."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Wakes every waiter and stops listening."""
        self._closing.set()
        self._wake_all()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def of_job(self, job_id: str) -> Iterator["Waiter"]:
        """A waiter for threads. Subscribe first, read the job next: then no change falls in between."""
        waiter = Waiter(self)
        with self._subscribed(job_id, waiter.wake):
            yield waiter

    @contextmanager
    def of_job_async(self, job_id: str) -> Iterator["AsyncWaiter"]:
        """As `of_job`, for a coroutine: it waits without a thread."""
        waiter = AsyncWaiter(self)
        with self._subscribed(job_id, waiter.wake):
            yield waiter

    def _listen(self) -> None:
        self._changes.listen(JOBS_CHANNEL, self._closing, self._heard)

    @contextmanager
    def _subscribed(self, job_id: str, waker: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            self._wakers.setdefault(job_id, set()).add(waker)
            self._waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                wakers = self._wakers.get(job_id, set())
                wakers.discard(waker)
                if not wakers:
                    self._wakers.pop(job_id, None)

    def _heard(self, payloads: Sequence[str]) -> None:
        with self._lock:
            wakers = [wake for payload in payloads for wake in self._wakers.get(payload.rpartition("/")[2], ())]
        for wake in wakers:
            wake()

    def _wake_all(self) -> None:
        with self._lock:
            wakers = [wake for group in self._wakers.values() for wake in group]
        for wake in wakers:
            wake()


class Waiter:
    """Sleeps until its job may have changed."""

    def __init__(self, watches: Watches) -> None:
        """`watches` says how long a sleep may be."""
        self._watches = watches
        self._woken = threading.Event()

    def wake(self) -> None:
        """Ends the sleep, or the next one when nobody sleeps."""
        self._woken.set()

    def sleep(self, at_most_s: float) -> None:
        """Returns after a change, after a pause or after `at_most_s`, whichever comes first."""
        self._woken.wait(max(0.0, min(at_most_s, self._watches.pause_s)))
        self._woken.clear()


class AsyncWaiter:
    """As `Waiter`, in the running event loop."""

    def __init__(self, watches: Watches) -> None:
        """`watches` says how long a sleep may be."""
        self._watches = watches
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Ends the sleep; may be called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def sleep(self, at_most_s: float) -> None:
        """Returns after a change, after a pause or after `at_most_s`, whichever comes first."""
        try:
            async with asyncio.timeout(max(0.0, min(at_most_s, self._watches.pause_s))):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()
