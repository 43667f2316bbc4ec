"""`AsyncG3`: the API for code that awaits. It drives the same flows as `G3`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import httpx

from g3_client import config, flows, ingests, wire
from g3_client.events import Following
from g3_client.flows import LOCATE_S, Flow, Outcome, Patience, Pause
from g3_client.ingests import Ingest, IngestPage
from g3_client.models import Job, JobEvent, JobPage, JobState, Readiness, View
from g3_client.photo import Photo
from g3_client.wire import AnyParameters, Call

T = TypeVar("T")


class AsyncG3:
    """A connection to a G3 server. Tasks of one event loop may share it; close it, or use it with `async with`.

    Every method raises the tree of `g3_client.errors` and nothing of httpx.
    """

    def __init__(
        self,
        url: str = "",
        api_key: str = "",
        *,
        patience: Patience | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Without `url` and `api_key` they come from the environment or the file that `g3 up` writes.

        Raises Misconfigured.
        """
        self.connection = config.find(url, api_key)
        self._patience = patience or Patience()
        self._http = httpx.AsyncClient(
            base_url=self.connection.url,
            headers=wire.headers(self.connection),
            trust_env=not self.connection.loopback,
            transport=transport,
        )

    async def submit(
        self,
        photo: Photo,
        *,
        parameters: AnyParameters | None = None,
        label: str = "",
        idempotency_key: str | None = None,
        wait_s: float = 0.0,
    ) -> Job:
        """Submits a photo (path, bytes or binary file); the server answers after `wait_s` seconds at the latest.

        The same `idempotency_key` gives the same job; without one a fresh key is used.
        Raises UnusablePhoto, Problem (Rejected, TooLarge, …), ConnectionFailed, TimedOut.
        """
        return await self._run(flows.submitted(photo, parameters, label, idempotency_key, wait_s, self._patience))

    async def get(self, job: Job | str) -> Job:
        """A job as it stands. Raises Missing."""
        return await self._run(flows.got(job, self._patience))

    async def list(
        self, *, state: JobState | str | None = None, page_size: int | None = None, view: View = ""
    ) -> AsyncIterator[Job]:
        """The jobs, newest first, read page by page while you iterate; see `G3.list`."""
        cursor = ""
        while True:
            page = await self.page(state=state, limit=page_size, cursor=cursor, view=view)
            for job in page.jobs:
                yield job
            if not page.next_cursor:
                return
            cursor = page.after(cursor)

    async def page(
        self, *, state: JobState | str | None = None, limit: int | None = None, cursor: str = "", view: View = ""
    ) -> JobPage:
        """One page of the listing; its `next_cursor` asks for the one after."""
        return await self._run(flows.page(state, limit, cursor, self._patience, view))

    async def cancel(self, job: Job | str) -> Job:
        """Ends a job. Raises Conflict once it has ended in another way, Missing."""
        return await self._run(flows.cancelled(job, self._patience))

    async def watch(
        self, job: Job | str, *, after_event: int = 0, timeout_s: float | None = None
    ) -> AsyncGenerator[JobEvent, None]:
        """The events of a job until it has ended; a broken stream is resumed after the event seen last.

        Raises TimedOut after `timeout_s` seconds, ConnectionFailed when resuming brings nothing any more.
        """
        following = Following(wire.id_of(job), after_event, timeout_s, self._patience)
        while not following.over():
            outcome: Outcome = None
            try:
                async with self._http.stream(**following.call().arguments()) as response:
                    if response.is_success:
                        following.opened(response)
                        async for chunk in response.aiter_bytes():
                            for event in following.feed(chunk):
                                yield event
                            if following.over():
                                return
                    else:
                        await response.aread()
                        outcome = response
            except httpx.RequestError as error:
                outcome = error
            if following.over():
                return
            wait_s = following.interrupted(outcome)
            if following.idle and (await self.get(job)).ended:
                return
            await asyncio.sleep(wait_s)

    async def wait(
        self, job: Job | str, timeout_s: float = LOCATE_S, *, on_change: Callable[[Job], object] | None = None
    ) -> Job:
        """The job once it has ended, whichever way. Raises TimedOut after `timeout_s` seconds."""
        return await self._run(flows.ended(job, timeout_s, self._patience, on_change))

    async def locate(
        self,
        photo: Photo,
        *,
        parameters: AnyParameters | None = None,
        label: str = "",
        idempotency_key: str | None = None,
        timeout_s: float = LOCATE_S,
    ) -> Job:
        """Submits a photo and waits for the end of its job: `result` says where, `failure` why not."""
        return await self._run(flows.located(photo, parameters, label, idempotency_key, timeout_s, self._patience))

    async def submit_ingest(self, source: str, *, idempotency_key: str | None = None, **spec: Any) -> Ingest:
        """Submits an ingest run of `source`; `spec` are the other fields of `IngestSpec`, and `label`.

        Raises Problem (Rejected, …), ConnectionFailed, TimedOut.
        """
        return await self._run(ingests.submitted({"source": source, **spec}, idempotency_key, self._patience))

    async def ingest(self, ingest: Ingest | str) -> Ingest:
        """An ingest run as it stands, with its shards. Raises Missing."""
        return await self._run(ingests.got(ingest, self._patience))

    async def ingests(
        self, *, state: JobState | str | None = None, limit: int | None = None, cursor: str = ""
    ) -> IngestPage:
        """One page of ingest runs, newest first; its `next_cursor` asks for the one after."""
        return await self._run(ingests.page(state, limit, cursor, self._patience))

    async def cancel_ingest(self, ingest: Ingest | str) -> Ingest:
        """Ends an ingest run; its shards stop at their next batch. Raises Conflict once it has ended, Missing."""
        return await self._run(ingests.cancelled(ingest, self._patience))

    async def ingest_rejects(self, ingest: Ingest | str) -> str:
        """Every row that was not inserted, and why, as CSV: row, id, code, reason. Raises Missing."""
        return await self._run(ingests.rejects(ingest, self._patience))

    async def readiness(self) -> Readiness:
        """Whether the server takes work, and what is wrong when it does not."""
        return await self._run(flows.readied())

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                outcome = await self._done(flow.send(outcome))
        except StopIteration as end:
            return cast(T, end.value)

    async def _done(self, step: Call | Pause) -> Outcome:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return await self._http.request(**step.arguments())
        except httpx.RequestError as error:
            return error
