"""A dynamic batcher on the rule of text-embeddings-inference: no timer. Torch-free.

::

    callers ── admit, submit ──> WaitingLine ── stager thread ──> next batch ── device thread ──> outcomes
                (bounded)        (FIFO)         (stages while the            (one forward pass
                                                 device is busy)              at a time)

Whenever the device is free it takes the next batch, whatever its size. While it is busy, one batch is prepared: its
items are staged as they arrive, up to the lane's bound, so that the device never waits for a copy and a batch is never
closed earlier than it must be. All lanes share the one device.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from g3_kit import logs
from g3_kit.errors import Exhausted, G3Error, Late, Unavailable

from g3_embedding import metrics
from g3_embedding.forwarding import forward, stage
from g3_embedding.lanes import Item, Lane, Result, Staged
from g3_embedding.pace import Pace
from g3_embedding.waiting import Entry, WaitingLine

log = logs.get(__name__)

_DEAD = "The model's device has failed: another replica may answer."
_STOPPING = "The server is shutting down: another replica may answer."


class Batcher:
    """Two threads between start() and drain(); every method may be called from any thread."""

    def __init__(self, *, capacity: int, stall_s: float = 120.0, clock: Callable[[], float] = time.monotonic) -> None:
        """`capacity`: most items admitted and not yet answered. `stall_s`: a longer forward pass is a hung device.

        `clock`, in seconds, is what deadlines are measured against.
        """
        self.capacity = capacity
        self._stall_s = stall_s
        self._clock = clock
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._line = WaitingLine()
        self._next: list[Entry] = []  # the prefetched batch, of one lane
        self._staging: list[Entry] = []
        self._running: list[Entry] = []
        self._running_since_s = 0.0
        self._device_waits = False
        self._held = 0  # slots in use: admitted, not yet answered
        self._pace = Pace()
        self._stopping = False
        self._finished = False
        self._dead: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(loop,), name=name, daemon=True)
            for name, loop in (("stager", self._stage_batches), ("device", self._run_batches))
        ]

    def start(self) -> None:
        """Start the two threads."""
        for thread in self._threads:
            thread.start()

    def admit(self, items: int) -> "Admission":
        """Room for `items` items. Raises Exhausted when there is none, Unavailable when dead or draining."""
        with self._lock:
            if self._dead is not None:
                raise Unavailable(_DEAD)
            if self._stopping:
                raise Unavailable(_STOPPING)
            if self._held + items > self.capacity:
                self._drop(self._line.purge(self._clock()))
            if self._held + items > self.capacity:
                metrics.DROPPED.labels("full").inc(items)
                raise Exhausted(
                    "The queue is full: wait and call again.", retry_after_s=self._pace.retry_after_s(self._held)
                )
            self._held += items
        return Admission(self, items)

    def alive(self) -> bool:
        """Whether the device still works through its queue."""
        with self._lock:
            stalled = bool(self._running) and self._clock() - self._running_since_s > self._stall_s
            return self._dead is None and not stalled and all(thread.is_alive() for thread in self._threads)

    def problem(self) -> str | None:
        """What keeps it from taking work now, for readiness: None when nothing does."""
        if not self.alive():
            return "the device thread has died or hangs"
        with self._lock:
            return "the queue is full" if self._held >= self.capacity else None

    def drain(self, timeout_s: float) -> bool:
        """Accept nothing more, answer what was admitted, stop the threads. False when `timeout_s` was too short.

        What is left then fails with Unavailable.
        """
        with self._lock:
            self._stopping = True
            drained = self._changed.wait_for(lambda: self._held == 0 or self._dead is not None, timeout_s)
            self._finished = True
            self._changed.notify_all()
        if not drained:
            self._die(Unavailable(_STOPPING), _STOPPING)
        for thread in (thread for thread in self._threads if thread.ident is not None):
            # A device that hangs must not keep the process from ending: its thread is a daemon.
            thread.join(timeout=5.0)
        return drained

    def _enter(self, entry: Entry) -> None:
        """Called with the lock held, for an entry that holds a slot."""
        if self._dead is not None:
            self._fail([entry], _DEAD)
            return
        self._line.push(entry)
        self._gauge()
        self._changed.notify_all()

    def _stage_batches(self) -> None:
        while entries := self._entries_to_stage():
            readied = [(entry, stage(entry.lane, entry.item)) for entry in entries]
            with self._lock:
                if self._dead is not None:
                    return
                self._staging = []
                for entry, staged in readied:
                    entry.item = None
                    if isinstance(staged, G3Error):
                        self._answer(entry, staged)
                    else:
                        entry.staged = staged
                        self._next.append(entry)
                self._changed.notify_all()

    def _entries_to_stage(self) -> list[Entry]:
        """The next entries for the prefetched batch; empty only when it is time to stop."""
        with self._lock:
            while True:
                self._changed.wait_for(lambda: self._over() or self._has_room())
                if self._over():
                    return []
                # A batch that grows may pass over an older item of another lane, which then heads the next batch.
                lane = self._next[0].lane if self._next else self._line.first_lane()
                if lane is None:
                    continue
                wanted, unwanted = self._line.take(lane, lane.max_items - len(self._next), self._clock())
                self._drop(unwanted)
                if wanted:
                    self._staging = wanted
                    return wanted

    def _has_room(self) -> bool:
        if not self._next:
            return len(self._line) > 0
        lane = self._next[0].lane
        # A device that waits gets the batch as it stands; only while it is busy may the batch still grow.
        return not self._device_waits and len(self._next) < lane.max_items and self._line.waits_in(lane)

    def _run_batches(self) -> None:
        while batch := self._batch_to_run():
            lane, started_s = batch[0].lane, self._clock()
            for entry in batch:
                metrics.QUEUE_WAIT_SECONDS.labels(lane.name).observe(started_s - entry.arrived_s)
            results = forward(lane, [entry.staged for entry in batch])
            took_s = self._clock() - started_s
            metrics.BATCH_ITEMS.labels(lane.name).observe(len(batch))
            metrics.FORWARD_SECONDS.labels(lane.name).observe(took_s)
            with self._lock:
                if self._dead is not None:
                    return
                self._running = []
                self._pace.measure(len(batch), took_s)
                for entry, result in zip(batch, results, strict=True):
                    self._answer(entry, result)
                self._changed.notify_all()

    def _batch_to_run(self) -> list[Entry]:
        """The prefetched batch without what nobody wants any more; empty only when it is time to stop."""
        with self._lock:
            while True:
                self._device_waits = True
                self._changed.wait_for(lambda: self._over() or (self._next and not self._staging))
                if self._over():
                    return []
                now_s = self._clock()
                entries, self._next, self._device_waits = self._next, [], False
                # From here on a caller cannot cancel: set_running… is the last look, just before the forward pass.
                late = [entry for entry in entries if entry.deadline_s <= now_s]
                timely = [entry for entry in entries if entry.deadline_s > now_s]
                batch = [entry for entry in timely if entry.outcome.set_running_or_notify_cancel()]
                self._drop([*late, *(entry for entry in timely if entry.outcome.cancelled())])
                self._changed.notify_all()
                if batch:
                    self._running, self._running_since_s = batch, now_s
                    self._gauge()
                    return batch

    # From here to _gauge: with the lock held.

    def _over(self) -> bool:
        return self._dead is not None or self._finished

    def _answer(self, entry: Entry, result: object) -> None:
        """Give the caller its result or the error of its item."""
        self._held -= 1
        if isinstance(result, G3Error):
            metrics.ITEM_FAILURES.labels(entry.lane.name).inc()
        if entry.outcome.running() or entry.outcome.set_running_or_notify_cancel():
            entry.outcome.set_result(result)

    def _drop(self, entries: list[Entry]) -> None:
        """Forget entries nobody wants."""
        for entry in entries:
            self._held -= 1
            late = not entry.outcome.cancelled() and entry.outcome.set_running_or_notify_cancel()
            metrics.DROPPED.labels("late" if late else "cancelled").inc()
            if late:
                entry.outcome.set_exception(Late("The deadline passed while the item waited for the model."))
        if entries:
            self._gauge()
            self._changed.notify_all()

    def _fail(self, entries: list[Entry], reason: str) -> None:
        for entry in entries:
            self._held -= 1
            if entry.outcome.running() or entry.outcome.set_running_or_notify_cancel():
                metrics.DROPPED.labels("unavailable").inc()
                entry.outcome.set_exception(Unavailable(reason))

    def _release(self, slots: int) -> None:
        self._held -= slots
        self._changed.notify_all()

    def _gauge(self) -> None:
        metrics.QUEUE_ITEMS.set(len(self._line) + len(self._staging) + len(self._next))

    def _guarded(self, loop: Callable[[], None]) -> None:
        """No caller is left waiting for a thread that is gone, whatever ended it."""
        try:
            loop()
        except BaseException as error:
            log.exception("a thread of the batcher died")
            self._die(error, _DEAD)

    def _die(self, error: BaseException, reason: str) -> None:
        with self._lock:
            if self._dead is None:
                self._dead = error
            left = [*self._running, *self._next, *self._staging, *self._line.empty()]
            self._running, self._next, self._staging = [], [], []
            self._fail(left, reason)
            self._gauge()
            self._changed.notify_all()


class Admission:
    """Slots in the batcher for the items of one call. A context: slots not used inside it are given back."""

    def __init__(self, batcher: Batcher, slots: int) -> None:
        """Made by Batcher.admit."""
        self._batcher = batcher
        self._slots = slots

    def __enter__(self) -> "Admission":
        return self

    def __exit__(self, *_: object) -> None:
        with self._batcher._lock:
            self._batcher._release(self._slots)
            self._slots = 0

    def submit(
        self,
        lane: Lane[Item, Staged, Result],
        item: Item,
        deadline_s: float,
        outcome: Future[Result | G3Error] | None = None,
    ) -> Future[Result | G3Error]:
        """Put one item in the line. The future holds its result, or as a value what is wrong with the item.

        The future raises Late when `deadline_s` (of the batcher's clock) passed before the forward pass, Unavailable
        when the device died; cancelling it drops the item. Give `outcome` to use a future that exists already.
        After the context has ended the item is not wanted: its future is cancelled.
        """
        future: Future[Result | G3Error] = Future() if outcome is None else outcome
        batcher: Any = self._batcher
        with batcher._lock:
            if self._slots == 0:
                future.cancel()
                return future
            self._slots -= 1
            batcher._enter(Entry(lane, item, deadline_s, batcher._clock(), future))
        return future
