"""A question on its way through the engine."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from g3_world.lmm.forms import Hold
from g3_world.lmm.model import Prompt, Read
from g3_world.lmm.questions import Answer, Answers, Question
from g3_world.lmm.writing import Sample, Sampling

_SEEDS = 2**63


@dataclass
class Work:
    """A question laid out, what holds its answers in form, and where they go."""

    question: Question
    prompt: Prompt
    holds: Sequence[Hold] = ()
    answers: "Future[Answers]" = field(default_factory=Future)
    _abandoned: threading.Event = field(default_factory=threading.Event)

    def abandon(self) -> None:
        """Nobody waits any more: it stops before its next token, or is never begun."""
        self._abandoned.set()
        self.answers.cancel()

    @property
    def wanted(self) -> bool:
        """Whether anybody waits."""
        return not self._abandoned.is_set()

    def fail(self, error: BaseException) -> None:
        """Tells whoever waits, unless they know how it ended or have gone."""
        with suppress(InvalidStateError):
            self.answers.set_exception(error)

    def samples(self, read: Read, context: int, goes_on: Callable[[], bool]) -> list[Sample]:
        """The n samples of the question, each with random numbers of its own, written while `goes_on`."""
        question = self.question
        room = context - len(self.prompt)
        sampling = Sampling(question.temperature, min(question.most or room, room), question.stop)
        holds: Sequence[Hold | None] = self.holds or [None] * question.n
        return [Sample(read, sampling, _random(question.seed, k), holds[k], goes_on) for k in range(question.n)]

    def tell(self, samples: Sequence[Sample]) -> Answers:
        """Sets the result. Every sample has ended, one of them maybe in an error, which is then everybody's."""
        errors = [sample.error for sample in samples if sample.error is not None]
        answers = tuple(
            Answer(sample.text, len(sample.ids), sample.finish) for sample in samples if sample.finish is not None
        )
        told = Answers(answers, len(self.prompt), samples[0].read.cached)
        if errors:
            self.fail(errors[0])
        else:
            self.answers.set_result(told)
        return told


def _random(seed: int | None, sample: int) -> np.random.Generator:
    """The same numbers for the same seed and sample."""
    return np.random.default_rng(None if seed is None else (seed % _SEEDS, sample))
