"""The roles of the store. `PostgresStore` (store.postgres) plays all of them.

Every read and write that a caller can cause names its tenant, and a row of another tenant is Missing, exactly as if it
did not exist. Each method is one transaction. All raise Unavailable when the database is away (after short retries on
lost connections and serialization failures), never a driver's error. Times come from the database's clock.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from threading import Event as Flag
from typing import Protocol
from uuid import UUID

from g3_orchestrator.model import (
    Answer,
    ApiKey,
    Event,
    Failure,
    Job,
    NewJob,
    OutboxRow,
    Result,
    Retrieval,
    Stage,
    Tenant,
)
from g3_orchestrator.runs import (
    Ingest,
    IngestPlan,
    IngestSpec,
    NewIngest,
    Opened,
    Publication,
    Reject,
    RejectFile,
    Tally,
)
from g3_orchestrator.states import JobState, StageName, View

JOBS_CHANNEL = "g3_jobs"
"""NOTIFY channel of job events; the payload is "<tenant_id>/<job_id>". Sent after the commit: a hint, not a promise."""
OUTBOX_CHANNEL = "g3_outbox"
"""NOTIFY channel of new outbox rows; no payload."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last job of a page: the next page holds what is older."""

    created_at: datetime
    job_id: UUID


class JobStore(Protocol):
    """Jobs as callers see them."""

    def create_job(self, tenant_id: UUID, new: NewJob) -> tuple[Job, bool]:
        """The job, its stage `retrieve`, an outbox row and event 1 in one transaction, and True.

        With an idempotency key that the tenant used before: the job of then and False when `request_hash` is the
        same; Rejected(field="idempotency_key") when it is not.
        """

    def get_job(self, tenant_id: UUID, job_id: UUID) -> Job:
        """The job with result, failure and timings. Raises Missing."""

    def list_jobs(
        self,
        tenant_id: UUID,
        *,
        limit: int,
        after: Cursor | None = None,
        state: JobState | None = None,
        view: View = View.SUMMARY,
    ) -> list[Job]:
        """At most `limit` jobs, newest first by (created_at, job_id), older than `after`.

        A summary has the answer and its places, without candidates, references, answers and timings.
        Ask for one more than the page to know whether another follows.
        """

    def cancel_job(self, tenant_id: UUID, job_id: UUID) -> Job:
        """The job, cancelled, its open stage dead. A cancelled job stays as it is.

        Raises Missing; Conflict when it has ended in another way.
        """

    def events_after(self, tenant_id: UUID, job_id: UUID, event_id: int) -> list[Event]:
        """The events of the job with a greater id, oldest first. Raises Missing when there is no such job."""

    def ping(self) -> None:
        """One round trip. Raises Unavailable."""


class KeyStore(Protocol):
    """Tenants and their keys."""

    def find_key(self, key_hash: bytes) -> ApiKey | None:
        """The unrevoked key with this SHA-256 (32 bytes), or None."""

    def create_tenant(self, name: str) -> Tenant:
        """The tenant of this name (1 to 100 characters), made if there is none."""

    def create_key(self, tenant_id: UUID, *, key_hash: bytes, prefix: str, label: str = "") -> ApiKey:
        """A new key. Raises Missing when there is no such tenant, Conflict when the hash exists."""


class Changes(Protocol):
    """Waits for notifications on a connection of its own."""

    def listen(self, channel: str, stop: Flag, heard: Callable[[Sequence[str]], None], every_s: float = 1.0) -> None:
        """Calls `heard` with the payloads of each batch until `stop` is set; blocks.

        Also calls it with an empty list every `every_s` seconds and after each reconnection, since notifications may
        be lost: look at the rows then. Reconnects by itself with back-off.
        """


class Holding(Protocol):
    """Who works on which attempt of a stage, as `stages.Ref` says it."""

    @property
    def job_id(self) -> UUID:
        """The job."""

    @property
    def stage(self) -> StageName:
        """Its stage."""

    @property
    def attempt(self) -> int:
        """The fence."""

    @property
    def claim_id(self) -> str:
        """One per delivery of a message."""


@dataclass(frozen=True, slots=True)
class Held:
    """A stage just claimed, its job, and the database's clock."""

    job: Job
    stage: Stage
    now: datetime


@dataclass(frozen=True, slots=True)
class Following:
    """The stage that begins when another ends. `degraded` is what the job says from then on; None: as before."""

    stage: StageName
    budget_s: float | None = None
    degraded: tuple[str, ...] | None = None


class StageWork(Protocol):
    """One stage whose job is locked for the length of the transaction. Leaving the context commits."""

    @property
    def job(self) -> Job:
        """The job as it stands, without result and timings."""

    @property
    def stage(self) -> Stage:
        """The stage as it stands."""

    @property
    def now(self) -> datetime:
        """The database's clock at the start of the transaction."""

    @property
    def run(self) -> "RunWork":
        """What only ingest runs have, in the same transaction."""

    def lease(self, claim_id: str, lease_s: float) -> None:
        """Pending or dispatched -> leased. The first claim of a queued job moves it on, with an event."""

    def renew(self, lease_s: float) -> None:
        """Moves the end of the lease."""

    def ring(self, again_s: float) -> None:
        """An outbox row for the present attempt; the sweeper looks again after `again_s`."""

    def retry(self, delay_s: float, reason: str) -> None:
        """Leased -> pending with the next attempt, due after `delay_s`: the sweeper rings then."""

    def release(self, reason: str) -> None:
        """Leased -> pending with the next attempt, due now; the attempt that ends here is not held against it."""

    def finish(self) -> None:
        """Leased -> done."""

    def give_up(self, reason: str) -> None:
        """-> dead."""

    def record(self, answers: Sequence[Answer]) -> int:
        """Stores each (prompt, sample) once; how many were new."""

    def keep(self, retrieval: Retrieval) -> None:
        """Stores what was retrieved and pins the release."""

    def begin(self, name: StageName, *, budget_s: float | None, degraded: tuple[str, ...]) -> None:
        """The next stage with its outbox row; the job takes its state, with an event."""

    def conclude(self) -> None:
        """The ingest run has succeeded, with an event."""

    def succeed(self, result: Result) -> None:
        """Stores the one result; the job has succeeded, with an event."""

    def fail(self, failure: Failure) -> None:
        """The job has failed, with an event."""


