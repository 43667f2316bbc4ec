"""The stages that the orchestrator does itself: retrieve and verify.

Errors that may pass give the stage back for a later attempt; others end the job with their code and sentence.
"""

import uuid
from uuid import UUID

from g3_choice import scored
from g3_geography import Coordinates
from g3_kit import logs
from g3_kit.errors import Conflict, G3Error, Mismatch, Missing, Unavailable

from g3_orchestrator.candidates import pool
from g3_orchestrator.following import AT_ONCE, GENERATION
from g3_orchestrator.judging import Judge, merged
from g3_orchestrator.leases import Leases
from g3_orchestrator.model import Failure, Job, Result, Retrieval
from g3_orchestrator.ports import Namer, Scorer
from g3_orchestrator.protocol import Ref
from g3_orchestrator.retrieving import Retriever
from g3_orchestrator.stages import Stages
from g3_orchestrator.states import StageName, Strategy
from g3_orchestrator.store.port import StageStore

_log = logs.get("g3_orchestrator.coordinator")


class Coordinator:
    """Works on one stage a call. Thread-safe."""

    def __init__(
        self,
        stages: Stages,
        store: StageStore,
        leases: Leases,
        *,
        retriever: Retriever,
        scorer: Scorer,
        namer: Namer,
        judge: Judge,
    ) -> None:
        self._stages = stages
        self._store = store
        self._leases = leases
        self._retriever = retriever
        self._scorer = scorer
        self._namer = namer
        self._judge = judge

    def work(self, job_id: UUID, stage: StageName, attempt: int) -> None:
        """Claims and works on the stage; a stage that is not ours to work on is left alone.

        Raises Unavailable when the database is away: the sweeper rings again.
        """
        ref = Ref(job_id, stage, attempt, uuid.uuid4().hex)
        try:
            claim = self._stages.claim(ref)
        except (Conflict, Missing) as error:
            _log.debug("nothing to do", reason=error.message)
            return
        try:
            with self._leases.kept(ref):
                self._do(ref, claim.job)
        except Conflict as error:
            _log.info("the stage was taken away", reason=error.message)

    def _do(self, ref: Ref, job: Job) -> None:
        try:
            if ref.stage is StageName.RETRIEVE:
                retrieval = self._retriever.retrieved(job)
                at_once = job.parameters.strategy in AT_ONCE
                result = self._judge.at_once(retrieval, job.parameters) if at_once else None
                self._stages.complete(ref, job=job, retrieval=retrieval, result=result)
            else:
                self._stages.complete(ref, result=self._verified(job))
        except Conflict:
            raise
        except G3Error as error:
            retryable = isinstance(error, Unavailable)
            _log.warning("the stage failed", code=error.code, reason=error.message, retryable=retryable)
            self._stages.fail(ref, Failure(error.code, error.message), retryable=retryable)

    def _verified(self, job: Job) -> Result:
        retrieval = self._store.retrieval(job.tenant_id, job.job_id)
        said = self._store.answers(job.tenant_id, job.job_id)
        made = pool(said, retrieval.similar, retrieval.gallery, job.parameters, self._namer, retrieved=_retrieved(job))
        if not made.proposals:
            raise Missing("nothing to choose from: no usable answer and no reference was found")
        candidates = merged(made.proposals, job.parameters)
        if job.parameters.strategy is Strategy.G3:
            candidates = scored(candidates, self._similarities(retrieval, [one.coordinates for one in candidates]))
        return self._judge.result(candidates, retrieval, job.parameters, made.dropped)

    def _similarities(self, retrieval: Retrieval, points: list[Coordinates]) -> tuple[float | None, ...]:
        release = retrieval.release
        scores = self._scorer.score(retrieval.gps_aligned, points, release.model)
        if (scores.model, scores.gps) != (release.model, release.gps):
            raise Mismatch("the candidates were scored by another model than the one that the job is pinned to")
        if len(scores.similarities) != len(points):
            raise Unavailable("the verification service scored another number of candidates than it was asked for")
        return scores.similarities


def _retrieved(job: Job) -> int:
    """S; at least one for a job whose LMM was left out and that has nothing else to choose from."""
    wanted = job.parameters.retrieved_candidates
    return max(wanted, 1) if GENERATION in job.degraded else wanted
