"""Following a job: server-sent events (WHATWG HTML §9.2), read byte by byte and resumed where they broke off."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from g3_client import wire
from g3_client.errors import ConnectionFailed, G3ClientError, TimedOut, Unintelligible
from g3_client.flows import Patience
from g3_client.models import JobEvent
from g3_client.wire import Call

MAX_EVENT_BYTES = 16 * 1024 * 1024
LIVED_S = 10.0  # a connection that held so long was a good one, even if nothing happened to the job
CONTENT_TYPE = "text/event-stream"
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True)
class ServerSentEvent:
    """One event as it came."""

    event: str
    data: str
    id: str


class EventReader:
    """Turns chunks of bytes into events.

    httpx's own line reader also splits at U+2028 and its like, which JSON may hold: hence this one.
    """

    def __init__(self) -> None:
        """Starts at the beginning of a stream."""
        self.last_id = ""
        self.retry_s: float | None = None
        self._rest = b""
        self._first = True
        self._event = ""
        self._id: str | None = None
        self._data: list[str] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that `chunk` completes. Raises Unintelligible when one does not end."""
        self._rest += chunk
        if len(self._rest) + self._size > MAX_EVENT_BYTES:
            raise Unintelligible("An event of the server does not end.")
        lines = _LINE_END.split(self._rest)
        self._rest = lines.pop()
        if self._rest == b"" and chunk.endswith(b"\r"):
            # a line feed may still follow and belongs to this line's end
            self._rest = lines.pop() + b"\r"
        for line in lines:
            yield from self._line(line.decode("utf-8", "replace"))

    def _line(self, line: str) -> Iterator[ServerSentEvent]:
        if self._first:
            line, self._first = line.removeprefix("\ufeff"), False
        if line == "":
            yield from self._dispatched()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000

    def _dispatched(self) -> Iterator[ServerSentEvent]:
        if self._id is not None:
            self.last_id = self._id
        event, data = self._event or "message", "\n".join(self._data)
        found = bool(self._data)
        self._event, self._data, self._size, self._id = "", [], 0, None
        if found:
            yield ServerSentEvent(event, data, self.last_id)


class Following:
    """The course of one watch over as many connections as it takes. It does no I/O."""

    def __init__(self, job_id: str, after_event: int, timeout_s: float | None, patience: Patience) -> None:
        """`after_event` is the event seen last, 0 for none; `timeout_s` None waits as long as the job lasts."""
        self.job_id = job_id
        self._over = False
        self.idle = False  # the last connection closed in order and brought nothing
        self._last = after_event
        self._patience = patience
        self._failures = 0
        self._brought = False
        self._opened = 0.0
        self._reader = EventReader()
        self._timeout_s = timeout_s
        self._deadline = float("inf") if timeout_s is None else time.monotonic() + timeout_s

    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._over

    def call(self) -> Call:
        """The next connection to open. Raises TimedOut."""
        self._reader, self._brought, self._opened = EventReader(), False, time.monotonic()
        return wire.following(self.job_id, str(self._last) if self._last else "", min(wire.SILENCE_S, self._left()))

    def opened(self, response: httpx.Response) -> None:
        """Judges a successful answer's head. Raises Unintelligible when it is no stream of events."""
        if response.status_code == httpx.codes.NO_CONTENT:
            # "do not come back" (WHATWG HTML §9.2.3)
            self._over = True
        elif not response.headers.get("content-type", "").startswith(CONTENT_TYPE):
            raise Unintelligible("The server does not answer with a stream of events.")

    def feed(self, chunk: bytes) -> Iterator[JobEvent]:
        """The events in `chunk` that are new. Raises TimedOut, Unintelligible."""
        for event in self._reader.feed(chunk):
            document = wire.parsed_text(JobEvent, event.data)
            if document.event_id <= self._last:
                # no progress: a server that only repeats itself is given up like one that says nothing
                continue
            self._last, self._brought, self._failures = document.event_id, True, 0
            yield document
            if document.job.ended:
                self._over = True
                return
        self._left()

    def interrupted(self, outcome: httpx.Response | httpx.RequestError | None) -> float:
        """Seconds until the next connection, after one that failed with `outcome` or just closed (None).

        Raises the failure when it is final or when no connection brings anything any more, TimedOut.
        """
        self._left()
        self.idle = outcome is None and not self._brought
        if outcome is None and self._brought:
            return self._within(self._reader.retry_s or self._patience.first_s)
        if time.monotonic() - self._opened >= LIVED_S:
            self._failures = 0
        self._failures += 1
        failure: G3ClientError = ConnectionFailed("The server closes the stream of events at once.")
        if outcome is not None:
            failure = wire.failure_of(outcome)
        wait_s = self._patience.after(failure, self._failures)
        if wait_s is None:
            raise failure from (outcome if isinstance(outcome, httpx.RequestError) else None)
        return self._within(wait_s)

    def _within(self, wait_s: float) -> float:
        return min(wait_s, self._left())

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"Job {self.job_id} has not ended after {self._timeout_s:g} s.", job_id=self.job_id)
        return left
