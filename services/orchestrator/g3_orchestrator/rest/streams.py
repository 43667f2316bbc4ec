"""Waiting in the event loop: `Prefer: wait` and server-sent events. No thread sleeps here."""

import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar, TypeVarTuple
from uuid import UUID

import anyio
from g3_kit import logs
from g3_kit.errors import Exhausted, G3Error

from g3_orchestrator.jobs import Jobs
from g3_orchestrator.model import Job
from g3_orchestrator.rest import documents

Given = TypeVar("Given")
Arguments = TypeVarTuple("Arguments")

_log = logs.get(__name__)


class Threads:
    """Runs blocking work in a bounded number of threads; more of it waits its turn."""

    def __init__(self, count: int) -> None:
        """At most `count` at a time."""
        self._limiter = anyio.CapacityLimiter(count)

    async def run(self, work: Callable[[*Arguments], Given], *arguments: *Arguments) -> Given:
        """What `work(*arguments)` returns or raises."""
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._limiter)


class Streams:
    """Waits for jobs on behalf of REST callers, at most `at_once` of them."""

    def __init__(self, jobs: Jobs, threads: Threads, *, at_once: int = 1000, heartbeat_s: float = 15.0) -> None:
        """`heartbeat_s` is the longest silence on a stream, shorter than what proxies bear."""
        self._jobs = jobs
        self._threads = threads
        self._free = at_once
        self._heartbeat_s = heartbeat_s

    async def ended(self, tenant_id: UUID, job: Job, wait_s: float) -> Job:
        """The job once it has ended, or as it stands after `wait_s`. Waits not at all when too many are waiting."""
        if job.state.ended or self._free <= 0:
            return job
        job_id, until = str(job.job_id), time.monotonic() + wait_s
        self._free -= 1
        try:
            with self._jobs.watches.of_job_async(job_id) as waiter:
                while not self._jobs.watches.closing:
                    if await self._threads.run(self._jobs.events, tenant_id, job_id, job.last_event):
                        job = await self._threads.run(self._jobs.get, tenant_id, job_id)
                    left_s = until - time.monotonic()
                    if job.state.ended or left_s <= 0:
                        break
                    await waiter.sleep(left_s)
        finally:
            self._free += 1
        return job

    async def events(self, tenant_id: UUID, job_id: str, after_event: int) -> AsyncIterator[str] | None:
        """The job's events in the format of server-sent events (WHATWG HTML §9.2), until it has ended.

        None when there will never be another. Raises Missing or Exhausted, before the first byte is sent.
        """
        if self._free <= 0:
            raise Exhausted("Too many streams are open.", retry_after_s=5)
        seen = await self._threads.run(self._jobs.resumed, tenant_id, job_id, after_event)
        return None if seen is None else self._told(tenant_id, job_id.lower(), seen)

    async def _told(self, tenant_id: UUID, job_id: str, seen: int) -> AsyncIterator[str]:
        self._free -= 1
        try:
            # a browser comes back after so many milliseconds
            yield "retry: 1000\n\n"
            spoke = time.monotonic()
            with self._jobs.watches.of_job_async(job_id) as waiter:
                while not self._jobs.watches.closing:
                    for event in await self._threads.run(self._jobs.events, tenant_id, job_id, seen):
                        seen, spoke = event.event_id, time.monotonic()
                        data = documents.written(documents.event(event)).decode()
                        yield f"id: {seen}\nevent: job\ndata: {data}\n\n"
                        if event.job.state.ended:
                            return
                    if time.monotonic() - spoke >= self._heartbeat_s:
                        spoke = time.monotonic()
                        yield ": still here\n\n"
                    await waiter.sleep(self._heartbeat_s)
        except G3Error as error:
            # the headers are gone already: the caller comes back with Last-Event-ID and gets the problem then
            _log.warning("a stream was cut", job_id=job_id, code=error.code, reason=error.message)
        finally:
            self._free += 1
