"""What the client does, without doing it: generators that yield a Call or a Pause and are sent what came of it.

`G3` and `AsyncG3` drive the same flows, one by blocking, the other by awaiting (httpx's own auth flows work so).
"""

import itertools
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import httpx

from g3_client import wire
from g3_client.errors import ConnectionFailed, G3ClientError, Problem, TimedOut
from g3_client.models import Job, JobPage, JobState, Readiness
from g3_client.photo import Photo, read
from g3_client.wire import AnyParameters, Call

T = TypeVar("T")

LOCATE_S = 300.0
"""Seconds that a caller waits for a job unless it says otherwise."""

RETRIED = frozenset({429, 502, 503, 504})
LONGEST_HOLD_S = 20.0  # below the idle limits of usual proxies
FIRST_LOOK_S = 0.1
LONGEST_LOOK_S = 2.0


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


Outcome = httpx.Response | httpx.RequestError | None
Flow = Generator[Call | Pause, Outcome, T]


@dataclass(frozen=True)
class Patience:
    """When a call is tried again: up to `attempts`, each wait twice the one before, with jitter.

    A Retry-After of the server counts when it is longer; one longer than `longest_asked_s` is not waited for.
    """

    attempts: int = 5
    first_s: float = 0.25
    longest_s: float = 8.0
    longest_asked_s: float = 60.0

    def after(self, failure: G3ClientError, attempt: int) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (from 1); None when it is final."""
        if attempt >= self.attempts or not retryable(failure):
            return None
        asked_s = failure.retry_after_s or 0.0 if isinstance(failure, Problem) else 0.0
        if asked_s > self.longest_asked_s:
            return None
        # many clients refused in the same instant must not come back in the same instant
        own_s = min(self.longest_s, self.first_s * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
        return max(own_s, asked_s)


def retryable(failure: G3ClientError) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(failure, Problem):
        return failure.status in RETRIED
    return isinstance(failure, (ConnectionFailed, TimedOut))


def asked(call: Call, patience: Patience, deadline: float = float("inf")) -> Flow[httpx.Response]:
    """The successful answer to a call. Raises the tree; waits for nothing beyond `deadline` (monotonic seconds)."""
    for attempt in itertools.count(1):
        outcome = yield call
        if isinstance(outcome, httpx.Response) and outcome.is_success:
            return outcome
        if outcome is None:
            raise TypeError("a call is answered by a response or an error")
        failure = wire.failure_of(outcome)
        wait_s = patience.after(failure, attempt)
        if wait_s is None or time.monotonic() + wait_s > deadline:
            raise failure from (outcome if isinstance(outcome, httpx.RequestError) else None)
        yield Pause(wait_s)
    raise AssertionError("count() does not end")


def submitted(
    photo: Photo,
    parameters: AnyParameters | None,
    label: str,
    idempotency_key: str | None,
    wait_s: float,
    patience: Patience,
) -> Flow[Job]:
    """The job of a photo."""
    call = wire.submission(read(photo), parameters, label, idempotency_key, wait_s)
    return wire.parsed(Job, (yield from asked(call, patience)))


def got(job: Job | str, patience: Patience) -> Flow[Job]:
    """A job as it stands."""
    return wire.parsed(Job, (yield from asked(wire.reading(wire.id_of(job)), patience)))


def cancelled(job: Job | str, patience: Patience) -> Flow[Job]:
    """A job after it was cancelled."""
    return wire.parsed(Job, (yield from asked(wire.cancellation(wire.id_of(job)), patience)))


def page(
    state: JobState | str | None, limit: int | None, cursor: str, patience: Patience, view: str = ""
) -> Flow[JobPage]:
    """One page of the listing."""
    return wire.parsed(JobPage, (yield from asked(wire.listing(state, limit, cursor, view), patience)))


def readied() -> Flow[Readiness]:
    """Whether the server takes work; a 503 is an answer here, so it is not tried again."""
    outcome = yield wire.readiness()
    if isinstance(outcome, httpx.Response) and outcome.status_code in {200, 503}:
        return wire.parsed(Readiness, outcome)
    if outcome is None:
        raise TypeError("a call is answered by a response or an error")
    raise wire.failure_of(outcome) from (outcome if isinstance(outcome, httpx.RequestError) else None)


def ended(
    job: Job | str, timeout_s: float, patience: Patience, on_change: Callable[[Job], object] | None = None
) -> Flow[Job]:
    """The job once it has ended. Raises TimedOut after `timeout_s`; the job then goes on at the server."""
    job_id, deadline, look_s = wire.id_of(job), time.monotonic() + timeout_s, FIRST_LOOK_S
    seen: JobState | None = None
    while True:
        asked_at = time.monotonic()
        hold_s = max(0.0, min(LONGEST_HOLD_S, deadline - asked_at))
        response = yield from asked(wire.reading(job_id, hold_s), patience, deadline)
        current = wire.parsed(Job, response)
        if on_change is not None and current.state is not seen:
            on_change(current)
        seen = current.state
        if current.ended:
            return current
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimedOut(f"Job {job_id} is still {current.state} after {timeout_s:g} s.", job_id=job_id)
        if time.monotonic() - asked_at < hold_s / 2:
            # the server did not hold the call back
            yield Pause(min(look_s, left_s))
            look_s = min(LONGEST_LOOK_S, look_s * 1.6)


def located(
    photo: Photo,
    parameters: AnyParameters | None,
    label: str,
    idempotency_key: str | None,
    timeout_s: float,
    patience: Patience,
) -> Flow[Job]:
    """Submits a photo and waits for the end of its job."""
    started = time.monotonic()
    hold_s = max(0.0, min(LONGEST_HOLD_S, timeout_s))
    job = yield from submitted(photo, parameters, label, idempotency_key, hold_s, patience)
    if job.ended:
        return job
    return (yield from ended(job, timeout_s - (time.monotonic() - started), patience))
