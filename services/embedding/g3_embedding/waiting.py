"""The line in front of the device: first come, first served, one lane at a time. Not thread-safe; no torch."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from g3_embedding.lanes import Lane

_numbers = count()


@dataclass(eq=False)
class Entry:
    """One item that waits. `deadline_s` and `arrived_s` are times of the batcher's clock, in seconds.

    `outcome` is cancelled by a caller who no longer wants it; it counts as running from its forward pass on.
    """

    lane: Lane[Any, Any, Any]
    item: Any
    deadline_s: float
    arrived_s: float
    outcome: Future[Any]
    staged: Any = None
    number: int = field(default_factory=lambda: next(_numbers))

    def unwanted(self, now_s: float) -> bool:
        """Whether a forward pass for it would be wasted: its caller cancelled it or stopped waiting."""
        return self.outcome.cancelled() or self.deadline_s <= now_s


class WaitingLine:
    """Entries in order of arrival, kept by lane so that a batch of one kind is taken without a scan."""

    def __init__(self) -> None:
        """Empty."""
        self._lanes: dict[Lane[Any, Any, Any], deque[Entry]] = {}

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._lanes.values())

    def push(self, entry: Entry) -> None:
        """Put `entry` at the end."""
        self._lanes.setdefault(entry.lane, deque()).append(entry)

    def waits_in(self, lane: Lane[Any, Any, Any]) -> bool:
        """Whether anything waits in `lane`."""
        return bool(self._lanes.get(lane))

    def first_lane(self) -> Lane[Any, Any, Any] | None:
        """The lane of the entry that has waited longest: it is served next, so no lane can starve another."""
        heads = [entries[0] for entries in self._lanes.values() if entries]
        return min(heads, key=lambda entry: entry.number).lane if heads else None

    def take(self, lane: Lane[Any, Any, Any], room: int, now_s: float) -> tuple[list[Entry], list[Entry]]:
        """Take the first entries of `lane`: at most `room` wanted ones, and every unwanted one met before them."""
        wanted: list[Entry] = []
        unwanted: list[Entry] = []
        entries = self._lanes.get(lane, deque())
        while entries and len(wanted) < room:
            entry = entries.popleft()
            (unwanted if entry.unwanted(now_s) else wanted).append(entry)
        return wanted, unwanted

    def purge(self, now_s: float) -> list[Entry]:
        """Take every unwanted entry, wherever it stands."""
        gone: list[Entry] = []
        for lane, entries in self._lanes.items():
            gone.extend(entry for entry in entries if entry.unwanted(now_s))
            self._lanes[lane] = deque(entry for entry in entries if not entry.unwanted(now_s))
        return gone

    def empty(self) -> Iterator[Entry]:
        """Take all."""
        for entries in self._lanes.values():
            while entries:
                yield entries.popleft()
