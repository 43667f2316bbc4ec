"""Repeating a transaction that was lost."""

import time
from collections.abc import Callable
from typing import TypeVar

from g3_kit import logs
from g3_kit.errors import Unavailable

Value = TypeVar("Value")

_TRIES = 4
_log = logs.get("g3_orchestrator.store")


class Lost(Unavailable):
    """The transaction was rolled back, or nobody knows: the same call may be made again."""


def again(call: Callable[[], Value]) -> Value:
    """The call, repeated a few times with growing waits while its transaction is Lost. The call must be idempotent."""
    for attempt in range(1, _TRIES):
        try:
            return call()
        except Lost as error:
            _log.warning("a transaction is repeated", reason=error.message, attempt=attempt)
            time.sleep(0.05 * 4**attempt)
    return call()
