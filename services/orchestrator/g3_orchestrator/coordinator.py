"""The stages that the orchestrator does itself: retrieve and verify.

Errors that may pass give the stage back for a later attempt; others end the job with their code and sentence.
"""

import uuid
from uuid import UUID

from g3_kit import logs
from g3_kit.errors import Conflict, G3Error, Mismatch, Missing, Unavailable

from g3_orchestrator.candidates import pool
from g3_orchestrator.leases import Leases
from g3_orchestrator.model import Failure, Job, Release, Result, Retrieval
from g3_orchestrator.ports import Blobs, Embedder, Namer, Scorer, Searcher
from g3_orchestrator.ranking import ranked
from g3_orchestrator.stages import GENERATION, Ref, Stages
from g3_orchestrator.states import Dissimilar, StageName
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
        blobs: Blobs,
        embedder: Embedder,
        searcher: Searcher,
        scorer: Scorer,
        namer: Namer,
    ) -> None:
        self._stages = stages
        self._store = store
        self._leases = leases
        self._blobs = blobs
        self._embedder = embedder
        self._searcher = searcher
        self._scorer = scorer
        self._namer = namer

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
                retrieval = self._retrieved(job)
                self._stages.complete(ref, job=job, retrieval=retrieval)
            else:
                result = self._verified(job)
                self._stages.complete(ref, result=result)
        except Conflict:
            raise
        except G3Error as error:
            retryable = isinstance(error, Unavailable)
            _log.warning("the stage failed", code=error.code, reason=error.message, retryable=retryable)
            self._stages.fail(ref, Failure(error.code, error.message), retryable=retryable)

    def _retrieved(self, job: Job) -> Retrieval:
        photo = self._blobs.get(job.tenant_id, job.photo.sha256)
        vectors = self._embedder.embed(photo)
        parameters = job.parameters
        most = max(parameters.references_per_prompt, default=0)
        try:
            found = self._searcher.search(
                vectors,
                parameters,
                # One at least: a job whose LMM is away is answered from what was retrieved.
                similar=max(most, parameters.retrieved_candidates, 1),
                dissimilar=0 if parameters.dissimilar is Dissimilar.NONE else most,
            )
        except Missing as error:
            raise Missing("there are no references to compare the photo with: ingest some (g3 ingest)") from error
        if found.model != vectors.model:
            raise Mismatch("the references were made by another model than the photo's vectors")
        release = Release(model=vectors.model, gps=vectors.gps, collection=found.collection)
        return Retrieval(found.similar, found.dissimilar, vectors.gps_aligned, release)

    def _verified(self, job: Job) -> Result:
        retrieval = self._store.retrieval(job.tenant_id, job.job_id)
        said = self._store.answers(job.tenant_id, job.job_id)
        candidates = pool(said, retrieval.similar, job.parameters, self._namer, retrieved=_retrieved_candidates(job))
        if not candidates.proposals:
            raise Missing("nothing to choose from: no usable answer and no reference was found")
        release = retrieval.release
        scores = self._scorer.score(
            retrieval.gps_aligned, [proposal.coordinates for proposal in candidates.proposals], release.model
        )
        if (scores.model, scores.gps) != (release.model, release.gps):
            raise Mismatch("the candidates were scored by another model than the one that the job is pinned to")
        if len(scores.similarities) != len(candidates.proposals):
            raise Unavailable("the verification service scored another number of candidates than it was asked for")
        best = ranked(candidates, scores.similarities, job.parameters.ranking)
        if not best:
            raise Missing("nothing to choose from: no candidate could be scored")
        return Result(
            coordinates=best[0].coordinates,
            place=best[0].place,
            similarity=best[0].similarity,
            candidates=tuple(best[: job.parameters.top_k]),
            references=retrieval.similar,
            dropped=candidates.dropped,
            release=release,
        )


def _retrieved_candidates(job: Job) -> int:
    """S; at least one for a job whose LMM was left out, which has no other candidates."""
    wanted = job.parameters.retrieved_candidates
    return max(wanted, 1) if GENERATION in job.degraded else wanted
