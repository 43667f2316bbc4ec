"""The port to the stage protocol, in this room's own nouns (`protos/g3_protos/orchestrator/v1/stages.proto`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class StageRef:
    """What a call works for. `attempt` is the fence; `claim_id` is new for each delivery of the message."""

    job_id: str
    stage: str
    attempt: int
    claim_id: str
    shard: int = 0


@dataclass(frozen=True)
class Spec:
    """What is to be ingested, and how; see IngestSpec of `ingests.proto`."""

    source: str
    table: str = ""
    authors: str = ""
    collection: str = ""
    alias: str = "references"
    unpublished: bool = False
    shards: int = 0
    near_duplicate: float = 0.0
    near_duplicate_in_collection: bool = False
    index: str = ""
    least_recall_similar: float | None = None
    least_recall_dissimilar: float | None = None
    resume: bool = False


@dataclass(frozen=True)
class Plan:
    """What the source holds. Shard i of n has the rows from rows * i // n up to rows * (i + 1) // n."""

    rows: int
    shards: int
    collection: str
    model: str
    dimension: int
    source: str
    standing: int = 0

    def range_of(self, shard: int) -> tuple[int, int]:
        """First row of a shard, and the one after its last."""
        return self.rows * shard // self.shards, self.rows * (shard + 1) // self.shards


@dataclass
class Tally:
    """How far a shard is: `read` rows are done, each counted once among the others."""

    written: int = 0
    held: int = 0
    rejected: int = 0
    duplicates: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Rows done."""
        return self.written + self.held + self.rejected + self.duplicates

    @property
    def accepted(self) -> int:
        """References of the source that the collection holds."""
        return self.written + self.held


@dataclass(frozen=True)
class Reject:
    """A row that was not inserted."""

    row: int
    id: str
    code: str
    reason: str


@dataclass(frozen=True)
class Publication:
    """What the end of a run found."""

    counted: int
    recall_similar: float | None = None
    recall_dissimilar: float | None = None
    published: bool = False
    previous: str = ""


@dataclass(frozen=True)
class Claim:
    """A claimed stage. `tally`: how far earlier attempts came; of `publish`: all shards together."""

    lease_s: float
    spec: Spec
    plan: Plan | None
    tally: Tally


class Stages(Protocol):
    """The stage protocol. Every method raises Conflict once the stage is not this claim's any more (finished,
    cancelled, newer attempt, lease taken over), Missing for an unknown job and Unavailable when nobody answers.
    """

    def claim(self, ref: StageRef) -> Claim:
        """Takes the stage. Idempotent by `ref.claim_id`."""
        ...

    def renew(self, ref: StageRef, *, deadline_s: float) -> float:
        """Keeps the stage; returns the seconds until the lease ends. Gives up after `deadline_s`."""
        ...

    def record_plan(self, ref: StageRef, plan: Plan) -> None:
        """Stores what the stage plan found. Raises Rejected for a plan that is none."""
        ...

    def record_progress(self, ref: StageRef, tally: Tally, rejects: Sequence[Reject]) -> None:
        """Stores how far the shard is, with the rejects (at most 2,000) since the call before. A repeat is harmless."""
        ...

    def record_publication(self, ref: StageRef, publication: Publication) -> None:
        """Stores what the stage publish found."""
        ...

    def complete(self, ref: StageRef) -> None:
        """Ends the stage. A repeat by the same claim changes nothing."""
        ...

    def fail(self, ref: StageRef, *, retryable: bool, reason: str) -> None:
        """Gives the stage back: to be tried again, or as it is. `reason` is a sentence for the operator."""
        ...

    def release(self, ref: StageRef, reason: str) -> None:
        """Gives the stage back, due at once; nothing went wrong."""
        ...
