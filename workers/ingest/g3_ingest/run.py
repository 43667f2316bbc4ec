"""The stages of an ingest run: plan, fill, publish. One object serves many threads."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from functools import partial

from g3_kit.errors import Conflict, G3Error, Late, Mismatch, NotYet, Rejected, Unavailable
from g3_kit.lease import Lease

from g3_ingest.filling import Filling, Services
from g3_ingest.opening import Sources
from g3_ingest.patience import Leaving
from g3_ingest.references import Collection, Recall
from g3_ingest.rows import ReadyMade, Source
from g3_ingest.stages import Claim, Plan, Publication, Reject, Spec, StageRef, Stages, Tally

ROWS_A_SHARD = 10_000
MAX_SHARDS = 10_000
LEAST_RECALL = 0.95
SAMPLE = 200
EXACT_SAMPLE = 20
EXACT_MEASURED = 20_000
"""An exact index compares every vector, so that its recall is 1 by its make: a few queries show that nothing is broken
where that takes seconds. Of more references it is not measured; approximate indexes always are."""


class Outcome(Enum):
    """How one delivery of a message ended."""

    COMPLETED = "completed"
    """The stage is done and the next one has begun."""
    FAILED = "failed"
    """The stage was given back with a reason."""
    RELEASED = "released"
    """The worker leaves, or its turn was over: the stage was given back and is due at once."""
    REFUSED = "refused"
    """The claim was refused: finished, cancelled, or somebody else's. Nothing was done."""
    LOST = "lost"
    """The stage went to somebody else in mid-work; what was recorded stays."""


