"""The generate stage: claim, ask for what is missing, record what arrives, complete.

Answers are carried and never interpreted: the orchestrator parses and gates them.
"""

import math
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from g3_kit.errors import Conflict, Rejected, Unavailable
from g3_kit.lease import Lease

from g3_generation.berths import Berths
from g3_generation.retries import Retries
from g3_generation.round import Leaving, Means, Round, insist
from g3_generation.sampler import Sampler
from g3_generation.stages import Claim, StageRef, Stages

NO_ENDPOINT = "no LMM endpoint is configured"
LEAVING = "the worker was asked to stop"
# Of K prompts in the order `image_first` one is in flight, then K - 1: half of them on average. Half as many stages
# again are being claimed, recorded or completed meanwhile.
_DEPTH = 3
_PROMPTS = 4  # until the first claim says how many there are


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
    RELEASED = "released"
    """The worker stops: the stage was given back to be taken at once; what was recorded stays."""
    DEFERRED = "deferred"
    """The stage was not claimed: the worker stops, or the LMM has as much as it can take. The message goes back."""


@dataclass
class Generation:
    """Works one stage at a time; one object serves many threads.

    `sampler` None: no endpoint is configured, every stage is given back at once and the orchestrator answers from
    retrieved candidates. `call_s`: longest wait in seconds for one call of the LMM, whatever the budget. `warm_s`,
    `drain_s`, `photo_px`: as in `Means`. `berth_s`: how long an unclaimed stage waits for the LMM to have room.
    `leaving`: done when the worker is asked to stop.
    """

    stages: Stages
    sampler: Sampler | None
    retries: Retries = field(default_factory=Retries)
    call_s: float = 60.0
    warm_s: float = 20.0
    drain_s: float = 20.0
    berth_s: float = 30.0
    photo_px: int = 1024
    leaving: Future[None] = field(default_factory=Future)

    def __post_init__(self) -> None:
        """Nothing is in hand."""
        self._prompts = _PROMPTS
        self._berths = Berths(self._most)

    def run(self, ref: StageRef) -> Outcome:
        """Works `ref` to its end. Raises Unavailable when the orchestrator is away: its sweeper rings again."""
        if not self._berths.take(self.berth_s, self.leaving):
            return Outcome.DEFERRED
        try:
            return self._run(ref)
        finally:
            self._berths.free()

    def leave(self) -> None:
        """From now on nothing is claimed or asked; calls in flight may go on for `drain_s`. May be repeated."""
        if not self.leaving.done():
            self.leaving.set_result(None)

    def _most(self) -> int:
        """Stages that may be in hand. One that is only given back needs no room at the LMM."""
        if self.sampler is None or self.sampler.trouble() is not None:
            return 1024
        return max(1, math.ceil(_DEPTH * self.sampler.calls / self._prompts))

    def _run(self, ref: StageRef) -> Outcome:
        try:
            claim = self.stages.claim(ref)
        except Conflict:
            return Outcome.REFUSED
        self._prompts = max(1, len(claim.prompts))
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
        trouble = self.sampler.trouble()
        if trouble is not None and any(claim.missing(prompt) for prompt in claim.prompts):
            return self._fail(ref, lease, retryable=True, reason=trouble.message)
        means = Means(
            self.stages,
            self.sampler,
            self.retries,
            call_s=self.call_s,
            warm_s=self.warm_s,
            drain_s=self.drain_s,
            photo_px=self.photo_px,
            leaving=self.leaving,
        )
        try:
            errors = Round(means, ref, claim, lease).ask_all()
        except Rejected as error:
            return self._fail(ref, lease, retryable=False, reason=error.message)
        except Leaving:
            insist(lease, self.retries, lambda: self.stages.release(ref, LEAVING))
            return Outcome.RELEASED
        if not errors:
            insist(lease, self.retries, lambda: self.stages.complete(ref))
            return Outcome.COMPLETED
        # One prompt that can never be answered makes another attempt pointless, whatever befell the others.
        final = [error for error in errors if not isinstance(error, Unavailable)]
        return self._fail(ref, lease, retryable=not final, reason=(final or errors)[0].message)

    def _fail(self, ref: StageRef, lease: Lease, *, retryable: bool, reason: str) -> Outcome:
        insist(lease, self.retries, lambda: self.stages.fail(ref, retryable=retryable, reason=reason))
        return Outcome.FAILED
