"""What was computed of earlier prompts, found again by their beginnings."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

State = TypeVar("State")
Marks = NDArray[np.int64]


class Prefixes(Generic[State]):
    """States of prompts, the least recently used forgotten first; `most_tokens` bounds the tokens of all together.

    The K prompts of one photo are prefixes of one another (`g3_dialogue`): the longest of them is kept, and the shorter
    ones are its beginning.
    """

    def __init__(self, most_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._kept: OrderedDict[Hashable, tuple[Marks, State]] = OrderedDict()

    @property
    def tokens(self) -> int:
        """How many tokens are kept."""
        return sum(len(marks) for marks, _ in self._kept.values())

    def longest(self, marks: Marks) -> tuple[int, State | None]:
        """The state that shares the longest beginning with `marks`, and how long that is; 0 and None without any."""
        best, key = 0, None
        for candidate, (kept, _) in self._kept.items():
            shared = common(kept, marks)
            if shared > best:
                best, key = shared, candidate
        if key is None:
            return 0, None
        self._kept.move_to_end(key)
        return best, self._kept[key][1]

    def keep(self, marks: Marks, state: State) -> None:
        """Keeps a prompt's state, in place of those of its own beginnings."""
        if len(marks) > self._most_tokens:
            return
        for key, (kept, _) in list(self._kept.items()):
            shared = common(kept, marks)
            if shared == len(marks):
                return  # a longer one, or the same, is there
            if shared == len(kept):
                del self._kept[key]
        self._kept[marks.tobytes()] = (marks, state)
        while self.tokens > self._most_tokens:
            self._kept.popitem(last=False)


def common(one: Marks, other: Marks) -> int:
    """How many marks both begin with."""
    length = min(len(one), len(other))
    differing = np.flatnonzero(one[:length] != other[:length])
    return int(differing[0]) if len(differing) else length