class RunWork(Protocol):
    """What the stages of an ingest run write beside themselves."""

    def spec(self) -> IngestSpec:
        """What was asked for."""

    def plan(self) -> IngestPlan | None:
        """What was planned; None before."""

    def keep_plan(self, plan: IngestPlan) -> None:
        """Stores the plan; the last one stands."""

    def opened(self) -> Opened:
        """How many shards have a stage, and how many of these are done."""

    def open(self, first: int, count: int) -> None:
        """The stages fill of these shards with their outbox rows; the job's state stays."""

    def tally(self) -> Tally:
        """How far the shard of this stage is."""

    def total(self) -> Tally:
        """All shards together."""

    def advance(self, tally: Tally, rejects: Sequence[Reject], file: RejectFile | None) -> bool:
        """Stores how far the shard is; False, and nothing changes, when it was that far or further already."""

    def kept_rejects(self) -> int:
        """Rejects of the shard that are kept as rows."""

    def keep_publication(self, publication: Publication) -> None:
        """Stores what the end found."""

    def close_others(self, reason: str) -> None:
        """Every other open stage of the job -> dead."""


class IngestStore(Protocol):
    """Ingest runs as callers see them."""

    def create_ingest(self, tenant_id: UUID, new: NewIngest) -> tuple[Ingest, bool]:
        """The run with its stage `plan`, an outbox row and event 1, and True; see `JobStore.create_job`."""

    def get_ingest(self, tenant_id: UUID, ingest_id: UUID) -> Ingest:
        """The run with its shards. Raises Missing."""

    def list_ingests(
        self, tenant_id: UUID, *, limit: int, after: Cursor | None = None, state: JobState | None = None
    ) -> list[Ingest]:
        """At most `limit` runs, newest first, older than `after`, without shards; see `JobStore.list_jobs`."""

    def cancel_ingest(self, tenant_id: UUID, ingest_id: UUID) -> Ingest:
        """The run, cancelled, its open stages dead. Raises Missing; Conflict when it has ended in another way."""

    def rejects(self, tenant_id: UUID, ingest_id: UUID, *, after_row: int, limit: int) -> list[Reject]:
        """Rejects that are kept as rows, by row, from the one after `after_row` on. Raises Missing."""

    def reject_files(self, tenant_id: UUID, ingest_id: UUID) -> list[RejectFile]:
        """The files with the rejects beyond. Raises Missing."""


class StageStore(Protocol):
    """Stages as the stage protocol needs them. Not scoped by tenant: only the house itself calls it.

    The usual course of a stage has methods of its own, each one statement. They change nothing and say so when
    anything is not as usual; `locked` is for finding out what, and for everything else.
    """

    def claim_free(self, ref: Holding, lease_s: float) -> Held | None:
        """Leases the stage for the first claim of this attempt; the first attempt of a job moves it on, with an event.

        None: it is not free, its budget is spent, or its job is not where the stage has it.
        """

    def finish_retrieve(self, ref: Holding, retrieval: Retrieval, following: Following) -> bool:
        """Ends the stage that the claim holds, stores what was retrieved and begins what follows.

        False: the claim does not hold it at this attempt.
        """

    def finish_generate(self, ref: Holding, following: Following) -> bool:
        """As finish_retrieve, with nothing to store."""

    def finish_verify(self, ref: Holding, result: Result) -> bool:
        """As finish_retrieve: stores the result, and the job has succeeded."""

    def locked(self, job_id: UUID, stage: StageName, shard: int = 0) -> AbstractContextManager[StageWork]:
        """Locks job and stage. Raises Missing."""

    def overdue(self, limit: int) -> AbstractContextManager[Sequence[StageWork]]:
        """Stages whose time to be looked at has come, skipping those that another transaction holds."""

    def retrieval(self, tenant_id: UUID, job_id: UUID) -> Retrieval:
        """What was retrieved for a job. Raises Missing."""

    def answers(self, tenant_id: UUID, job_id: UUID) -> list[Answer]:
        """The raw answers recorded so far, by prompt and sample."""


class OutboxBatch(Protocol):
    """Unsent rows held by one relay. Leaving the context commits what was marked; the rest is free again."""

    @property
    def rows(self) -> Sequence[OutboxRow]:
        """Oldest first."""

    def mark_sent(self, rows: Sequence[OutboxRow], again_s: float) -> None:
        """Their messages are with the broker: pending stages become dispatched."""


class OutboxStore(Protocol):
    """Messages to be sent."""

    def outgoing(self, limit: int) -> AbstractContextManager[OutboxBatch]:
        """Locks at most `limit` unsent rows, skipping those of other relays."""

    def prune(self, older_than_s: float) -> int:
        """Deletes rows sent longer ago; how many."""
