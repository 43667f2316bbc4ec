"""The words of the stage protocol (DESIGN, section 3): its numbers, who holds what, and what a sweep did."""

from dataclasses import dataclass
from uuid import UUID

from g3_kit.errors import Rejected

from g3_orchestrator.model import Job, Stage
from g3_orchestrator.runs import IngestPlan, IngestSpec, Tally
from g3_orchestrator.states import StageName


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers of the protocol, in seconds unless stated."""

    lease_s: float = 30.0
    """A worker that is silent for so long has lost its stage."""
    ring_again_s: float = 15.0
    """A message that nobody acted on is sent again after this long; each further wait doubles, up to eight times."""
    max_attempts: int = 10
    """Attempts of one stage before it is dead; of a shard, attempts in a row that did not get on.

    With the waits below ten of them outlast two minutes in which a service or PostgreSQL is away."""
    longest_backoff_s: float = 30.0
    """Waits after retryable failures double from 1 s up to this."""
    generate_budget_s: float = 120.0
    """How long a job waits for the LMM before it goes on without."""
    generation_enabled: bool = True
    """False: no job is put to the LMM, and its result says so."""

    def backoff_s(self, attempt: int) -> float:
        """The wait after the failure of this attempt (from 1)."""
        return min(2.0 ** (attempt - 1), self.longest_backoff_s)


@dataclass(frozen=True, slots=True)
class Ref:
    """What a call works for: the fence `attempt`, and the worker's `claim_id`, one per delivery of a message."""

    job_id: UUID
    stage: StageName
    attempt: int
    claim_id: str
    shard: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.claim_id) <= 64:
            raise Rejected("a claim_id has 1 to 64 characters", field="ref.claim_id")


@dataclass(frozen=True, slots=True)
class RunClaim:
    """What a stage of an ingest run works on. `tally` is the shard's, or of all shards for `publish`."""

    spec: IngestSpec
    plan: IngestPlan | None
    tally: Tally


@dataclass(frozen=True, slots=True)
class Claim:
    """A held stage. `budget_s` is what is left of its budget; None without one. `run`: of ingest runs alone."""

    job: Job
    stage: Stage
    lease_s: float
    budget_s: float | None
    run: RunClaim | None = None


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did, in stages."""

    rung: int = 0
    taken_back: int = 0
    given_up: int = 0

    @property
    def total(self) -> int:
        """Stages touched."""
        return self.rung + self.taken_back + self.given_up
