"""Ingest runs as values: what is asked for, what was planned, how far it is. Pure: no clock, no database.

A run's rows are divided evenly: shard i of n has the rows from rows * i // n up to rows * (i + 1) // n.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from g3_kit.errors import Rejected

from g3_orchestrator.model import Failure
from g3_orchestrator.states import JobState

MAX_SHARDS = 10_000
MAX_AT_ONCE = 256
MAX_PATH = 1_000
MAX_REASONS = 64
MAX_REJECTS = 2_000
"""Rejects of one call."""
KEPT_REJECTS = 1_000
"""Rejects of one shard that are kept as rows; what is more lies in files."""
DEFAULT_AT_ONCE = 2
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_INDEX = re.compile(r"[A-Z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class IngestSpec:
    """What to ingest, and how; see IngestSpec of `ingests.proto`. Raises Rejected for what can never be."""

    source: str
    table: str = ""
    authors: str = ""
    collection: str = ""
    alias: str = "references"
    unpublished: bool = False
    shards: int = 0
    at_once: int = DEFAULT_AT_ONCE
    near_duplicate: float = 0.0
    near_duplicate_in_collection: bool = False
    index: str = ""
    least_recall_similar: float | None = None
    least_recall_dissimilar: float | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("source", "table", "authors"):
            path = getattr(self, name)
            if len(path) > MAX_PATH or not path.isprintable():
                raise Rejected(f"{name} has at most {MAX_PATH} characters, all printable", field=name)
        if not self.source:
            raise Rejected("say what to ingest", field="source")
        for name in ("collection", "alias"):
            if (text := getattr(self, name)) and not _NAME.fullmatch(text):
                what = "letters, digits and underscores, at most 100, not starting with a digit"
                raise Rejected(f"{name} must be {what}", field=name)
        if not self.alias:
            raise Rejected("the alias needs a name", field="alias")
        self._judge_numbers()

    def _judge_numbers(self) -> None:
        if not 0 <= self.shards <= MAX_SHARDS:
            raise Rejected(f"shards must lie between 0 and {MAX_SHARDS}", field="shards")
        if not 1 <= self.at_once <= MAX_AT_ONCE:
            raise Rejected(f"at_once must lie between 1 and {MAX_AT_ONCE}", field="at_once")
        if self.near_duplicate and not 0.5 < self.near_duplicate <= 1:
            raise Rejected("near_duplicate must be 0, or above 0.5 and at most 1", field="near_duplicate")
        if self.near_duplicate_in_collection and not self.near_duplicate:
            raise Rejected("say from which cosine on with near_duplicate", field="near_duplicate_in_collection")
        for name in ("least_recall_similar", "least_recall_dissimilar"):
            least = getattr(self, name)
            if least is not None and not 0 <= least <= 1:
                raise Rejected(f"{name} must lie between 0 and 1", field=name)
        if not _INDEX.fullmatch(self.index):
            raise Rejected("index must be the name of an index type in capitals", field="index")

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back to an equal value."""
        return asdict(self)

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "IngestSpec":
        """The spec that `to_json` wrote, by this release or an earlier one."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in written.items() if name in known})


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """What the source holds and what is filled. `standing`: references that the version held before."""

    rows: int
    shards: int
    collection: str
    model: str
    dimension: int
    source: str
    standing: int = 0

    def __post_init__(self) -> None:
        """Raises Rejected for a plan that is none."""
        if self.rows < 1:
            raise Rejected("there are no rows in the source", field="plan.rows")
        if not 1 <= self.shards <= min(self.rows, MAX_SHARDS):
            raise Rejected(f"{self.rows} rows cannot be {self.shards} shards", field="plan.shards")
        if not (_NAME.fullmatch(self.collection) and self.model and self.dimension >= 1):
            raise Rejected("a plan names its collection, model and dimension", field="plan.collection")

    def rows_of(self, shard: int) -> int:
        """How many rows a shard has."""
        return self.rows * (shard + 1) // self.shards - self.rows * shard // self.shards


@dataclass(frozen=True, slots=True)
class Tally:
    """How far rows have come: read = written + held + rejected + duplicates. Raises Rejected unless it adds up."""

    read: int = 0
    written: int = 0
    held: int = 0
    rejected: int = 0
    duplicates: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.read != self.written + self.held + self.rejected + self.duplicates:
            raise Rejected("read must be the sum of written, held, rejected and duplicates", field="tally.read")
        if len(self.reasons) > MAX_REASONS or any("\0" in reason for reason in self.reasons):
            raise Rejected(f"a tally has at most {MAX_REASONS} reasons", field="tally.reasons")

    def __add__(self, other: "Tally") -> "Tally":
        reasons = dict(self.reasons)
        for reason, count in other.reasons.items():
            # Shards may have met different reasons: what is over the bound is summed up as one.
            name = reason if reason in reasons or len(reasons) < MAX_REASONS - 1 else "others"
            reasons[name] = reasons.get(name, 0) + count
        return Tally(
            self.read + other.read,
            self.written + other.written,
            self.held + other.held,
            self.rejected + other.rejected,
            self.duplicates + other.duplicates,
            reasons,
        )

    @property
    def accepted(self) -> int:
        """References of the source that the collection holds."""
        return self.written + self.held


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not inserted: its number in the source, its id, a stable code and a sentence."""

    row: int
    reference_id: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class RejectFile:
    """Rejects that are too many for rows: a CSV in the blob store, of the rows from `first_row` on."""

    first_row: int
    sha256: str
    rejects: int


@dataclass(frozen=True, slots=True)
class Room:
    """Whose rejects they are, and how many more of them are kept as rows."""

    tenant_id: UUID
    rows: int


@dataclass(frozen=True, slots=True)
class Publication:
    """What the end of a run found. Recalls are None when they were not measured."""

    counted: int
    recall_similar: float | None = None
    recall_dissimilar: float | None = None
    published: bool = False
    previous: str = ""


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard. `state` is a stage's, or "waiting" while it is not opened."""

    number: int
    state: str
    rows: int
    tally: Tally = field(default_factory=Tally)
    attempts: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ingest:
    """A run as it stands. `shards` is empty in listings and before the plan."""

    ingest_id: UUID
    tenant_id: UUID
    state: JobState
    created_at: datetime
    updated_at: datetime
    label: str
    spec: IngestSpec
    last_event: int
    plan: IngestPlan | None = None
    total: Tally = field(default_factory=Tally)
    shards: tuple[Shard, ...] = ()
    publication: Publication | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class NewIngest:
    """What a submission brings; see `model.NewJob`."""

    spec: IngestSpec
    label: str = ""
    idempotency_key: str | None = None
    request_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Opened:
    """Shards of a run so far: `opened` have a stage, `done` of these are filled."""

    opened: int
    done: int


def judge_rejects(rejects: Sequence[Reject], plan: IngestPlan, shard: int) -> None:
    """Raises Rejected unless they are rows of the shard, each once, with texts of bounded size."""
    first = plan.rows * shard // plan.shards
    last = first + plan.rows_of(shard)
    if len(rejects) > MAX_REJECTS:
        raise Rejected(f"at most {MAX_REJECTS} rejects a call", field="rejects")
    if len({reject.row for reject in rejects}) != len(rejects):
        raise Rejected("a row is rejected once", field="rejects")
    for reject in rejects:
        if not first <= reject.row < last:
            raise Rejected(f"row {reject.row} is none of shard {shard}", field="rejects")
