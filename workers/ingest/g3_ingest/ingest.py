"""The run: what is already held is skipped, the rest is cleaned, embedded and upserted, batch after batch.

The three steps run side by side, each in order: while one batch is written the next is embedded and the one after it
cleaned. No state is kept here: the collection itself says what is left, so that a run cut off anywhere resumes.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from g3_geography import Gazetteer
from g3_kit.errors import Conflict, G3Error, Mismatch, Unavailable

from g3_ingest.embedder import Embedder, Model, PhotoVectors
from g3_ingest.photos import Photo, photo_of, places_of
from g3_ingest.references import Reference, References
from g3_ingest.sources import Entry, Listing, Reject

T = TypeVar("T")
_HELD_IDS = 1000  # ids a call: a filter of more is slow in some stores, and the contract's bound is 10,000
_REQUEST_BYTES = 32 * 1024 * 1024  # half of what a gRPC message may have
_DEPTH = 3  # batches between cleaning and the store


@dataclass
class Report:
    """How a run ended. `found` photos were offered, `held` were there before, `written` are new."""

    collection: str = ""
    model: str = ""
    trained: bool = True
    found: int = 0
    held: int = 0
    written: int = 0
    rejects: list[Reject] = field(default_factory=list)
    alias: str = ""
    published: bool = False
    """Whether the alias names the collection at the end."""
    interrupted: bool = False
    failure: str = ""
    """Why the run stopped early; "" if it did not."""
    seconds: float = 0.0

    @property
    def rejected(self) -> int:
        """How many photos were not taken."""
        return len(self.rejects)


@dataclass(frozen=True)
class Progress:
    """Told after each batch: photos done so far (held, written or rejected) out of `total`, and how many rejected."""

    done: int
    total: int
    rejected: int


@dataclass(frozen=True)
class Patience:
    """How long to bear an absent or full service in mid-run: `total_s` in a row, looking again every `every_s`."""

    total_s: float = 120.0
    every_s: float = 2.0


class _Stopped(Exception):
    """The run is over: this batch goes no further."""


@dataclass
class _Written:
    count: int
    rejects: list[Reject]


class Ingest:
    """One run into one collection version."""

    def __init__(
        self,
        embedder: Embedder,
        references: References,
        *,
        batch: int = 32,
        workers: int = 4,
        patience: Patience | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """`batch` photos a call (less where the embedder takes less), `workers` threads that clean photos."""
        self._embedder = embedder
        self._references = references
        self._batch = batch
        self._workers = workers
        self._patience = patience or Patience()
        self._on_progress = on_progress
        self._gazetteer = Gazetteer()
        self._stop = threading.Event()

    def run(self, listing: Listing, *, collection: str = "", alias: str = "", publish: bool = True) -> Report:
        """Ingests `listing` into `collection` ("": named after the model) and publishes it under `alias`.

        A Ctrl-C or a service that stays away ends the run with what is done, and then nothing is published. Raises
        Mismatch when the collection is of another model, Unavailable when a service is away from the start.
        """
        began = time.monotonic()
        model = self._embedder.model()
        name = collection or f"references_{model.fingerprint[:12]}"
        self._create(name, model)
        report = Report(
            collection=name,
            model=model.fingerprint,
            trained=model.trained,
            found=len(listing.entries) + len(listing.rejects),
            rejects=list(listing.rejects),
            alias=alias,
        )
        try:
            self._ingest(listing.entries, model, report)
            if publish and report.written + report.held > 0:
                self._publish(name, alias, report)
        except KeyboardInterrupt:
            report.interrupted = True
        except G3Error as error:
            report.failure = error.message
        report.seconds = time.monotonic() - began
        return report

    def _create(self, name: str, model: Model) -> None:
        try:
            self._references.create(name, model.dimension, model.fingerprint)
        except (Conflict, Mismatch):
            standing = self._references.describe(name)
            raise Mismatch(
                f"Collection {name} holds vectors of model {standing.model[:12]} (width {standing.dimension}) and the "
                f"embedding service serves {model.fingerprint[:12]} (width {model.dimension}): name another collection "
                "with --collection, or none for one of this model's own.",
                field="collection",
            ) from None

    def _publish(self, name: str, alias: str, report: Report) -> None:
        if alias not in self._references.describe(name).aliases:
            self._references.publish(name, alias)
        report.published = True

    def _ingest(self, entries: Sequence[Entry], model: Model, report: Report) -> None:
        left = list(self._left(entries, report))
        size = max(1, min(self._batch, model.max_items))
        batches = [left[start : start + size] for start in range(0, len(left), size)]
        flying: deque[Future[_Written]] = deque()
        with (
            ThreadPoolExecutor(self._workers, "clean") as pool,
            ThreadPoolExecutor(1, "read") as reading,
            ThreadPoolExecutor(1, "embed") as embedding,
            ThreadPoolExecutor(1, "write") as writing,
        ):
            try:
                for batch in batches:
                    read = reading.submit(self._read, pool, batch)
                    embedded = embedding.submit(self._embed, read, model)
                    flying.append(writing.submit(self._write, embedded, report.collection, model))
                    if len(flying) >= _DEPTH:
                        self._land(flying, report)
                while flying:
                    self._land(flying, report)
            except BaseException:
                self._wind_up(flying, report)
                raise

    def _left(self, entries: Sequence[Entry], report: Report) -> Iterator[Entry]:
        for start in range(0, len(entries), _HELD_IDS):
            asked = entries[start : start + _HELD_IDS]
            ids = [entry.id for entry in asked]
            held = self._patiently(partial(self._references.held, report.collection, ids))
            report.held += len(held)
            yield from (entry for entry in asked if entry.id not in held)
        self._tell(report)

    def _read(self, pool: ThreadPoolExecutor, batch: Sequence[Entry]) -> tuple[list[Photo], list[Reject]]:
        photos, rejects = [], []
        for entry, future in [(entry, pool.submit(photo_of, entry)) for entry in batch if not self._stop.is_set()]:
            try:
                photos.append(future.result())
            except G3Error as error:
                rejects.append(Reject.of(entry.id, error))
        return photos, rejects

    def _embed(
        self, read: Future[tuple[list[Photo], list[Reject]]], model: Model
    ) -> tuple[list[Reference], list[Reject]]:
        photos, rejects = read.result()
        good: list[tuple[Photo, PhotoVectors]] = []
        for part in _parts(photos):
            jpegs = [photo.jpeg for photo in part]
            found = self._patiently(partial(self._embedder.embed, jpegs, model.fingerprint))
            for photo, outcome in zip(part, found, strict=True):
                if isinstance(outcome, G3Error):
                    rejects.append(Reject.of(photo.entry.id, outcome))
                else:
                    good.append((photo, outcome))
        places = places_of([photo for photo, _ in good], self._gazetteer)
        references = [
            Reference(photo.entry.id, photo.coordinates, place, photo.entry.author, vectors)
            for (photo, vectors), place in zip(good, places, strict=True)
        ]
        return references, rejects

    def _write(self, embedded: Future[tuple[list[Reference], list[Reject]]], collection: str, model: Model) -> _Written:
        references, rejects = embedded.result()
        if not references:
            return _Written(0, rejects)
        call = partial(self._references.upsert, collection, model.fingerprint, references)
        # A batch that is embedded is written even after a Ctrl-C: its work is done.
        errors = call() if self._stop.is_set() else self._patiently(call)
        rejects += [Reject.of(references[index].id, error) for index, error in errors.items()]
        return _Written(len(references) - len(errors), rejects)

    def _land(self, flying: deque[Future[_Written]], report: Report) -> None:
        try:
            written = flying[0].result()
        except Exception:
            flying.popleft()
            raise
        # Only now: a Ctrl-C while waiting must leave the batch to be counted by `_wind_up`.
        flying.popleft()
        report.written += written.count
        report.rejects += written.rejects
        self._tell(report)

    def _wind_up(self, flying: deque[Future[_Written]], report: Report) -> None:
        """Counts what still lands; a batch that is not embedded yet goes no further."""
        self._stop.set()
        while flying:
            try:
                self._land(flying, report)
            except (_Stopped, G3Error):
                continue  # the first failure is the one to report, and it is on its way

    def _patiently(self, call: Callable[[], T]) -> T:
        """Repeats `call` while its service is away or full. Raises Unavailable when patience ends."""
        ends = time.monotonic() + self._patience.total_s
        while True:
            if self._stop.is_set():
                raise _Stopped
            try:
                return call()
            except Unavailable as error:
                wait_s = error.retry_after_s or self._patience.every_s
                if time.monotonic() + wait_s >= ends:
                    raise
                self._stop.wait(wait_s)

    def _tell(self, report: Report) -> None:
        done = report.held + report.written + report.rejected
        self._on_progress(Progress(done, report.found, report.rejected))


def _parts(photos: Sequence[Photo]) -> Iterator[list[Photo]]:
    """The photos in calls of at most `_REQUEST_BYTES`."""
    part: list[Photo] = []
    size = 0
    for photo in photos:
        if part and size + len(photo.jpeg) > _REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(photo)
        size += len(photo.jpeg)
    if part:
        yield part
