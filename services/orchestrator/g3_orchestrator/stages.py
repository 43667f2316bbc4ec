"""The stage protocol (DESIGN, section 3): who may work on a stage, and what follows when it ends.

The attempt is the fence. It grows only when a lease ends unrenewed or a retryable failure is recorded, and every write
names the attempt it works for: a write of an older attempt is refused with Conflict, and the worker lets go.
The broker only rings; whatever it loses is rung again by `sweep`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from g3_kit import logs
from g3_kit.errors import Conflict, Rejected

from g3_orchestrator.model import Answer, Failure, Job, Result, Retrieval, Stage
from g3_orchestrator.repeating import again
from g3_orchestrator.states import JobState, StageName, StageState
from g3_orchestrator.store.port import StageStore, StageWork

GENERATION = "generation"
"""What `degraded` says when the LMM was left out."""

_log = logs.get("g3_orchestrator.stages")


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers of the protocol, in seconds unless stated."""

    lease_s: float = 30.0
    """A worker that is silent for so long has lost its stage."""
    ring_again_s: float = 15.0
    """A message that nobody acted on is sent again after this long; each further wait doubles, up to eight times."""
    max_attempts: int = 5
    """Attempts of one stage before it is dead."""
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

    def __post_init__(self) -> None:
        if not 1 <= len(self.claim_id) <= 64:
            raise Rejected("a claim_id has 1 to 64 characters", field="ref.claim_id")


@dataclass(frozen=True, slots=True)
class Claim:
    """A held stage. `budget_s` is what is left of its budget; None without one."""

    job: Job
    stage: Stage
    lease_s: float
    budget_s: float | None


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


class Stages:
    """The protocol over a store. Thread-safe. Every method may be repeated."""

    def __init__(self, store: StageStore, policy: Policy) -> None:
        self._store = store
        self.policy = policy

    def claim(self, ref: Ref) -> Claim:
        """Takes the stage for `lease_s`; a repeat by the same claim renews it.

        Raises Conflict when it is finished, held by another, its attempt has passed, its budget is spent or its job
        has ended; Missing when there is none.
        """
        return again(lambda: self._claim(ref))

    def _claim(self, ref: Ref) -> Claim:
        with self._store.locked(ref.job_id, ref.stage) as work:
            stage = _current(work, ref)
            if stage.state is StageState.LEASED:
                _own(stage, ref)
                work.renew(self.policy.lease_s)
            else:
                if stage.budget_until is not None and work.now >= stage.budget_until:
                    raise Conflict("the budget of this stage is spent")
                work.lease(ref.claim_id, self.policy.lease_s)
            budget_s = None if stage.budget_until is None else (stage.budget_until - work.now).total_seconds()
            return Claim(work.job, work.stage, self.policy.lease_s, budget_s and max(budget_s, 0.0))

    def renew(self, ref: Ref) -> float:
        """Keeps a held stage; the seconds until its lease ends. Raises Conflict, Missing."""

        def keep() -> float:
            with self._store.locked(ref.job_id, ref.stage) as work:
                _held(work, ref)
                work.renew(self.policy.lease_s)
            return self.policy.lease_s

        return again(keep)

    def record(self, ref: Ref, answers: Sequence[Answer]) -> int:
        """Stores each (prompt, sample) once; how many were new. Raises Conflict, Missing, Rejected."""

        def store() -> int:
            with self._store.locked(ref.job_id, ref.stage) as work:
                _held(work, ref)
                for answer in answers:
                    _wanted(answer, work.job)
                return work.record(answers)

        return again(store)

    def complete(self, ref: Ref, *, retrieval: Retrieval | None = None, result: Result | None = None) -> None:
        """Ends the stage and starts what follows, in one transaction. A repeat by the same claim changes nothing.

        `retrieve` brings its retrieval and `verify` its result. Raises Conflict, Missing.
        """
        again(lambda: self._complete(ref, retrieval, result))

    def _complete(self, ref: Ref, retrieval: Retrieval | None, result: Result | None) -> None:
        with self._store.locked(ref.job_id, ref.stage) as work:
            if _ended_by(work.stage, ref, StageState.DONE):
                return
            _held(work, ref)
            work.finish()
            if ref.stage is StageName.RETRIEVE:
                if retrieval is None:
                    raise Rejected("retrieve ends with what was retrieved")
                work.keep(retrieval)
                self._after_retrieval(work)
            elif ref.stage is StageName.GENERATE:
                work.begin(StageName.VERIFY, budget_s=None, degraded=work.job.degraded)
            else:
                if result is None:
                    raise Rejected("verify ends with a result")
                work.succeed(result)

    def _after_retrieval(self, work: StageWork) -> None:
        if not work.job.parameters.references_per_prompt:
            # Nobody asked for the LMM: nothing was left out.
            work.begin(StageName.VERIFY, budget_s=None, degraded=work.job.degraded)
        elif self.policy.generation_enabled:
            work.begin(StageName.GENERATE, budget_s=self.policy.generate_budget_s, degraded=work.job.degraded)
        else:
            _go_on_without_generation(work)

    def fail(self, ref: Ref, failure: Failure, *, retryable: bool) -> None:
        """Gives a stage back: due again after a back-off as the next attempt, or dead. Raises Conflict, Missing."""
        again(lambda: self._fail(ref, failure, retryable))

    def _fail(self, ref: Ref, failure: Failure, retryable: bool) -> None:
        with self._store.locked(ref.job_id, ref.stage) as work:
            # A cancelled job killed its stage too, and that is news for the worker.
            if _ended_by(work.stage, ref, StageState.DEAD) and work.job.state is not JobState.CANCELLED:
                return
            stage = _held(work, ref)
            reason = f"{failure.code}: {failure.message}"
            if retryable and stage.attempt < self.policy.max_attempts:
                work.retry(self.policy.backoff_s(stage.attempt), reason)
            else:
                _bury(work, failure, reason)

    def sweep(self, limit: int = 100) -> Swept:
        """Looks after at most `limit` stages whose time has come. Several sweepers at once share the work."""
        counts = {"rung": 0, "taken_back": 0, "given_up": 0}
        with self._store.overdue(limit) as works:
            for work in works:
                counts[self._look_after(work)] += 1
        return Swept(**counts)

    def _look_after(self, work: StageWork) -> str:
        stage = work.stage
        if stage.budget_until is not None and work.now >= stage.budget_until:
            _bury(work, Failure("late", "the stage took longer than its budget"), "its budget is spent")
            return "given_up"
        if stage.state is not StageState.LEASED:
            work.ring(self.policy.ring_again_s)
            return "rung"
        if stage.attempt >= self.policy.max_attempts:
            message = f"the work was begun {stage.attempt} times and never finished"
            _bury(work, Failure("unavailable", message), "its last lease ended")
            return "given_up"
        work.retry(0.0, "its lease ended")
        work.ring(self.policy.ring_again_s)
        return "taken_back"


