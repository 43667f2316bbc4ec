"""The gallery of a collection: the coordinates of its own references, for image→GPS search (GeoCLIP's way).

Nobody has to make it. The first job that wants it has it made in the background, from the references as they are
listed; it is made again when the collection has grown and stands still. Whoever asks meanwhile waits a little and is
told Unavailable then. The vectors belong to the verification service, which keeps them from one start to the next.

A collection with more coordinates than `most` has a gallery of so many of them, chosen evenly and always the same:
comparing a photo with each of four million takes longer than the whole rest of a job. GeoCLIP's own has 100,000.
An operator who wants all of them loads them (`g3-eval gallery`): a gallery with the collection's name is used first.
"""

import threading
import time
from dataclasses import dataclass, field

import numpy as np
from g3_kit import logs
from g3_kit.errors import G3Error, Missing, Unavailable
from numpy.typing import NDArray

from g3_orchestrator.ports import GalleryFound, GalleryShelf, ReferenceList

MOST = 100_000
"""Coordinates of a gallery: as many as GeoCLIP's (Vivanco et al. 2023)."""

_POLL_S = 0.1
_FORGET_S = 3_600.0
_log = logs.get("g3_orchestrator.galleries")


@dataclass
class _Wanted:
    """A collection whose gallery somebody asks for. `references`: how many there were when it was made."""

    asked_at: float
    since: float
    references: int = -1
    seen: int = -1
    next_look: float = field(default=0.0)


class Galleries:
    """Searches galleries and sees to it that they are there. Thread-safe; `run` it in a thread of its own."""

    def __init__(
        self,
        shelf: GalleryShelf,
        references: ReferenceList,
        *,
        most: int = MOST,
        wait_s: float = 10.0,
        look_s: float = 30.0,
    ) -> None:
        """`wait_s`: how long after a gallery was first wanted its searches wait for it.

        `look_s`: how often collections are looked at for growth.
        """
        self._shelf, self._references = shelf, references
        self._most, self._wait_s, self._look_s = most, wait_s, look_s
        self._wanted: dict[str, _Wanted] = {}
        self._lock = threading.Lock()
        self._bell = threading.Event()

    def nearest(self, gps_aligned: bytes, collection: str, count: int, model: str) -> GalleryFound:
        """The `count` (1 to 1,000) points of the collection's gallery most similar to the photo.

        Raises Unavailable while there is no gallery, after having waited; Mismatch for another model.
        """
        until = self._want(collection)
        while True:
            try:
                return self._search(gps_aligned, collection, count, model)
            except (Missing, Unavailable) as error:
                if time.monotonic() >= until:
                    raise Unavailable(f"the gallery of {collection} is not there yet: {error.message}") from error
            time.sleep(_POLL_S)

    def _search(self, gps_aligned: bytes, collection: str, count: int, model: str) -> GalleryFound:
        try:
            return self._shelf.search(collection, gps_aligned, count, model)
        except Missing:
            return self._shelf.search(self._part(collection), gps_aligned, count, model)

    def _part(self, collection: str) -> str:
        return f"{collection[:80]}_part_{self._most}"

    def _want(self, collection: str) -> float:
        """Notes that somebody asks, and says until when to wait."""
        now = time.monotonic()
        with self._lock:
            wanted = self._wanted.get(collection)
            if wanted is None:
                wanted = self._wanted[collection] = _Wanted(now, now)
                self._bell.set()
            wanted.asked_at = now
            return wanted.since + self._wait_s

    def run(self, stop: threading.Event) -> None:
        """Makes what is wanted until `stop` is set; blocks at most a second longer, or for one page of a listing."""
        while not stop.is_set():
            self._bell.wait(min(1.0, self._look_s))
            self._bell.clear()
            self.look(stop)

    def look(self, stop: threading.Event | None = None) -> None:
        """One round over the wanted collections."""
        now = time.monotonic()
        with self._lock:
            for name in [name for name, one in self._wanted.items() if now - one.asked_at > _FORGET_S]:
                del self._wanted[name]
            due = [(name, wanted) for name, wanted in self._wanted.items() if wanted.next_look <= now]
        for name, wanted in due:
            if stop is not None and stop.is_set():
                return
            started = time.monotonic()
            try:
                self._see_to(name, wanted, stop)
                pause_s = self._look_s
            except G3Error as error:
                # The thread lives on: those who ask are told, and it tries again.
                _log.warning("a gallery cannot be made", collection=name, reason=error.message)
                pause_s = min(5.0, self._look_s)
            # A large listing is not made twice in a row for a collection that grows all the time.
            wanted.next_look = time.monotonic() + max(pause_s, 20 * (time.monotonic() - started))

    def _see_to(self, collection: str, wanted: _Wanted, stop: threading.Event | None) -> None:
        count = self._references.count(collection)
        growing, wanted.seen = wanted.seen not in (-1, count), count
        if count == wanted.references or (growing and wanted.references >= 0):
            return
        points = self._coordinates(collection, stop)
        if points is None or not len(points):
            return
        chosen = points if len(points) <= self._most else evenly(points, self._most)
        name = collection if chosen is points else self._part(collection)
        self._shelf.put(name, chosen)
        _log.info("a gallery is handed over", collection=collection, gallery=name, coordinates=len(chosen))
        with self._lock:
            wanted.references, wanted.since = count, time.monotonic()

    def _coordinates(self, collection: str, stop: threading.Event | None) -> NDArray[np.float64] | None:
        """float64 [n, 2] degrees, each place once; None when stopped."""
        pages: list[NDArray[np.float64]] = []
        for page in self._references.coordinates(collection):
            if stop is not None and stop.is_set():
                return None
            pages.append(page)
        return np.unique(np.concatenate(pages), axis=0) if pages else None


def evenly(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """`count` of the rows of float64 [n, 2], by a hash of their coordinates: the same ones whatever else there is."""
    # The finalizer of splitmix64 (Steele, Lea, Flood 2014) over both halves: wrapping is what it does.
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(points + 0.0).view(np.uint64).reshape(-1, 2)
        mixed = bits[:, 0] * np.uint64(0x9E3779B97F4A7C15) + bits[:, 1]
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    rows = np.sort(np.argsort(mixed, kind="stable")[:count])
    chosen: NDArray[np.float64] = points[rows]
    return chosen
