"""The generate stage: claim, ask for what is missing, record what arrives, complete.

Answers are carried and never interpreted: the orchestrator parses and gates them.
"""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any

from g3_dialogue import rendered
from g3_kit.errors import Conflict, G3Error, Late, Rejected, Unavailable
from g3_kit.lease import Lease

from g3_generation.retries import Retries
from g3_generation.sampler import Question, Reply, Sampler
from g3_generation.stages import Answer, Claim, StageRef, Stages

NO_ENDPOINT = "no LMM endpoint is configured"
MAX_ANSWER_BYTES = 16 * 1024  # Answer.text in stages.proto


class Outcome(Enum):
    """How one delivery of a message ended."""

    COMPLETED = "completed"
    """Every answer is recorded and the next stage has begun."""
    FAILED = "failed"
    """The stage was given back with a reason."""
    REFUSED = "refused"
    """The claim was refused: finished, cancelled, or somebody else's. Nothing was done."""
    LOST = "lost"
    """The stage went to somebody else in mid-work; what was recorded stays."""


@dataclass
class _Asking:
    """One prompt on its way: which samples are missing, how often it failed in a row, when it may be asked again."""

    prompt: int
    parts: tuple[str | bytes, ...]
    missing: list[int]
    failures: int = 0
    due: float = 0.0
    error: G3Error | None = None

    @property
    def open(self) -> bool:
        return bool(self.missing) and self.error is None


@dataclass
class Generation:
    """Works one stage at a time; one object serves many threads.

    `sampler` None: no endpoint is configured, every stage is given back at once and the orchestrator answers from
    retrieved candidates. `call_s`: longest wait in seconds for one call of the LMM, whatever the budget.
    """

    stages: Stages
    sampler: Sampler | None
    retries: Retries = field(default_factory=Retries)
    call_s: float = 60.0

    def run(self, ref: StageRef) -> Outcome:
        """Works `ref` to its end. Raises Unavailable when the orchestrator is away: its sweeper rings again."""
        try:
            claim = self.stages.claim(ref)
        except Conflict:
            return Outcome.REFUSED
        try:
            with Lease(partial(self._renew, ref), claim.lease_s, name=f"lease-{ref.job_id}") as lease:
                return self._work(ref, claim, lease)
        except Conflict:
            return Outcome.LOST

    def _renew(self, ref: StageRef, deadline_s: float) -> float:
        return self.stages.renew(ref, deadline_s=deadline_s)

    def _work(self, ref: StageRef, claim: Claim, lease: Lease) -> Outcome:
        if self.sampler is None:
            return self._fail(ref, lease, retryable=False, reason=NO_ENDPOINT)
        try:
            round_ = _Round(self, self.sampler, ref, claim, lease)
        except Rejected as error:
            return self._fail(ref, lease, retryable=False, reason=error.message)
        errors = round_.ask_all()
        if not errors:
            self.insist(lease, lambda: self.stages.complete(ref))
            return Outcome.COMPLETED
        # One prompt that can never be answered makes another attempt pointless, whatever befell the others.
        final = [error for error in errors if not isinstance(error, Unavailable)]
        return self._fail(ref, lease, retryable=not final, reason=(final or errors)[0].message)

    def _fail(self, ref: StageRef, lease: Lease, *, retryable: bool, reason: str) -> Outcome:
        self.insist(lease, lambda: self.stages.fail(ref, retryable=retryable, reason=reason))
        return Outcome.FAILED

    def insist(self, lease: Lease, call: Callable[[], object]) -> None:
        """Repeats an idempotent stage write until it is taken, its tries are over, or the lease is lost.

        Raises Conflict when the lease is lost, Unavailable when the orchestrator stays away.
        """
        failures = 0
        while True:
            lease.check()
            try:
                call()
            except Unavailable as error:
                failures += 1
                if failures >= self.retries.tries:
                    raise
                wait([lease.lost], timeout=self.retries.wait_s(failures, error))
            else:
                return


