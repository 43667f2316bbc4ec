"""The circuit before the LMM endpoint: after failures in a row, of whatever stage, it is left alone for a while."""

import asyncio
import random
import time
from enum import Enum

from g3_kit import logs
from g3_kit.errors import G3Error
from prometheus_client import Gauge

from g3_generation.sampler import OpenCircuit

_log = logs.get("g3_generation.breaker")
_STATE = Gauge("g3_generation_lmm_circuit", "1 for the state that the circuit to the LMM is in.", ["state"])


class State(Enum):
    """The state of the circuit."""

    CLOSED = "closed"
    """Everything is asked."""
    OPEN = "open"
    """Nothing is asked."""
    TRIAL = "trial"
    """One call is on its way to see whether the endpoint has recovered (half open)."""


class Breaker:
    """Belongs to one event loop; `trouble` may be read from any thread.

    `failures` in a row open it for `first_s`, doubling up to `most_s` with each trial that fails. While a trial is on
    its way other calls wait for its outcome, at most `trial_s`.
    """

    def __init__(self, failures: int = 5, *, first_s: float = 1.0, most_s: float = 15.0, trial_s: float = 5.0) -> None:
        """Closed."""
        self._limit, self._first_s, self._most_s, self._trial_s = failures, first_s, most_s, trial_s
        self._failures = 0
        self._pause_s = first_s
        self._due = 0.0
        self._why = ""
        self._outcome: asyncio.Event | None = None
        self._show()

    @property
    def state(self) -> State:
        """The state now."""
        if self._outcome is not None:
            return State.TRIAL
        return State.CLOSED if self._failures < self._limit else State.OPEN

    def trouble(self) -> OpenCircuit | None:
        """Why a call would be refused now; None when it would be made, be it as the trial."""
        if self.state is State.CLOSED or (self.state is State.OPEN and time.monotonic() >= self._due):
            return None
        return self._refusal()

    async def admit(self) -> bool:
        """Lets a call pass; True makes it the trial, whose end must be reported. Raises OpenCircuit."""
        if self._outcome is not None:
            try:
                async with asyncio.timeout(self._trial_s):
                    await self._outcome.wait()
            except TimeoutError:
                raise self._refusal() from None
        if self.state is State.CLOSED:
            return False
        if self.state is State.TRIAL or time.monotonic() < self._due:
            raise self._refusal()
        self._outcome = asyncio.Event()
        self._show()
        return True

    def succeeded(self) -> None:
        """A call was answered, well or with a refusal of the question: the endpoint works."""
        if self._failures >= self._limit:
            _log.info("the LMM endpoint answers again")
        self._failures, self._pause_s = 0, self._first_s
        self._decide()

    def failed(self, error: G3Error, *, trial: bool) -> None:
        """A call failed by the endpoint's fault."""
        before = self.state
        self._failures += 1
        self._why = error.message
        if trial:
            self._pause_s = min(self._most_s, 2 * self._pause_s)
        if self._failures >= self._limit and (trial or before is State.CLOSED):
            # Workers that were refused together do not come back together.
            self._due = time.monotonic() + self._pause_s * random.uniform(0.75, 1.25)  # noqa: S311
            _log.warning("the LMM endpoint is left alone", failures=self._failures, last=self._why)
        self._decide(trial=trial)

    def abandoned(self) -> None:
        """The trial ended without an outcome of its own: the next call is one."""
        self._decide()

    def _decide(self, *, trial: bool = True) -> None:
        if trial and self._outcome is not None:
            self._outcome.set()
            self._outcome = None
        self._show()

    def _refusal(self) -> OpenCircuit:
        return OpenCircuit(
            f"the LMM endpoint has failed {self._failures} times in a row and is left alone for a moment; "
            f"the last time: {self._why}",
            retry_after_s=max(0.0, self._due - time.monotonic()),
        )

    def _show(self) -> None:
        for state in State:
            _STATE.labels(state.value).set(state is self.state)
