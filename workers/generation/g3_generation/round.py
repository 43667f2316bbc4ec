"""Asking all prompts of one claimed stage and recording each answer as it arrives.

The prompts of the order `image_first` are prefixes of one another: the shortest is asked first, and the others once it
has been answered, so that the server has the photo and the instruction in its prefix cache. Those of the order `paper`
share nothing and are asked side by side.
"""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

from g3_dialogue import PromptOrder, rendered
from g3_kit.errors import G3Error, Late, Rejected, Unavailable
from g3_kit.lease import Lease
from g3_photo import rendition

from g3_generation.retries import Retries
from g3_generation.sampler import OpenCircuit, Picture, Question, Reply, Sampler
from g3_generation.seeds import batch, seed_of
from g3_generation.stages import Answer, Claim, StageRef, Stages

MAX_ANSWER_BYTES = 16 * 1024  # Answer.text in stages.proto


class Leaving(Exception):
    """The worker was asked to stop before every sample was recorded; what was recorded stays."""


@dataclass
class Means:
    """What a round works with.

    `call_s`: longest wait for one call. `warm_s`: longest that the other prompts wait for the first. `drain_s`: how
    long calls in flight may go on once `leaving` is done. `photo_px`: longest side of the photo as it is sent.
    """

    stages: Stages
    sampler: Sampler
    retries: Retries = field(default_factory=Retries)
    call_s: float = 60.0
    warm_s: float = 20.0
    drain_s: float = 20.0
    photo_px: int = 1024
    leaving: Future[None] = field(default_factory=Future)


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


class Round:
    """The prompts of one claim."""

    def __init__(self, means: Means, ref: StageRef, claim: Claim, lease: Lease) -> None:
        """Raises Rejected when the claim's photo is none."""
        self._means, self._ref, self._claim, self._lease = means, ref, claim, lease
        self._ends = time.monotonic() + claim.budget_s
        nested = claim.prompt_order is PromptOrder.IMAGE_FIRST
        prompts = sorted(claim.prompts, key=lambda prompt: prompt.length if nested else 0)
        wanted = [(prompt, missing) for prompt in prompts if (missing := claim.missing(prompt))]
        photo = _shown(claim.photo, means.photo_px) if wanted else Picture()
        self._askings = [
            _Asking(prompt.index, rendered(prompt, photo, claim.prompt_order), missing) for prompt, missing in wanted
        ]
        self._flying: dict[Future[list[Reply]], _Asking] = {}
        self._first = self._askings[0] if nested and len(self._askings) > 1 else None
        self._warm_by = time.monotonic() + means.warm_s
        self._gone_by: float | None = None

    def ask_all(self) -> list[G3Error]:
        """Returns what kept prompts from being answered; empty when every sample is recorded.

        Raises Conflict as soon as the lease is lost and Leaving when the worker stops first; calls in flight are then
        abandoned.
        """
        try:
            while any(asking.open for asking in self._askings):
                self._launch()
                self._await()
                for future in [future for future in self._flying if future.done()]:
                    self._land(future, self._flying.pop(future))
                if time.monotonic() >= self._ends:
                    self._give_up()
        finally:
            for future in self._flying:
                future.cancel()
        return [asking.error for asking in self._askings if asking.error is not None]

    def _launch(self) -> None:
        if self._means.leaving.done():
            return
        now = time.monotonic()
        for asking in self._ready():
            if asking.due <= now < self._ends:
                deadline_s = min(self._means.call_s, self._ends - now)
                samples = batch(asking.missing)
                seed = seed_of(self._ref.job_id, asking.prompt, samples[0])
                question = Question(asking.parts, len(samples), self._claim.temperature, deadline_s, seed)
                self._flying[self._means.sampler.ask(question)] = asking

    def _ready(self) -> list[_Asking]:
        """What is to be asked and is not being asked: the shortest prompt alone until it has been answered."""
        flying = [id(asking) for asking in self._flying.values()]
        ready = [asking for asking in self._askings if asking.open and id(asking) not in flying]
        if self._first is not None and not self._first.open:
            self._first = None
        if self._first is None or time.monotonic() >= self._warm_by:
            return ready
        return [asking for asking in ready if asking is self._first]

    def _await(self) -> None:
        """Waits until something must be looked at. Raises Conflict, Leaving."""
        leaving = self._means.leaving
        if leaving.done() and self._gone_by is None:
            self._gone_by = time.monotonic() + self._means.drain_s
        awaited: set[Future[Any]] = {self._lease.lost, *self._flying}
        if self._gone_by is None:
            awaited.add(leaving)
        elif not self._flying or time.monotonic() >= self._gone_by:
            raise Leaving
        wait(awaited, timeout=self._patience_s(), return_when=FIRST_COMPLETED)
        self._lease.check()

    def _patience_s(self) -> float:
        """Seconds until something must be looked at again even if nothing arrives."""
        moments = [self._ends]
        if self._gone_by is not None:
            moments.append(self._gone_by)
        else:
            moments += [asking.due for asking in self._ready()]
            moments += [self._warm_by] if self._first is not None and time.monotonic() < self._warm_by else []
        return max(0.0, min(moments) - time.monotonic())

    def _land(self, future: Future[list[Reply]], asking: _Asking) -> None:
        try:
            replies = future.result()
        except OpenCircuit as error:
            # Nobody is asked any more: what is not on its way is given back at once.
            asking.error = error
            for other in self._ready():
                other.error = error
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
        wait_s = self._means.retries.wait_s(asking.failures, error)
        asking.due = time.monotonic() + wait_s
        if asking.failures >= self._means.retries.tries or asking.due >= self._ends:
            asking.error = error

    def _record(self, asking: _Asking, replies: list[Reply]) -> None:
        asking.failures = 0
        if asking is self._first:
            self._first = None
        answers = [
            Answer(asking.prompt, sample, carried(reply.text), reply.model, reply.prompt_tokens, reply.answer_tokens)
            for sample, reply in zip(batch(asking.missing), replies, strict=False)
        ]
        asking.missing = asking.missing[len(answers) :]
        # The next questions leave before the answers are written: the LMM has work meanwhile.
        self._launch()
        insist(self._lease, self._means.retries, lambda: self._means.stages.record(self._ref, answers))

    def _give_up(self) -> None:
        for asking in self._askings:
            if asking.open:
                asking.error = Late(f"the budget of {self._claim.budget_s:g} s ended before the LMM had answered")


def insist(lease: Lease, retries: Retries, call: Callable[[], object]) -> None:
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
            if failures >= retries.tries:
                raise
            wait([lease.lost], timeout=retries.wait_s(failures, error))
        else:
            return


def carried(text: str) -> str:
    """The text as the contract can carry it: at most 16 KiB of UTF-8, cut between characters.

    Lone surrogates (JSON can spell them, UTF-8 cannot) and NUL (which PostgreSQL does not store) become U+FFFD.
    """
    clean = text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return clean.encode()[:MAX_ANSWER_BYTES].decode("utf-8", "ignore")


def _shown(photo: bytes, longest_side_px: int) -> Picture:
    """The photo as the LMM gets it: re-encoded from its pixels, bounded, never enlarged. Raises Rejected."""
    if not photo:
        raise Rejected("the claimed stage carries no photo")
    return Picture(rendition(photo, longest_side_px=longest_side_px))
