"""Bearing a service that is away or full."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from g3_kit.errors import Exhausted, Unavailable

T = TypeVar("T")


class Leaving(Exception):
    """The worker is asked to leave, or its turn is over: the work goes no further."""


@dataclass(frozen=True)
class Bearing:
    """How long to bear an absent service: `total_s` in a row. A full one is waited for as long as it says so."""

    total_s: float = 180.0
    first_s: float = 0.2
    most_s: float = 5.0

    def call(self, call: Callable[[], T], check: Callable[[], None], but: tuple[type[Unavailable], ...] = ()) -> T:
        """The call, repeated while its service is away or full; `check` is asked before each, and may raise.

        Raises Unavailable when patience ends, and what is one of `but` at once.
        """
        began, wait_s = time.monotonic(), self.first_s
        while True:
            check()
            try:
                return call()
            except Unavailable as error:
                if isinstance(error, but):
                    raise
                if not isinstance(error, Exhausted) and time.monotonic() - began >= self.total_s:
                    raise
                threading.Event().wait(max(error.retry_after_s or 0.0, wait_s))
                wait_s = min(wait_s * 2, self.most_s)
