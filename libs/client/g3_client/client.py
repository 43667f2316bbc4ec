"""`G3`: the API for code that blocks."""

import time
from collections.abc import Callable, Iterator
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


class G3:
    """A connection to a G3 server. Threads may share it; close it, or use it as a context manager.

    Every method raises the tree of `g3_client.errors` and nothing of httpx.
    """

    def __init__(
        self,
        url: str = "",
        api_key: str = "",
        *,
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Without `url` and `api_key` they come from the environment or the file that `g3 up` writes.

        Raises Misconfigured.
        """
        self.connection = config.find(url, api_key)
        self._patience = patience or Patience()
        self._http = httpx.Client(
            base_url=self.connection.url,
            headers=wire.headers(self.connection),
            trust_env=not self.connection.loopback,
            transport=transport,
        )

    def submit(
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
        return self._run(flows.submitted(photo, parameters, label, idempotency_key, wait_s, self._patience))

    def get(self, job: Job | str) -> Job:
        """A job as it stands. Raises Missing."""
        return self._run(flows.got(job, self._patience))

    def list(
        self, *, state: JobState | str | None = None, page_size: int | None = None, view: View = ""
    ) -> Iterator[Job]:
        """The jobs, newest first, read page by page while you iterate.

        Summaries, without candidates, references, answers and timings, unless `view` is "full".
        """
        cursor = ""
        while True:
            page = self.page(state=state, limit=page_size, cursor=cursor, view=view)
            yield from page.jobs
            if not page.next_cursor:
                return
            cursor = page.after(cursor)

    def page(
        self, *, state: JobState | str | None = None, limit: int | None = None, cursor: str = "", view: View = ""
    ) -> JobPage:
        """One page of the listing; its `next_cursor` asks for the one after."""
        return self._run(flows.page(state, limit, cursor, self._patience, view))

    def cancel(self, job: Job | str) -> Job:
        """Ends a job. Raises Conflict once it has ended in another way, Missing."""
        return self._run(flows.cancelled(job, self._patience))

    def watch(self, job: Job | str, *, after_event: int = 0, timeout_s: float | None = None) -> Iterator[JobEvent]:
        """The events of a job until it has ended; a broken stream is resumed after the event seen last.

        Raises TimedOut after `timeout_s` seconds, ConnectionFailed when resuming brings nothing any more.
        """
        following = Following(wire.id_of(job), after_event, timeout_s, self._patience)
        while not following.over():
            outcome: Outcome = None
            try:
                with self._http.stream(**following.call().arguments()) as response:
                    if response.is_success:
                        following.opened(response)
                        for chunk in response.iter_bytes():
                            yield from following.feed(chunk)
                            if following.over():
                                return
                    else:
                        response.read()
                        outcome = response
            except httpx.RequestError as error:
                outcome = error
            if following.over():
                return
            wait_s = following.interrupted(outcome)
            if following.idle and self.get(job).ended:
                return
            time.sleep(wait_s)

    def wait(
        self, job: Job | str, timeout_s: float = LOCATE_S, *, on_change: Callable[[Job], object] | None = None
    ) -> Job:
        """The job once it has ended, whichever way. Raises TimedOut after `timeout_s` seconds."""
        return self._run(flows.ended(job, timeout_s, self._patience, on_change))

    def locate(
        self,
        photo: Photo,
        *,
        parameters: AnyParameters | None = None,
        label: str = "",
        idempotency_key: str | None = None,
        timeout_s: float = LOCATE_S,
    ) -> Job:
        """Submits a photo and waits for the end of its job: `result` says where, `failure` why not."""
        return self._run(flows.located(photo, parameters, label, idempotency_key, timeout_s, self._patience))

    def submit_ingest(self, source: str, *, idempotency_key: str | None = None, **spec: Any) -> Ingest:
        """Submits an ingest run of `source`; `spec` are the other fields of `IngestSpec`, and `label`.

        Raises Problem (Rejected, …), ConnectionFailed, TimedOut.
        """
        return self._run(ingests.submitted({"source": source, **spec}, idempotency_key, self._patience))

    def ingest(self, ingest: Ingest | str) -> Ingest:
        """An ingest run as it stands, with its shards. Raises Missing."""
        return self._run(ingests.got(ingest, self._patience))

    def ingests(self, *, state: JobState | str | None = None, limit: int | None = None, cursor: str = "") -> IngestPage:
        """One page of ingest runs, newest first; its `next_cursor` asks for the one after."""
        return self._run(ingests.page(state, limit, cursor, self._patience))

    def cancel_ingest(self, ingest: Ingest | str) -> Ingest:
        """Ends an ingest run; its shards stop at their next batch. Raises Conflict once it has ended, Missing."""
        return self._run(ingests.cancelled(ingest, self._patience))

    def ingest_rejects(self, ingest: Ingest | str) -> str:
        """Every row that was not inserted, and why, as CSV: row, id, code, reason. Raises Missing."""
        return self._run(ingests.rejects(ingest, self._patience))

    def readiness(self) -> Readiness:
        """Whether the server takes work, and what is wrong when it does not."""
        return self._run(flows.readied())

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                outcome = self._done(flow.send(outcome))
        except StopIteration as end:
            return cast(T, end.value)

    def _done(self, step: Call | Pause) -> Outcome:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return self._http.request(**step.arguments())
        except httpx.RequestError as error:
            return error