def _current(work: StageWork, ref: Ref) -> Stage:
    """The stage when it is open and of the caller's attempt. Raises Conflict."""
    stage = work.stage
    if work.job.state.ended:
        raise Conflict(f"the job is {work.job.state}")
    if stage.attempt != ref.attempt:
        raise Conflict(f"attempt {ref.attempt} is not the current one, {stage.attempt}")
    if stage.state.ended:
        raise Conflict(f"the stage is {stage.state}")
    return stage


def _own(stage: Stage, ref: Ref) -> None:
    if stage.claim_id != ref.claim_id:
        raise Conflict("the stage is held by another claim")


def _held(work: StageWork, ref: Ref) -> Stage:
    """The stage when the caller holds it. A lease that has ended and was not taken back yet still holds."""
    stage = _current(work, ref)
    if stage.state is not StageState.LEASED:
        raise Conflict("the stage is not claimed")
    _own(stage, ref)
    return stage


def _ended_by(stage: Stage, ref: Ref, state: StageState) -> bool:
    return stage.state is state and stage.attempt == ref.attempt and stage.claim_id == ref.claim_id


def _wanted(answer: Answer, job: Job) -> None:
    prompts, samples = len(job.parameters.references_per_prompt), job.parameters.samples_per_prompt
    if not (0 <= answer.prompt < prompts and 0 <= answer.sample < samples):
        raise Rejected(f"the job has {prompts} prompts of {samples} samples", field="answers")


def _bury(work: StageWork, failure: Failure, reason: str) -> None:
    work.give_up(reason)
    _log.warning("a stage is dead", job_id=str(work.job.job_id), stage=work.stage.name.value, reason=reason)
    if work.stage.name is StageName.GENERATE:
        _go_on_without_generation(work)
    else:
        work.fail(failure)


def _go_on_without_generation(work: StageWork) -> None:
    degraded = tuple(dict.fromkeys((*work.job.degraded, GENERATION)))
    work.begin(StageName.VERIFY, budget_s=None, degraded=degraded)
