"""The ports of the engine: a tokenizer that lays out chats, and a language model that sees photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Photo:
    """One photo as the model looks at it: `pixels` float32 [3, s, s], normalised; `mark` identifies them, negative."""

    pixels: NDArray[np.float32]
    mark: int


@dataclass(frozen=True)
class Prompt:
    """A chat as the model reads it.

    `ids` int64 [l]. `marks` int64 [l]: the same with each place of a photo marked by which photo it is, so that equal
    marks mean equal input. `photos` in order; their places are `first_place` to `last_place` (-1: none).
    """

    ids: NDArray[np.int64]
    marks: NDArray[np.int64]
    photos: tuple[Photo, ...] = ()
    first_place: int = -1
    last_place: int = -1

    def __len__(self) -> int:
        return len(self.ids)


class Read(Protocol):
    """A prompt that the model has read."""

    @property
    def logits(self) -> Logits:
        """float32 [v]: what may follow the prompt."""
        ...

    @property
    def cached(self) -> int:
        """How many of the prompt's tokens had been computed for an earlier one."""
        ...

    def __len__(self) -> int: ...


class Continuation(Protocol):
    """Rows that go on from what was read, side by side."""

    def step(self, tokens: Sequence[int]) -> Logits:
        """Appends one token to each row; float32 [rows, v] of what may follow."""
        ...

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with these rows alone, in this order."""
        ...


class LanguageModel(Protocol):
    """A model that reads prompts and continues them."""

    @property
    def context(self) -> int:
        """The most tokens of a prompt with its answer."""
        ...

    def read(self, prompt: Prompt) -> Read:
        """Computes what of the prompt has not been computed for an earlier one."""
        ...

    def continue_(self, reads: Sequence[Read]) -> Continuation:
        """One row for each of `reads`, which may repeat and may differ in length."""
        ...


class Tokens(Protocol):
    """What turns token ids into text."""

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer, special tokens left out."""
        ...
