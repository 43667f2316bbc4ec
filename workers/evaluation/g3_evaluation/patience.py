"""Waiting for services that are away or full."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from g3_kit.errors import Unavailable

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long to bear an absent or full service: `total_s` in a row, looking again every `every_s`."""

    total_s: float = 120.0
    every_s: float = 2.0

    def ask(self, call: Callable[[], T]) -> T:
        """`call`, repeated while it raises Unavailable; raises it in the end."""
        ends = time.monotonic() + self.total_s
        while True:
            try:
                return call()
            except Unavailable as error:
                wait_s = error.retry_after_s or self.every_s
                if time.monotonic() + wait_s >= ends:
                    raise
                time.sleep(wait_s)
