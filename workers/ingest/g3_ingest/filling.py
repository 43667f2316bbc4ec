"""The stage fill: the rows of one shard, batch after batch, from behind what earlier attempts recorded.

Reading and cleaning, embedding and writing run side by side: while `Services.calls` batches are with the embedding
service, so that it never waits for the next one, those before are written and the one behind is cleaned. Batches are
written and land in order, so that what is recorded is always a beginning of the shard. Whatever is behind it is done
again by a takeover, and upserts make that harmless.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from g3_kit.errors import G3Error, Mismatch, Unavailable

from g3_ingest.batch import Batch, parts, slices
from g3_ingest.embedder import Embedder
from g3_ingest.patience import Bearing, Leaving
from g3_ingest.photos import Cleaner, Named, completed
from g3_ingest.picking import Picking
from g3_ingest.references import Reference, References
from g3_ingest.rows import Duplicate, Row, Source
from g3_ingest.stages import Plan, Reject, Spec, Tally

_BESIDE = 3  # batches that are cleaned, named or written beside those with the embedding service
_RECORD_S = 1.0
_MAX_REJECTS = 1_000  # two batches may come together, and a call takes 2,000
_MAX_REASONS = 60
_VECTOR_BATCH = 1_000  # UpsertRequest.references in retrieval.proto

T = TypeVar("T")
Record = Callable[[Tally, Sequence[Reject]], None]
Check = Callable[[], None]


class _Stopped(Exception):
    """The shard goes no further: this batch is left to the next attempt."""


@dataclass(frozen=True)
class Services:
    """What a shard is worked with. `batch` photos a call, `calls` of them at once to the embedding service, `cleaners`
    threads that read and clean the photos of one shard.
    """

    embedder: Embedder
    references: References
    cleaner: Cleaner
    batch: int = 32
    calls: int = 2
    cleaners: int = 2
    bearing: Bearing = field(default_factory=Bearing)


class Filling:
    """One shard, once."""

    def __init__(
        self,
        services: Services,
        source: Source,
        spec: Spec,
        plan: Plan,
        shard: int,
        tally: Tally,
        *,
        again: bool,
        record: Record,
        check: Check,
    ) -> None:
        """Goes on behind `tally`. `again`: an earlier attempt may have written more than it recorded.

        `record` is told about once a second; `check` is asked before each step and may raise.
        """
        self._services = services
        self._source = source
        self._spec = spec
        self._plan = plan
        self._shard = shard
        self._again = again or plan.standing > 0
        self._record = record
        self._check = check
        self._picking = Picking(spec, services.references, plan)
        self._rejects: list[Reject] = []
        self._recorded_at = time.monotonic()
        self._stopped = False
        self.tally = tally

    def run(self) -> Tally:
        """To the end of the shard; how it ended.

        Raises Mismatch when the source or the model is not the planned one, Unavailable when a service stays away, and
        what `record` and `check` raise: what has landed by then is recorded.
        """
        source, plan = self._source, self._plan
        if source.fingerprint != plan.source or source.rows != plan.rows:
            raise Mismatch("the source has changed since the run was planned: submit it again")
        first, last = plan.range_of(self._shard)
        rows = source.read(first + self.tally.read, last)
        size = self._batch_size()
        calls, cleaners = self._services.calls, self._services.cleaners
        with (
            ThreadPoolExecutor(cleaners, "clean") as cleaning,
            ThreadPoolExecutor(1, "name") as naming,
            ThreadPoolExecutor(calls, "embed") as embedding,
            ThreadPoolExecutor(1, "write") as writing,
        ):
            flying: deque[Future[Batch]] = deque()
            try:
                while chunk := list(itertools.islice(rows, size)):
                    self._check()
                    batch = self._begun(chunk)
                    taken = slices(batch.open(), 2 * cleaners)
                    cleaned = [cleaning.submit(self._cleaned, batch, places) for places in taken]
                    named = naming.submit(self._name, batch, cleaned)
                    embedded = embedding.submit(self._embed, named)
                    flying.append(writing.submit(self._write, embedded))
                    if len(flying) >= calls + _BESIDE:
                        self._land(flying)
                while flying:
                    self._land(flying)
            except BaseException:
                self._wind_up(flying)
                raise
        self._tell()
        return self.tally

    def _batch_size(self) -> int:
        if self._source.ready_made is not None:
            return _VECTOR_BATCH
        model = self._bear(self._services.embedder.model)
        if (model.fingerprint, model.dimension) != (self._plan.model, self._plan.dimension):
            raise Mismatch(
                f"the embedding service serves model {model.fingerprint[:12]} and the run was planned for "
                f"{self._plan.model[:12]}: submit it again"
            )
        return max(1, min(self._services.batch, model.max_items))

    def _begun(self, rows: list[Row]) -> Batch:
        batch = Batch(rows)
        batch.refused.update({place: row.fault for place, row in enumerate(rows) if row.fault is not None})
        # Ready-made vectors are written again sooner than they are asked for, unless they must be told apart.
        asked = self._source.ready_made is None or self._spec.near_duplicate or self._plan.standing
        if self._again and asked and (places := batch.open()):
            ids = [rows[place].id for place in places]
            held = self._bear(partial(self._services.references.held, self._plan.collection, ids))
            batch.held.update(place for place in places if rows[place].id in held)
        return batch

    def _cleaned(self, batch: Batch, places: Sequence[int]) -> dict[int, Named | G3Error]:
        found: dict[int, Named | G3Error] = {}
        for place in places:
            if self._stopped:
                raise _Stopped
            try:
                found[place] = self._services.cleaner.clean(batch.rows[place])
            except G3Error as error:
                found[place] = error
        return found

    def _name(self, batch: Batch, cleaned: Sequence["Future[dict[int, Named | G3Error]]"]) -> Batch:
        """Batch after batch: which of two photos is the duplicate goes by their order."""
        for future in cleaned:
            for place, found in future.result().items():
                if isinstance(found, G3Error):
                    batch.refused[place] = found
                elif fault := self._picking.same_picture(found):
                    batch.refused[place] = fault
                else:
                    batch.named[place] = found
        return batch

    def _embed(self, named: "Future[Batch]") -> Batch:
        batch = named.result()
        for place in batch.named:
            if (ready := batch.rows[place].vectors) is not None:
                batch.vectors[place] = ready
        for part in parts([place for place in batch.named if batch.named[place].jpeg], batch):
            jpegs = [batch.named[place].jpeg for place in part]
            embed = partial(self._services.embedder.embed, jpegs, self._plan.model)
            for place, outcome in zip(part, self._bear(embed), strict=True):
                if isinstance(outcome, G3Error):
                    batch.refused[place] = outcome
                else:
                    batch.vectors[place] = outcome
        return batch

    def _pick(self, batch: Batch) -> None:
        """Leaves out what is nearly the same as another photo, batch after batch as `_name`."""
        for place in sorted(batch.vectors):
            near = partial(self._picking.near_duplicate, batch.rows[place].id, batch.vectors[place])
            if fault := self._bear(near):
                batch.refused[place] = fault

    def _write(self, embedded: "Future[Batch]") -> Batch:
        batch = embedded.result()
        if self._spec.near_duplicate:
            self._pick(batch)
        places = [place for place in sorted(batch.vectors) if place not in batch.refused]
        if not places:
            return batch
        rows = [batch.rows[place] for place in places]
        where = [batch.named[place].coordinates for place in places]
        named = completed([row.place for row in rows], where, self._services.cleaner.gazetteer)
        references = [
            Reference(row.id, point, place, row.author, batch.vectors[number])
            for row, point, place, number in zip(rows, where, named, places, strict=True)
        ]
        call = partial(self._services.references.upsert, self._plan.collection, self._plan.model, references)
        for index, error in self._written(call).items():
            batch.refused[places[index]] = error
        return batch

    def _written(self, call: Callable[[], Mapping[int, G3Error]]) -> Mapping[int, G3Error]:
        """Also by a worker that leaves: what is embedded is worth its writing."""
        try:
            return call()
        except Unavailable:
            return self._bear(call)

    def _land(self, flying: deque[Future[Batch]]) -> None:
        batch = flying[0].result()
        flying.popleft()
        for place, row in enumerate(batch.rows):
            if (error := batch.refused.get(place)) is not None:
                self._refuse(row, error)
            elif place in batch.held and self._plan.standing:
                self.tally.held += 1
            else:
                # What is held already in a version of our own was written by an earlier attempt.
                self.tally.written += 1
        if time.monotonic() - self._recorded_at >= _RECORD_S or len(self._rejects) >= _MAX_REJECTS:
            self._tell()

    def _refuse(self, row: Row, error: G3Error) -> None:
        if isinstance(error, Duplicate):
            self.tally.duplicates += 1
        else:
            self.tally.rejected += 1
        reasons, reason = self.tally.reasons, f"{error.code}: {error.message}"[:300]
        known = reason if reason in reasons or len(reasons) < _MAX_REASONS else "others"
        reasons[known] = reasons.get(known, 0) + 1
        self._rejects.append(Reject(row.number, row.id, error.code, error.message))

    def _tell(self) -> None:
        self._record(self.tally, self._rejects)
        self._rejects = []
        self._recorded_at = time.monotonic()

    def _wind_up(self, flying: deque[Future[Batch]]) -> None:
        """Lands what is written by itself, and records it; what is not embedded yet goes no further."""
        self._stopped = True
        try:
            while flying:
                self._land(flying)
        except (_Stopped, Leaving, G3Error):
            # The first failure is on its way already; batches behind this one may not land without it.
            flying.clear()
        if self.tally.read:
            self._tell()

    def _bear(self, call: Callable[[], T]) -> T:
        return self._services.bearing.call(call, self._still)

    def _still(self) -> None:
        if self._stopped:
            raise _Stopped
        self._check()
