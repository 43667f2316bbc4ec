"""Answers, token by token: the samples of one batch side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import NDArray

from g3_world.lmm.forms import Hold
from g3_world.lmm.model import Continuation, LanguageModel, Logits, Read, Tokens


class Finish(Enum):
    """Why an answer ended, in OpenAI's words."""

    STOP = "stop"
    """The model ended it, a stop text came, or its form is fulfilled."""
    LENGTH = "length"
    """It has as many tokens as it may."""


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0 takes the likeliest token; `stop` texts end an answer before them; `most` tokens at most."""

    temperature: float
    most: int
    stop: tuple[str, ...] = ()


@dataclass
class Sample:
    """One answer on its way. `random` is its own, so that a seed gives the same answer whatever runs beside it."""

    read: Read
    sampling: Sampling
    random: np.random.Generator
    hold: Hold | None = None
    goes_on: Callable[[], bool] = lambda: True
    """Whether anybody still waits for it."""
    ids: list[int] = field(default_factory=list)
    text: str = ""
    finish: Finish | None = None
    error: Rejected | None = None
    """Why the form could not be followed to its end."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self.finish is not None or self.error is not None

    def take(self, logits: Logits, tokens: Tokens) -> int | None:
        """Chooses the next token from float32 [v]; None when the answer has ended."""
        try:
            return self._take(logits, tokens)
        except Rejected as error:
            # One request's form must not end the answers beside it.
            self.error = error
            return None

    def _take(self, logits: Logits, tokens: Tokens) -> int | None:
        token = chosen(logits, self.sampling.temperature, self.random, self.hold.allowed() if self.hold else None)
        if token in tokens.ends:
            self._end(Finish.STOP, tokens)
            return None
        self.ids.append(token)
        if self.hold is not None:
            self.hold.take(token)
            if self.hold.complete:
                self._end(Finish.STOP, tokens)
                return None
        if self.sampling.stop and self._stopped(tokens):
            return None
        if len(self.ids) >= self.sampling.most:
            self._end(Finish.LENGTH, tokens)
            return None
        return token

    def _end(self, finish: Finish, tokens: Tokens) -> None:
        self.finish = finish
        self.text = tokens.text(self.ids)

    def _stopped(self, tokens: Tokens) -> bool:
        text = tokens.text(self.ids)
        found = [place for stop in self.sampling.stop if (place := text.find(stop)) >= 0]
        if found:
            self.finish, self.text = Finish.STOP, text[: min(found)]
        return bool(found)


def write(model: LanguageModel, tokens: Tokens, samples: Sequence[Sample], most_tokens: int) -> Iterator[Sample]:
    """Yields each sample when it ends, or is wanted no more.

    They go in batches whose rows hold `most_tokens` tokens together at most, or in a row alone.
    """
    waiting = sorted(samples, key=_longest)
    while waiting:
        # A batch is as long as its longest row: of sorted ones that is the last.
        rows = next((k for k in range(len(waiting), 1, -1) if k * _longest(waiting[k - 1]) <= most_tokens), 1)
        yield from _write_batch(model, tokens, waiting[:rows])
        waiting = waiting[rows:]


def _longest(sample: Sample) -> int:
    return len(sample.read) + sample.sampling.most


def _write_batch(model: LanguageModel, tokens: Tokens, batch: Sequence[Sample]) -> Iterator[Sample]:
    continuation: Continuation | None = None
    going, logits = list(batch), [sample.read.logits for sample in batch]
    while going:
        nexts = [
            sample.take(row, tokens) if sample.goes_on() else None for sample, row in zip(going, logits, strict=True)
        ]
        left = [row for row, token in enumerate(nexts) if token is not None]
        yield from (sample for sample, token in zip(going, nexts, strict=True) if token is None)
        if left and continuation is None:
            continuation = model.continue_([going[row].read for row in left])
        elif continuation is not None and left and len(left) < len(going):
            continuation.keep(left)
        going = [going[row] for row in left]
        if continuation is not None and left:
            logits = list(continuation.step([token for token in nexts if token is not None]))


def chosen(
    logits: Logits, temperature: float, random: np.random.Generator, allowed: NDArray[np.bool_] | None = None
) -> int:
    """A token drawn from softmax(logits / temperature), of the allowed ones; the first of the likeliest at 0."""
    scores = logits.astype(np.float64)
    if allowed is not None:
        scores[~allowed] = -np.inf
    if temperature == 0:
        return int(scores.argmax())
    # Gumbel's trick: one draw a token, exact, without a cumulative sum.
    return int((scores / temperature + random.gumbel(size=len(scores))).argmax())