class IngestRun:
    """Works one stage a call."""

    def __init__(
        self,
        stages: Stages,
        sources: Sources,
        services: Services,
        *,
        leaving: threading.Event | None = None,
        turn_s: float = 900.0,
    ) -> None:
        """`leaving` is set when the worker is asked to stop. A stage is given back after `turn_s`: brokers want their
        messages acknowledged within bounds, however long a shard is.
        """
        self._stages = stages
        self._sources = sources
        self._services = services
        self._leaving = leaving or threading.Event()
        self._turn_s = turn_s

    def work(self, ref: StageRef) -> Outcome:
        """Works `ref` to its end. Raises Unavailable when the orchestrator is away: its sweeper rings again."""
        try:
            claim = self._stages.claim(ref)
        except Conflict:
            return Outcome.REFUSED
        try:
            with Lease(partial(self._renew, ref), claim.lease_s, name=f"lease-{ref.job_id}-{ref.shard}") as lease:
                return self._held(ref, claim, lease)
        except Conflict:
            return Outcome.LOST

    def _renew(self, ref: StageRef, deadline_s: float) -> float:
        return self._stages.renew(ref, deadline_s=deadline_s)

    def _held(self, ref: StageRef, claim: Claim, lease: Lease) -> Outcome:
        ends = time.monotonic() + self._turn_s

        def check() -> None:
            lease.check()
            if self._leaving.is_set():
                raise Leaving("the worker leaves")
            if time.monotonic() >= ends:
                raise Leaving("its turn is over")

        try:
            self._do(ref, claim, check)
        except Leaving as leaving:
            reason = str(leaving)
            self._insist(lease, lambda: self._stages.release(ref, reason))
            return Outcome.RELEASED
        except Conflict:
            raise
        except G3Error as error:
            retryable, message = isinstance(error, Unavailable), error.message
            self._insist(lease, lambda: self._stages.fail(ref, retryable=retryable, reason=message))
            return Outcome.FAILED
        self._insist(lease, lambda: self._stages.complete(ref))
        return Outcome.COMPLETED

    def _insist(self, lease: Lease, call: Callable[[], None]) -> None:
        """Repeats a stage write that changes nothing when repeated. Raises Conflict, Unavailable."""
        self._services.bearing.call(call, lease.check)

    def _do(self, ref: StageRef, claim: Claim, check: Callable[[], None]) -> None:
        if ref.stage == "plan":
            plan = self._planned(ref, claim.spec, check)
            self._services.bearing.call(lambda: self._stages.record_plan(ref, plan), check)
        elif claim.plan is None:
            raise Rejected("the claimed stage has no plan")
        elif ref.stage == "fill":
            self._filled(ref, claim, claim.plan, check)
        else:
            self._published(ref, claim, claim.plan, check)

    # --- plan -------------------------------------------------------------------------------------------------------

    def _planned(self, ref: StageRef, spec: Spec, check: Callable[[], None]) -> Plan:
        source = self._sources.open(spec.source, spec.table, spec.authors, check)
        made = self._model(source, check)
        name = spec.collection or f"references_{made.model[:12]}_{ref.job_id.replace('-', '')[-12:]}"
        create = partial(
            self._services.references.create,
            name,
            made.dimension,
            made.model,
            index=spec.index,
            expected=source.rows,
        )
        try:
            standing = self._services.bearing.call(create, check).count
        except Conflict as error:
            # Not the fence of the stage: the name is taken.
            raise Mismatch(f"collection {name} cannot be filled: {error.message}") from None
        if standing and not spec.resume:
            raise Rejected(f"collection {name} holds {standing} references already: name a new version, or resume")
        shards = spec.shards or math.ceil(source.rows / ROWS_A_SHARD)
        shards = max(1, min(shards, source.rows, MAX_SHARDS))
        return Plan(source.rows, shards, name, made.model, made.dimension, source.fingerprint, standing)

    def _model(self, source: Source, check: Callable[[], None]) -> ReadyMade:
        if source.ready_made is not None:
            return source.ready_made
        model = self._services.bearing.call(self._services.embedder.model, check)
        return ReadyMade(model.fingerprint, model.dimension)

    # --- fill -------------------------------------------------------------------------------------------------------

    def _filled(self, ref: StageRef, claim: Claim, plan: Plan, check: Callable[[], None]) -> None:
        source = self._sources.open(claim.spec.source, claim.spec.table, claim.spec.authors, check)

        def record(tally: Tally, rejects: Sequence[Reject]) -> None:
            # Not `check`: what has landed is recorded also by a worker that leaves.
            self._services.bearing.call(lambda: self._stages.record_progress(ref, tally, rejects), lambda: None)

        filling = Filling(
            self._services,
            source,
            claim.spec,
            plan,
            ref.shard,
            claim.tally,
            again=ref.attempt > 1,
            record=record,
            check=check,
        )
        filling.run()

    # --- publish ----------------------------------------------------------------------------------------------------

    def _published(self, ref: StageRef, claim: Claim, plan: Plan, check: Callable[[], None]) -> None:
        bear, references, spec = self._services.bearing.call, self._services.references, claim.spec
        standing = bear(lambda: references.describe(plan.collection), check)
        found = Publication(standing.count)

        def keep(publication: Publication) -> Publication:
            bear(lambda: self._stages.record_publication(ref, publication), check)
            return publication

        keep(found)
        _judge_count(standing, plan, claim.tally)
        similar, dissimilar = self._recall(standing, spec, check)
        found = keep(Publication(standing.count, similar, dissimilar))
        if not spec.unpublished:
            previous = ""
            if spec.alias not in standing.aliases:
                previous = bear(lambda: references.publish(plan.collection, spec.alias), check)
            keep(Publication(standing.count, similar, dissimilar, published=True, previous=previous))

    def _recall(self, standing: Collection, spec: Spec, check: Callable[[], None]) -> tuple[float | None, float | None]:
        if standing.exact and standing.count > EXACT_MEASURED:
            return None, None
        try:
            sample = EXACT_SAMPLE if standing.exact else SAMPLE
            measured = self._measured(standing.name, sample, check)
        except NotYet as error:
            if standing.exact:
                return None, None
            raise Rejected(f"not published: the recall of {standing.index} is unknown ({error.message})") from None
        for what, share, least in (
            ("similar", measured.similar, spec.least_recall_similar),
            ("dissimilar", measured.dissimilar, spec.least_recall_dissimilar),
        ):
            wanted = LEAST_RECALL if least is None else least
            if share < wanted:
                reason = f"{standing.index} finds {share:.4f} of the true {what} references, and {wanted:g} is wanted"
                raise Rejected(f"not published: {reason}")
        return measured.similar, measured.dissimilar

    def _measured(self, collection: str, sample: int, check: Callable[[], None]) -> Recall:
        """As long as it takes: each call that is cut off by its deadline goes on where the last one stood."""
        while True:
            with suppress(Late):
                return self._services.bearing.call(
                    lambda: self._services.references.recall(collection, sample), check, but=(Late,)
                )
            check()


def _judge_count(standing: Collection, plan: Plan, tally: Tally) -> None:
    """Raises Rejected unless the version holds what was accepted: exactly that where it was empty before."""
    if tally.read != plan.rows:
        raise Rejected(f"not published: {tally.read} of {plan.rows} rows were read")
    if not tally.accepted:
        raise Rejected("not published: no row could be ingested")
    exact = plan.standing == 0
    if standing.count != tally.accepted if exact else standing.count < tally.accepted:
        raise Rejected(f"not published: {tally.accepted} references were accepted and the version has {standing.count}")
