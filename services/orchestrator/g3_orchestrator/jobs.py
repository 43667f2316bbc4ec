"""Jobs as callers use them: the one service behind REST and gRPC."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from g3_kit.errors import Missing, Rejected, Unavailable

from g3_orchestrator.fields import inside
from g3_orchestrator.intake import Intake
from g3_orchestrator.model import Event, Job, NewJob
from g3_orchestrator.parameters import Asked, Parameters, resolve
from g3_orchestrator.states import JobState, View
from g3_orchestrator.store.port import Cursor, JobStore
from g3_orchestrator.waiting import Watches

MAX_TEXT = 255
MAX_PAGE = 200
DEFAULT_PAGE = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SUM_BYTES = 8
# After it a watcher asks whether it is still wanted.
_LONGEST_SLEEP_S = 5.0


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and the cursor of what follows; "" when nothing does."""

    jobs: tuple[Job, ...]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something happened: the job as it stood at `event_id`."""

    event_id: int
    job: Job


class Jobs:
    """Submitting, reading, listing, cancelling and watching. Every method is blocking and safe to call from threads."""

    def __init__(self, store: JobStore, intake: Intake, watches: Watches) -> None:
        """`store` keeps the jobs, `intake` takes the photos, `watches` wakes those who wait."""
        self._store = store
        self._intake = intake
        self.watches = watches

    def submit(
        self, tenant_id: UUID, photo: bytes, asked: Asked, *, idempotency_key: str = "", label: str = ""
    ) -> tuple[Job, bool]:
        """The accepted job and True, or the earlier job of the same key and request and False.

        Raises Rejected, TooLarge or NotYet for what cannot be answered, Exhausted when too many photos come at once,
        Unavailable without the blob store or the database.
        """
        judge_text(label, "label")
        judge_text(idempotency_key, "idempotency_key")
        with inside("parameters"):
            parameters = resolve(asked)
        taken = self._intake.take(tenant_id, photo)
        new = NewJob(
            photo=taken.ref,
            parameters=parameters,
            label=label,
            idempotency_key=idempotency_key or None,
            request_hash=request_hash(taken.received_sha256, parameters, label),
        )
        return self._store.create_job(tenant_id, new)

    def get(self, tenant_id: UUID, job_id: str) -> Job:
        """The job as it stands. Raises Missing."""
        return self._store.get_job(tenant_id, identified(job_id))

    def page(
        self,
        tenant_id: UUID,
        *,
        state: JobState | None = None,
        limit: int = 0,
        cursor: str = "",
        view: View = View.SUMMARY,
    ) -> Page:
        """A page of jobs, summaries unless `view` says more; `limit` 1 to 200, 0 means 50.

        Raises Rejected for a limit or a cursor that is none.
        """
        if not 0 <= limit <= MAX_PAGE:
            raise Rejected(f"A page has 1 to {MAX_PAGE} jobs.", field="limit")
        size = limit or DEFAULT_PAGE
        after = opened(cursor, tenant_id, state) if cursor else None
        # one more than the page says whether another follows
        jobs = self._store.list_jobs(tenant_id, limit=size + 1, after=after, state=state, view=view)
        more = len(jobs) > size
        page = tuple(jobs[:size])
        return Page(page, sealed(Cursor(page[-1].created_at, page[-1].job_id), tenant_id, state) if more else "")

    def cancel(self, tenant_id: UUID, job_id: str) -> Job:
        """The job, cancelled; its work stops at the next boundary. Raises Missing, or Conflict once it has ended."""
        return self._store.cancel_job(tenant_id, identified(job_id))

    def events(self, tenant_id: UUID, job_id: str, after_event: int) -> list[JobEvent]:
        """What happened since `after_event`, oldest first: earlier events show the job as it was then. Raises Missing.

        Costs one small query as long as nothing happened.
        """
        identity = identified(job_id)
        events = self._store.events_after(tenant_id, identity, after_event)
        if not events:
            return []
        job = self._store.get_job(tenant_id, identity)
        return [JobEvent(event.event_id, _as_of(job, event)) for event in events]

    def watch(
        self, tenant_id: UUID, job_id: str, after_event: int, *, wanted: Callable[[], bool] = lambda: True
    ) -> Iterator[JobEvent]:
        """The job at every change after `after_event` until it has ended; between changes the thread sleeps.

        Asks `wanted` before each sleep and stops when nobody is there any more. Raises Missing before the first event,
        Unavailable when the process goes down.
        """
        seen = self.resumed(tenant_id, job_id, after_event)
        if seen is None:
            return
        with self.watches.of_job(str(identified(job_id))) as waiter:
            while not self.watches.closing:
                for event in self.events(tenant_id, job_id, seen):
                    seen = event.event_id
                    yield event
                    if event.job.state.ended:
                        return
                if not wanted():
                    return
                waiter.sleep(_LONGEST_SLEEP_S)
        raise Unavailable("This server is going down: watch again.", retry_after_s=1)

    def resumed(self, tenant_id: UUID, job_id: str, after_event: int) -> int | None:
        """The event after which to go on; None when the job has ended and was seen to end. Raises Missing."""
        job = self.get(tenant_id, job_id)
        if job.state.ended and after_event >= job.last_event:
            return None
        # an id from the future would wait for ever
        return min(after_event, job.last_event)


def identified(job_id: str) -> UUID:
    """The id as a UUID. Raises Missing for anything else: there cannot be such a job."""
    try:
        identity = UUID(job_id)
    except ValueError:
        raise Missing("There is no such job.") from None
    # UUID() also takes braces, urn: and missing hyphens; one job has one name
    if str(identity) != job_id.lower():
        raise Missing("There is no such job.")
    return identity


def request_hash(received_sha256: bytes, parameters: Parameters, label: str) -> bytes:
    """SHA-256 (32 bytes) over what makes two submissions the same: photo as received, parameters, label."""
    rest = json.dumps([parameters.to_json(), label], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(received_sha256 + rest.encode()).digest()


def judge_text(text: str, field: str) -> None:
    """Raises Rejected unless the text is one that is kept."""
    if len(text) > MAX_TEXT or "\0" in text:
        raise Rejected(f"{field} may have at most {MAX_TEXT} characters and no NUL.", field=field)


def _as_of(job: Job, event: Event) -> Job:
    if event.event_id >= job.last_event:
        return job
    return replace(
        job, state=event.state, updated_at=event.created_at, last_event=event.event_id, result=None, failure=None
    )


def sealed(cursor: Cursor, tenant_id: UUID, state: JobState | None) -> str:
    """The cursor as text, with a checksum that binds it to the listing that it came from."""
    position = ((cursor.created_at - _EPOCH) // _MICROSECOND).to_bytes(8, "big") + cursor.job_id.bytes
    return base64.urlsafe_b64encode(position + _sum(position, tenant_id, state)).decode()


def opened(text: str, tenant_id: UUID, state: JobState | None) -> Cursor:
    """The cursor that `sealed` wrote for this listing. Raises Rejected."""
    wrong = Rejected("Send the cursor of the page before, with the same filter.", field="cursor")
    try:
        sealed = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise wrong from None
    position = sealed[:-_SUM_BYTES]
    # base64 has several spellings of the same bytes
    if (
        base64.urlsafe_b64encode(sealed).decode() != text
        or len(position) != 24
        or sealed[-_SUM_BYTES:] != _sum(position, tenant_id, state)
    ):
        raise wrong
    try:
        created_at = _EPOCH + int.from_bytes(position[:8], "big") * _MICROSECOND
    except OverflowError:
        raise wrong from None
    return Cursor(created_at, UUID(bytes=position[8:]))


def _sum(position: bytes, tenant_id: UUID, state: JobState | None) -> bytes:
    # no secret: it guards against mistakes; the store's own scope guards the tenants
    return hashlib.sha256(b"cursor" + position + tenant_id.bytes + (state or "").encode()).digest()[:_SUM_BYTES]
