"""Keeping a claim alive beside the work: every worker of the stage protocol holds its stage under one of these."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType

from g3_kit.errors import Conflict, G3Error, Unavailable


class Lease:
    """Renews a claim every third of its lease from a thread of its own, while the `with` block runs.

    `lost` is a future that never has a result: it raises Conflict once the stage is not ours any more, or once it was
    impossible to renew before the lease ended. Work waits on it together with its own futures.
    """

    def __init__(self, renew: Callable[[float], float], lease_s: float, *, name: str = "lease") -> None:
        """`renew(deadline_s)` keeps the claim and gives the seconds until it ends; `lease_s` as the claim said."""
        self._renew = renew
        self._lease_s = lease_s
        self._ends = time.monotonic() + lease_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)
        self.lost: Future[None] = Future()

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # A renewal in flight ends by its own deadline; its outcome no longer matters, so that it is not waited for.
        self._thread.join(timeout=0.1)

    def check(self) -> None:
        """Raises Conflict if the lease is lost."""
        if self.lost.done():
            self.lost.result()

    def _keep(self) -> None:
        while not self._stop.wait(max(self._lease_s / 3, 0.01)):
            try:
                self._lease_s = self._renew(max(self._lease_s / 3, 0.1))
                self._ends = time.monotonic() + self._lease_s
            except Unavailable:
                if time.monotonic() >= self._ends:
                    self.lost.set_exception(Conflict("the lease ended because it could not be renewed"))
                    return
            except G3Error as error:
                self.lost.set_exception(error)
                return