class _Round:
    """Asks all prompts of one claim side by side and records each answer as it arrives."""

    def __init__(self, generation: Generation, sampler: Sampler, ref: StageRef, claim: Claim, lease: Lease) -> None:
        """Raises Rejected when a prompt cannot be rendered."""
        if not claim.photo:
            raise Rejected("the claimed stage carries no photo")
        self._generation = generation
        self._sampler = sampler
        self._ref = ref
        self._claim = claim
        self._lease = lease
        self._ends = time.monotonic() + claim.budget_s
        self._askings = [
            _Asking(prompt.index, rendered(prompt, claim.photo, claim.prompt_order), claim.missing(prompt))
            for prompt in claim.prompts
        ]
        self._flying: dict[Future[list[Reply]], _Asking] = {}

    def ask_all(self) -> list[G3Error]:
        """Returns what kept prompts from being answered; empty when every sample is recorded.

        Raises Conflict as soon as the lease is lost; calls in flight are then abandoned.
        """
        try:
            while any(asking.open for asking in self._askings):
                self._launch()
                awaited: set[Future[Any]] = {self._lease.lost, *self._flying}
                wait(awaited, timeout=self._patience_s(), return_when=FIRST_COMPLETED)
                self._lease.check()
                for future in [future for future in self._flying if future.done()]:
                    self._land(future, self._flying.pop(future))
                if time.monotonic() >= self._ends:
                    self._give_up()
        finally:
            for future in self._flying:
                future.cancel()
        return [asking.error for asking in self._askings if asking.error is not None]

    def _launch(self) -> None:
        now = time.monotonic()
        flying = [id(asking) for asking in self._flying.values()]
        for asking in self._askings:
            if asking.open and id(asking) not in flying and asking.due <= now < self._ends:
                deadline_s = min(self._generation.call_s, self._ends - now)
                question = Question(asking.parts, len(asking.missing), self._claim.temperature, deadline_s)
                self._flying[self._sampler.ask(question)] = asking

    def _patience_s(self) -> float:
        """Seconds until something must be looked at again even if nothing arrives."""
        flying = [id(asking) for asking in self._flying.values()]
        dues = [asking.due for asking in self._askings if asking.open and id(asking) not in flying]
        return max(0.0, min([self._ends, *dues]) - time.monotonic())

    def _land(self, future: Future[list[Reply]], asking: _Asking) -> None:
        try:
            replies = future.result()
        except Unavailable as error:
            self._postpone(asking, error)
        except G3Error as error:
            asking.error = error
        else:
            if replies:
                self._record(asking, replies)
            else:
                self._postpone(asking, Unavailable("the LMM endpoint answered without any choice"))

    def _postpone(self, asking: _Asking, error: Unavailable) -> None:
        asking.failures += 1
        wait_s = self._generation.retries.wait_s(asking.failures, error)
        asking.due = time.monotonic() + wait_s
        if asking.failures >= self._generation.retries.tries or asking.due >= self._ends:
            asking.error = error

    def _record(self, asking: _Asking, replies: list[Reply]) -> None:
        asking.failures = 0
        answers = [
            Answer(asking.prompt, sample, carried(reply.text), reply.model, reply.prompt_tokens, reply.answer_tokens)
            for sample, reply in zip(asking.missing, replies, strict=False)
        ]
        self._generation.insist(self._lease, lambda: self._generation.stages.record(self._ref, answers))
        asking.missing = asking.missing[len(answers) :]

    def _give_up(self) -> None:
        for asking in self._askings:
            if asking.open:
                asking.error = Late(f"the budget of {self._claim.budget_s:g} s ended before the LMM had answered")


def carried(text: str) -> str:
    """The text as the contract can carry it: at most 16 KiB of UTF-8, cut between characters.

    Lone surrogates (JSON can spell them, UTF-8 cannot) and NUL (which PostgreSQL does not store) become U+FFFD.
    """
    clean = text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return clean.encode()[:MAX_ANSWER_BYTES].decode("utf-8", "ignore")
