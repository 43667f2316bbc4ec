"""StageService for the workers: converts, calls, converts. Only on the internal listener."""

from uuid import UUID

import grpc
from g3_kit.errors import Rejected
from g3_photo import rendition
from g3_protos.orchestrator.v1 import stages_pb2, stages_pb2_grpc

from g3_orchestrator import convert, convert_results, convert_runs
from g3_orchestrator.model import Answer, Failure, Job, Retrieval
from g3_orchestrator.overflow import kept_and_filed
from g3_orchestrator.ports import Blobs
from g3_orchestrator.stages import Claim, Ref, Stages
from g3_orchestrator.states import Dissimilar, StageName
from g3_orchestrator.store.port import StageStore

SERVICE_NAME = stages_pb2.DESCRIPTOR.services_by_name["StageService"].full_name
MAX_ANSWERS = 512
MAX_ANSWER_BYTES = 16 * 1024
MAX_REASON = 500
_FROM_OUTSIDE = frozenset({StageName.GENERATE, StageName.PLAN, StageName.FILL, StageName.PUBLISH})


class StageServicer(stages_pb2_grpc.StageServiceServicer):
    """Errors of the tree are raised; the server's interceptor makes statuses of them."""

    def __init__(self, stages: Stages, store: StageStore, blobs: Blobs) -> None:
        self._stages = stages
        self._store = store
        self._blobs = blobs

    def ClaimStage(
        self, request: stages_pb2.ClaimStageRequest, context: grpc.ServicerContext
    ) -> stages_pb2.ClaimStageResponse:
        """Takes a stage and says what is to be done."""
        claim = self._stages.claim(_ref(request.ref))
        return self._run_claimed(claim) if claim.run is not None else self._job_claimed(claim)

    def _run_claimed(self, claim: Claim) -> stages_pb2.ClaimStageResponse:
        assert claim.run is not None  # noqa: S101 - the caller has looked
        run = claim.run
        ingest = stages_pb2.IngestClaim(
            spec=convert_runs.spec(run.spec),
            plan=convert_runs.plan(run.plan) if run.plan else None,
            tally=convert_runs.tally(run.tally),
        )
        return stages_pb2.ClaimStageResponse(lease_s=claim.lease_s, budget_s=claim.budget_s or 0.0, ingest=ingest)

    def _job_claimed(self, claim: Claim) -> stages_pb2.ClaimStageResponse:
        job = claim.job
        photo = rendition(self._blobs.get(job.tenant_id, job.photo.sha256))
        held = self._store.answers(job.tenant_id, job.job_id)
        return stages_pb2.ClaimStageResponse(
            lease_s=claim.lease_s,
            budget_s=claim.budget_s or 0.0,
            parameters=convert.parameters(job.parameters),
            prompts=_prompts(job, self._store.retrieval(job.tenant_id, job.job_id)),
            held=[stages_pb2.AnswerRef(prompt=answer.prompt, sample=answer.sample) for answer in held],
            photo=photo,
        )

    def RenewLease(
        self, request: stages_pb2.RenewLeaseRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RenewLeaseResponse:
        """Keeps a claimed stage."""
        return stages_pb2.RenewLeaseResponse(lease_s=self._stages.renew(_ref(request.ref)))

    def RecordAnswers(
        self, request: stages_pb2.RecordAnswersRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RecordAnswersResponse:
        """Stores raw answers."""
        if len(request.answers) > MAX_ANSWERS:
            raise Rejected(f"at most {MAX_ANSWERS} answers a call", field="answers")
        answers = [_answer(answer) for answer in request.answers]
        return stages_pb2.RecordAnswersResponse(recorded=self._stages.record(_ref(request.ref), answers))

    def RecordPlan(
        self, request: stages_pb2.RecordPlanRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RecordPlanResponse:
        """Stores what the stage plan found."""
        self._stages.record_plan(_ref(request.ref), convert_runs.plan_of(request.plan))
        return stages_pb2.RecordPlanResponse()

    def RecordProgress(
        self, request: stages_pb2.RecordProgressRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RecordProgressResponse:
        """Stores how far a shard is; rejects beyond those kept as rows go into a file of the blob store."""
        ref, told = _ref(request.ref), convert_runs.rejects_of(request.rejects)
        rejects, file = kept_and_filed(told, self._stages.room_for_rejects(ref), self._blobs) if told else ([], None)
        self._stages.advance(ref, convert_runs.tally_of(request.tally), rejects, file)
        return stages_pb2.RecordProgressResponse()

    def RecordPublication(
        self, request: stages_pb2.RecordPublicationRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RecordPublicationResponse:
        """Stores what the stage publish found."""
        self._stages.record_publication(_ref(request.ref), convert_runs.publication_of(request.publication))
        return stages_pb2.RecordPublicationResponse()

    def CompleteStage(
        self, request: stages_pb2.CompleteStageRequest, context: grpc.ServicerContext
    ) -> stages_pb2.CompleteStageResponse:
        """Ends a stage and starts the next."""
        self._stages.complete(_ref(request.ref))
        return stages_pb2.CompleteStageResponse()

    def FailStage(
        self, request: stages_pb2.FailStageRequest, context: grpc.ServicerContext
    ) -> stages_pb2.FailStageResponse:
        """Gives a stage back."""
        reason = _text(request.reason)[:MAX_REASON]
        if request.released:
            self._stages.release(_ref(request.ref), reason)
            return stages_pb2.FailStageResponse()
        failure = Failure("unavailable" if request.retryable else "rejected", reason)
        self._stages.fail(_ref(request.ref), failure, retryable=request.retryable)
        return stages_pb2.FailStageResponse()


def _ref(ref: stages_pb2.StageRef) -> Ref:
    if ref.stage not in _FROM_OUTSIDE:
        raise Rejected("this stage is not worked on from outside", field="ref.stage")
    try:
        job_id = UUID(ref.job_id)
    except ValueError:
        raise Rejected("job_id must be a UUID", field="ref.job_id") from None
    return Ref(job_id, StageName(ref.stage), ref.attempt, ref.claim_id, ref.shard)


def _answer(answer: stages_pb2.Answer) -> Answer:
    text = _text(answer.text)
    if len(text.encode()) > MAX_ANSWER_BYTES:
        raise Rejected(f"an answer has at most {MAX_ANSWER_BYTES} bytes", field="answers")
    return Answer(
        prompt=answer.prompt,
        sample=answer.sample,
        text=text,
        model=_text(answer.model)[:200],
        prompt_tokens=min(answer.prompt_tokens, 2**31 - 1),
        answer_tokens=min(answer.answer_tokens, 2**31 - 1),
    )


def _text(text: str) -> str:
    """PostgreSQL's text holds every character but NUL."""
    return text.replace("\0", " ")


def _prompts(job: Job, retrieval: Retrieval) -> list[stages_pb2.PromptSpec]:
    parameters = job.parameters
    contrast = () if parameters.dissimilar is Dissimilar.NONE else retrieval.dissimilar
    return [
        stages_pb2.PromptSpec(
            prompt=index,
            samples=parameters.samples_per_prompt,
            similar=[convert_results.match(match) for match in retrieval.similar[:count]],
            dissimilar=[convert_results.match(match) for match in contrast[:count]],
        )
        for index, count in enumerate(parameters.references_per_prompt)
    ]
