"""The port to the LMM."""

import base64
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from g3_kit.errors import Unavailable


class Picture(bytes):
    """The bytes of a JPEG that is put to the LMM in several prompts: its data URL is made once."""

    @cached_property
    def data_url(self) -> str:
        """RFC 2397. The photo never travels as an address: the server would have to be able to fetch it."""
        return "data:image/jpeg;base64," + base64.b64encode(self).decode()


@dataclass(frozen=True)
class Question:
    """One rendered prompt.

    `parts` in the order in which they are shown: text is str, the photo is JPEG bytes. `n`: answers wanted.
    `temperature` of the sampling. `deadline_s`: seconds after which the answer is of no use. `seed`: the same seed for
    the same question gives the same answers on servers that honour it; None leaves the choice to the server.
    """

    parts: tuple[str | bytes, ...]
    n: int
    temperature: float
    deadline_s: float
    seed: int | None = None


@dataclass(frozen=True)
class Reply:
    """One sampled answer: raw text, the model's name as the endpoint states it, tokens (0 when it does not say).

    `cut`: the endpoint says that it stopped for length and not at an end. `cached_tokens`: how many of the prompt's
    tokens it had in its prefix cache.
    """

    text: str
    model: str
    prompt_tokens: int = 0
    answer_tokens: int = 0
    cut: bool = False
    cached_tokens: int = 0


class OpenCircuit(Unavailable):
    """The endpoint has failed so often in a row that it is left alone for `retry_after_s`: nothing was asked."""


class Sampler(Protocol):
    """An LMM that answers a question n times."""

    def ask(self, question: Question) -> Future[list[Reply]]:
        """Starts asking. The result is 1 to `question.n` replies: fewer than asked means ask again for the rest.

        The future raises Rejected when the endpoint will never take this question, Exhausted when it is full
        (`retry_after_s` as it says), Late past `deadline_s`, OpenCircuit when it was not even asked, Unavailable for
        every other failure. Cancelling the future abandons the call at once.
        """
        ...

    @property
    def calls(self) -> int:
        """How many calls the endpoint can take side by side now; at least 1."""
        ...

    def trouble(self) -> OpenCircuit | None:
        """Why nothing is asked at present; None when a question would be put to the endpoint."""
        ...

    def close(self) -> None:
        """Abandons the calls in flight and frees the connections."""
        ...
