"""The port to the LMM."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Question:
    """One rendered prompt.

    `parts` in the order in which they are shown: text is str, the photo is JPEG bytes. `n`: answers wanted.
    `temperature` of the sampling. `deadline_s`: seconds after which the answer is of no use.
    """

    parts: tuple[str | bytes, ...]
    n: int
    temperature: float
    deadline_s: float


@dataclass(frozen=True)
class Reply:
    """One sampled answer: raw text, the model's name as the endpoint states it, tokens (0 when it does not say)."""

    text: str
    model: str
    prompt_tokens: int = 0
    answer_tokens: int = 0


class Sampler(Protocol):
    """An LMM that answers a question n times."""

    def ask(self, question: Question) -> Future[list[Reply]]:
        """Starts asking. The result is 1 to `question.n` replies: fewer than asked means ask again for the rest.

        The future raises Rejected when the endpoint will never take this question, Exhausted when it is full
        (`retry_after_s` as it says), Late past `deadline_s`, Unavailable for every other failure. Cancelling the
        future abandons the call at once.
        """
        ...

    def close(self) -> None:
        """Abandons the calls in flight and frees the connections."""
        ...
