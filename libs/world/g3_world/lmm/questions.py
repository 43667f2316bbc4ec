"""What is asked of the model and what it answers, whatever the protocol."""

from dataclasses import dataclass

from g3_world.lmm.forms import Form
from g3_world.lmm.writing import Finish


@dataclass(frozen=True)
class Message:
    """One turn of a chat: `parts` in the order in which they are shown, text as str, photos as the bytes of a file."""

    role: str
    parts: tuple[str | bytes, ...]


@dataclass(frozen=True)
class Question:
    """A chat to be answered `n` times. `most`: tokens of one answer, None for as many as the context leaves."""

    messages: tuple[Message, ...]
    n: int = 1
    temperature: float = 1.0
    most: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    form: Form | None = None


@dataclass(frozen=True)
class Answer:
    """One answer, the tokens it took, and why it ended."""

    text: str
    tokens: int
    finish: Finish


@dataclass(frozen=True)
class Answers:
    """The n answers; `cached_tokens` of the `prompt_tokens` had been computed for an earlier prompt."""

    answers: tuple[Answer, ...]
    prompt_tokens: int
    cached_tokens: int
