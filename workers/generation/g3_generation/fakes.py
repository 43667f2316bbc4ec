"""The ports without a network, for tests. They keep the same contracts as the real adapters."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from g3_kit.errors import Conflict, G3Error, Late, Missing

from g3_generation.sampler import OpenCircuit, Question, Reply
from g3_generation.stages import Answer, Claim, StageRef


@dataclass
class FakeSampler:
    """Answers with `text(question, k)` to the k-th answer ever asked for (from 0).

    `errors` come first, one a call, None for a call that goes well. `most`: largest number of replies a call gets.
    `hang`: calls never end by themselves but at their deadline. `circuit`: what `trouble` says. `calls`: how many calls
    it would like to have side by side.
    """

    text: Callable[[Question, int], str] = lambda question, k: f"answer {k}"
    errors: list[G3Error | None] = field(default_factory=list)
    most: int | None = None
    hang: bool = False
    questions: list[Question] = field(default_factory=list)
    abandoned: int = 0
    given: int = 0
    circuit: OpenCircuit | None = None
    calls: int = 32

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._hanging: dict[Future[list[Reply]], threading.Timer] = {}

    def ask(self, question: Question) -> Future[list[Reply]]:
        future: Future[list[Reply]] = Future()
        with self._lock:
            self.questions.append(question)
            error = self.errors.pop(0) if self.errors else None
            if error is not None:
                future.set_exception(error)
            elif self.hang:
                self._hang(future, question.deadline_s)
            else:
                n = min(question.n, self.most or question.n)
                future.set_result([self._reply(question) for _ in range(n)])
        return future

    def trouble(self) -> OpenCircuit | None:
        return self.circuit

    def close(self) -> None:
        for future in list(self._hanging):
            future.cancel()

    def _reply(self, question: Question) -> Reply:
        self.given += 1
        return Reply(self.text(question, self.given - 1), "fake", prompt_tokens=10, answer_tokens=5)

    def _hang(self, future: Future[list[Reply]], deadline_s: float) -> None:
        def late() -> None:
            if future.set_running_or_notify_cancel():
                future.set_exception(Late(f"no answer within {deadline_s:.3g} s"))

        timer = threading.Timer(deadline_s, late)
        timer.daemon = True
        self._hanging[future] = timer
        future.add_done_callback(self._landed)
        timer.start()

    def _landed(self, future: Future[list[Reply]]) -> None:
        self._hanging.pop(future).cancel()
        if future.cancelled():
            self.abandoned += 1


@dataclass
class _Stage:
    claim: Claim
    attempt: int
    claim_id: str = ""
    state: str = "dispatched"
    ends: float = 0.0
    answers: dict[tuple[int, int], Answer] = field(default_factory=dict)
    reason: str = ""


class FakeStages:
    """The stage protocol in memory, with its fence and its lease."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[tuple[str, str], _Stage] = {}
        self.renewals = 0
        self.errors: list[G3Error] = []
        """Raised first by the next calls other than `claim` and `renew`, one a call."""

    def put(self, job_id: str, claim: Claim, *, stage: str = "generate", attempt: int = 1) -> None:
        """Makes a stage, or the next attempt of one; `claim.held` grows by what is recorded."""
        with self._lock:
            before = self._stages.get((job_id, stage))
            self._stages[job_id, stage] = _Stage(claim, attempt, answers=dict(before.answers) if before else {})

    def cancel(self, job_id: str, *, stage: str = "generate") -> None:
        """Ends the stage as a cancelled job does."""
        with self._lock:
            self._stages[job_id, stage].state = "cancelled"

    def state(self, job_id: str, *, stage: str = "generate") -> str:
        """ "dispatched", "leased", "done", "failed" (retryable), "dead", "released" or "cancelled"."""
        return self._stages[job_id, stage].state

    def reason(self, job_id: str, *, stage: str = "generate") -> str:
        """Why it failed."""
        return self._stages[job_id, stage].reason

    def answers(self, job_id: str, *, stage: str = "generate") -> list[Answer]:
        """What is recorded, by prompt and sample."""
        with self._lock:
            stored = self._stages[job_id, stage].answers
            return [stored[key] for key in sorted(stored)]

    def claim(self, ref: StageRef) -> Claim:
        with self._lock:
            stage = self._found(ref)
            again = stage.state == "leased" and stage.claim_id == ref.claim_id
            taken = stage.state == "leased" and time.monotonic() < stage.ends
            if not again and (stage.state not in {"dispatched", "leased"} or taken):
                raise Conflict(f"the stage is {stage.state}")
            stage.state, stage.claim_id = "leased", ref.claim_id
            stage.ends = time.monotonic() + stage.claim.lease_s
            claim = stage.claim
            return Claim(
                lease_s=claim.lease_s,
                budget_s=claim.budget_s,
                prompts=claim.prompts,
                held=claim.held | frozenset(stage.answers),
                photo=claim.photo,
                temperature=claim.temperature,
                prompt_order=claim.prompt_order,
            )

    def renew(self, ref: StageRef, *, deadline_s: float) -> float:
        with self._lock:
            stage = self._ours(ref)
            self.renewals += 1
            stage.ends = time.monotonic() + stage.claim.lease_s
            return stage.claim.lease_s

    def record(self, ref: StageRef, answers: Sequence[Answer]) -> int:
        self._trip()
        with self._lock:
            stage = self._ours(ref)
            before = len(stage.answers)
            for answer in answers:
                stage.answers.setdefault((answer.prompt, answer.sample), answer)
            return len(stage.answers) - before

    def complete(self, ref: StageRef) -> None:
        self._end(ref, "done", "")

    def fail(self, ref: StageRef, *, retryable: bool, reason: str) -> None:
        self._end(ref, "failed" if retryable else "dead", reason)

    def release(self, ref: StageRef, reason: str) -> None:
        self._end(ref, "released", reason)

    def _end(self, ref: StageRef, state: str, reason: str) -> None:
        self._trip()
        with self._lock:
            stage = self._found(ref)
            if stage.state == state and stage.claim_id == ref.claim_id:
                return
            self._ours(ref)
            stage.state, stage.reason = state, reason

    def _trip(self) -> None:
        with self._lock:
            if self.errors:
                raise self.errors.pop(0)

    def _found(self, ref: StageRef) -> _Stage:
        stage = self._stages.get((ref.job_id, ref.stage))
        if stage is None:
            raise Missing("no such stage")
        if stage.attempt != ref.attempt:
            raise Conflict(f"attempt {ref.attempt} is not the current one")
        return stage

    def _ours(self, ref: StageRef) -> _Stage:
        stage = self._found(ref)
        if stage.state != "leased" or stage.claim_id != ref.claim_id:
            raise Conflict(f"the stage is {stage.state}")
        return stage
