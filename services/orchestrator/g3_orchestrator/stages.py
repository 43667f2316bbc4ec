"""The stage protocol (DESIGN, section 3): who may work on a stage, and what follows when it ends.

The attempt is the fence. It grows only when a lease ends unrenewed or a retryable failure is recorded, and every write
names the attempt it works for: a write of an older attempt is refused with Conflict, and the worker lets go.
The broker only rings; whatever it loses is rung again by `sweep`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from uuid import UUID

from g3_kit.errors import Conflict, Rejected

from g3_orchestrator import filling, following
from g3_orchestrator.model import Answer, Failure, Job, Result, Retrieval, Stage
from g3_orchestrator.protocol import Claim, Policy, Ref, RunClaim, Swept
from g3_orchestrator.repeating import again
from g3_orchestrator.runs import (
    KEPT_REJECTS,
    IngestPlan,
    Publication,
    Reject,
    RejectFile,
    Room,
    Tally,
    judge_rejects,
)
from g3_orchestrator.states import JobKind, JobState, StageName, StageState
from g3_orchestrator.store.port import StageStore, StageWork

__all__ = ["Claim", "Policy", "Ref", "RunClaim", "Stages", "Swept"]


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
        held = None if ref.stage.kind is JobKind.INGEST else self._store.claim_free(ref, self.policy.lease_s)
        if held is not None:
            return self._claimed(held.job, held.stage, held.now)
        with self._locked(ref) as work:
            stage = _current(work, ref)
            if stage.state is StageState.LEASED:
                _own(stage, ref)
                work.renew(self.policy.lease_s)
            else:
                if stage.budget_until is not None and work.now >= stage.budget_until:
                    raise Conflict("the budget of this stage is spent")
                work.lease(ref.claim_id, self.policy.lease_s)
            run = _run_claim(work) if ref.stage.kind is JobKind.INGEST else None
            return self._claimed(work.job, work.stage, work.now, run)

    def _claimed(self, job: Job, stage: Stage, now: datetime, run: RunClaim | None = None) -> Claim:
        budget_s = None if stage.budget_until is None else (stage.budget_until - now).total_seconds()
        return Claim(job, stage, self.policy.lease_s, budget_s and max(budget_s, 0.0), run)

    def renew(self, ref: Ref) -> float:
        """Keeps a held stage; the seconds until its lease ends. Raises Conflict, Missing."""

        def keep() -> float:
            with self._locked(ref) as work:
                _held(work, ref)
                work.renew(self.policy.lease_s)
            return self.policy.lease_s

        return again(keep)

    def record(self, ref: Ref, answers: Sequence[Answer]) -> int:
        """Stores each (prompt, sample) once; how many were new. Raises Conflict, Missing, Rejected."""

        def store() -> int:
            with self._locked(ref) as work:
                _held(work, ref)
                for answer in answers:
                    _wanted(answer, work.job)
                return work.record(answers)

        return again(store)

    def record_plan(self, ref: Ref, plan: IngestPlan) -> None:
        """Stores what the stage plan found; the last one before it is completed stands. Raises Conflict, Missing."""

        def store() -> None:
            with self._locked(ref) as work:
                _held(work, ref)
                work.run.keep_plan(plan)

        again(store)

    def room_for_rejects(self, ref: Ref) -> Room:
        """How many more rejects of the shard are kept as rows. Raises Conflict, Missing."""

        def read() -> Room:
            with self._locked(ref) as work:
                _held(work, ref)
                return Room(work.stage.tenant_id, max(0, KEPT_REJECTS - work.run.kept_rejects()))

        return again(read)

    def advance(self, ref: Ref, tally: Tally, rejects: Sequence[Reject], file: RejectFile | None = None) -> bool:
        """Stores how far a shard is; False, and nothing changes, when it was as far already.

        Raises Conflict, Missing, and Rejected for a tally beyond the shard or rejects of other rows.
        """

        def store() -> bool:
            with self._locked(ref) as work:
                _held(work, ref)
                plan = filling.planned(work)
                if tally.read > plan.rows_of(ref.shard):
                    raise Rejected(f"the shard has {plan.rows_of(ref.shard)} rows", field="tally.read")
                judge_rejects(rejects, plan, ref.shard)
                return work.run.advance(tally, rejects, file)

        return again(store)

    def record_publication(self, ref: Ref, publication: Publication) -> None:
        """Stores what the stage publish found. Raises Conflict, Missing."""

        def store() -> None:
            with self._locked(ref) as work:
                _held(work, ref)
                work.run.keep_publication(publication)

        again(store)

    def release(self, ref: Ref, reason: str) -> None:
        """Gives a stage back without a fault of its own: due at once as the next attempt. Raises Conflict, Missing."""

        def give_back() -> None:
            with self._locked(ref) as work:
                _held(work, ref)
                work.release(reason)
                work.ring(self.policy.ring_again_s)

        again(give_back)

    def _locked(self, ref: Ref) -> AbstractContextManager[StageWork]:
        return self._store.locked(ref.job_id, ref.stage, ref.shard)

    def complete(
        self, ref: Ref, *, job: Job | None = None, retrieval: Retrieval | None = None, result: Result | None = None
    ) -> None:
        """Ends the stage and starts what follows, in one transaction. A repeat by the same claim changes nothing.

        `retrieve` brings its retrieval, the claimed job if it is at hand, and the result of a strategy that has no
        other stage; `verify` its result. Raises Conflict, Missing, Rejected.
        """
        again(lambda: self._complete(ref, job, retrieval, result))

    def _complete(self, ref: Ref, job: Job | None, retrieval: Retrieval | None, result: Result | None) -> None:
        if self._completed_as_usual(ref, job, retrieval, result):
            return
        with self._locked(ref) as work:
            if _ended_by(work.stage, ref, StageState.DONE):
                return
            _held(work, ref)
            work.finish()
            following.follow(work, self.policy, retrieval, result)

    def _completed_as_usual(
        self, ref: Ref, job: Job | None, retrieval: Retrieval | None, result: Result | None
    ) -> bool:
        if ref.stage is StageName.GENERATE:
            return self._store.finish_generate(ref, following.AFTER_GENERATION)
        if ref.stage is StageName.RETRIEVE and job is not None and retrieval is not None and result is None:
            return self._store.finish_retrieve(ref, retrieval, following.after_retrieval(job, retrieval, self.policy))
        return ref.stage is StageName.VERIFY and result is not None and self._store.finish_verify(ref, result)

    def fail(self, ref: Ref, failure: Failure, *, retryable: bool) -> None:
        """Gives a stage back: due again after a back-off as the next attempt, or dead. Raises Conflict, Missing."""
        again(lambda: self._fail(ref, failure, retryable))

    def _fail(self, ref: Ref, failure: Failure, retryable: bool) -> None:
        with self._locked(ref) as work:
            # A cancelled job killed its stage too, and that is news for the worker.
            if _ended_by(work.stage, ref, StageState.DEAD) and work.job.state is not JobState.CANCELLED:
                return
            stage = _held(work, ref)
            reason = f"{failure.code}: {failure.message}"
            if retryable and stage.fruitless < self.policy.max_attempts:
                work.retry(self.policy.backoff_s(stage.fruitless), reason)
            else:
                following.bury(work, failure, reason)

    def sweep(self, limit: int = 100) -> Swept:
        """Looks after at most `limit` stages whose time has come. Several sweepers at once share the work."""
        counts = {"rung": 0, "taken_back": 0, "given_up": 0}
        failed: set[UUID] = set()
        with self._store.overdue(limit) as works:
            for work in works:
                # A shard whose run has failed a moment ago was closed with it.
                if work.stage.job_id not in failed:
                    counts[self._look_after(work)] += 1
                if work.job.state.ended:
                    failed.add(work.stage.job_id)
        return Swept(**counts)

    def _look_after(self, work: StageWork) -> str:
        stage = work.stage
        if stage.budget_until is not None and work.now >= stage.budget_until:
            following.bury(work, Failure("late", "the stage took longer than its budget"), "its budget is spent")
            return "given_up"
        if stage.state is not StageState.LEASED:
            work.ring(self.policy.ring_again_s)
            return "rung"
        if stage.fruitless >= self.policy.max_attempts:
            message = f"the work was begun {stage.fruitless} times and never finished"
            following.bury(work, Failure("unavailable", message), "its last lease ended")
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


def _run_claim(work: StageWork) -> RunClaim:
    tally = work.run.total() if work.stage.name is StageName.PUBLISH else work.run.tally()
    return RunClaim(work.run.spec(), work.run.plan(), tally)
