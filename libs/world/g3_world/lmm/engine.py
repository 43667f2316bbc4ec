"""One thread computes. It takes what waits whenever it is free, and answers it together."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from g3_kit import logs
from g3_kit.errors import Exhausted, Unavailable

from g3_world.lmm.metrics import Figures
from g3_world.lmm.model import LanguageModel, Tokens
from g3_world.lmm.work import Work
from g3_world.lmm.writing import Sample, write

STOPPING = "the server is stopping"
_log = logs.get("g3_world.lmm.engine")


@dataclass(frozen=True)
class Bounds:
    """`waiting` requests at most wait; `samples` are written together at most, holding `tokens` together."""

    waiting: int = 64
    samples: int = 32
    tokens: int = 16_384


class Engine:
    """Answers questions with a model until it is closed."""

    def __init__(self, model: LanguageModel, tokens: Tokens, bounds: Bounds, figures: Figures) -> None:
        """Starts the thread."""
        self._model, self._tokens, self._bounds, self._figures = model, tokens, bounds, figures
        self._waiting: deque[Work] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """None while the thread lives."""
        return None if self._thread.is_alive() else "the thread that computes has ended"

    def submit(self, work: Work) -> None:
        """Raises Exhausted when too many wait, Unavailable when the engine has stopped."""
        with self._changed:
            if self._closed or not self._thread.is_alive():
                raise Unavailable(STOPPING)
            # Whoever hung up makes room.
            self._waiting = deque(other for other in self._waiting if other.wanted)
            if len(self._waiting) >= self._bounds.waiting:
                raise Exhausted(f"{self._bounds.waiting} requests are waiting already", retry_after_s=1)
            self._waiting.append(work)
            self._figures.waiting(len(self._waiting))
            self._changed.notify()

    def close(self) -> None:
        """Ends the thread after the token in hand; what is unanswered is told that the server stops."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._taken():
            try:
                self._answer(group)
            except Exception as error:  # noqa: BLE001 - whoever waits for this group is told; the next has its chance
                _log.error("a batch failed", exc_info=error)
                for work in group:
                    work.fail(error)
            self._figures.running(0)

    def _taken(self) -> list[Work]:
        """The requests to answer next, in the order in which they came; none when the engine is closed."""
        with self._changed:
            group: list[Work] = []
            while not group:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    for work in self._waiting:
                        work.fail(Unavailable(STOPPING))
                    return []
                group = self._next()
            self._figures.waiting(len(self._waiting))
            self._figures.running(len(group))
            return group

    def _next(self) -> list[Work]:
        group: list[Work] = []
        samples = 0
        while self._waiting and (not group or samples + self._waiting[0].question.n <= self._bounds.samples):
            work = self._waiting.popleft()
            if work.answers.set_running_or_notify_cancel():
                group.append(work)
                samples += work.question.n
        return group

    def _answer(self, group: Sequence[Work]) -> None:
        owners: dict[int, tuple[Work, list[Sample]]] = {}
        every: list[Sample] = []
        # The shortest first: the longer prompts of one photo begin like it.
        for work in sorted(group, key=lambda work: len(work.prompt)):
            if self._goes_on(work):
                read = self._model.read(work.prompt)
                self._figures.read(len(read), read.cached)
                samples = work.samples(read, self._model.context, partial(self._goes_on, work))
                owners |= {id(sample): (work, samples) for sample in samples}
                every += samples
        for sample in write(self._model, self._tokens, every, self._bounds.tokens):
            work, samples = owners.pop(id(sample))
            if work.wanted and not any(id(other) in owners for other in samples):
                self._told(work, samples)
        for work in group:
            # Only what was abandoned, or is left at the end of the engine.
            work.fail(Unavailable(STOPPING))

    def _told(self, work: Work, samples: Sequence[Sample]) -> None:
        if all(sample.ended for sample in samples):
            self._figures.answered(work.tell(samples))

    def _goes_on(self, work: Work) -> bool:
        return work.wanted and not self._closed
