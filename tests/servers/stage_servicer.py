"""StageService around the generation worker's `FakeStages`: the stage protocol over real gRPC, in memory."""

import grpc
from g3_dialogue import Contrast, PromptOrder, Reference
from g3_generation.fakes import FakeStages
from g3_generation.stages import Answer, StageRef
from g3_kit.grpc_server import GrpcServer
from g3_kit.health import Health
from g3_protos.geography.v1.geography_pb2 import Coordinates, Place
from g3_protos.orchestrator.v1 import jobs_pb2, stages_pb2, stages_pb2_grpc
from g3_protos.retrieval.v1 import retrieval_pb2


class StageServicer(stages_pb2_grpc.StageServiceServicer):
    """Answers from `stages`."""

    def __init__(self, stages: FakeStages) -> None:
        self._stages = stages

    def ClaimStage(
        self, request: stages_pb2.ClaimStageRequest, context: grpc.ServicerContext
    ) -> stages_pb2.ClaimStageResponse:
        claim = self._stages.claim(_ref(request.ref))
        first = claim.prompt_order is PromptOrder.IMAGE_FIRST
        order = jobs_pb2.PROMPT_ORDER_IMAGE_FIRST if first else jobs_pb2.PROMPT_ORDER_PAPER
        hard = any(prompt.contrast is Contrast.HARD for prompt in claim.prompts)
        kind = retrieval_pb2.DISSIMILAR_HARD if hard else retrieval_pb2.DISSIMILAR_FARTHEST
        return stages_pb2.ClaimStageResponse(
            lease_s=claim.lease_s,
            budget_s=claim.budget_s,
            parameters=jobs_pb2.Parameters(temperature=claim.temperature, prompt_order=order, dissimilar=kind),
            prompts=[
                stages_pb2.PromptSpec(
                    prompt=prompt.index,
                    samples=prompt.samples,
                    similar=[_match(reference) for reference in prompt.similar],
                    dissimilar=[_match(reference) for reference in prompt.dissimilar],
                )
                for prompt in claim.prompts
            ],
            held=[stages_pb2.AnswerRef(prompt=prompt, sample=sample) for prompt, sample in sorted(claim.held)],
            photo=claim.photo,
        )

    def RenewLease(
        self, request: stages_pb2.RenewLeaseRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RenewLeaseResponse:
        return stages_pb2.RenewLeaseResponse(lease_s=self._stages.renew(_ref(request.ref), deadline_s=1))

    def RecordAnswers(
        self, request: stages_pb2.RecordAnswersRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RecordAnswersResponse:
        answers = [
            Answer(answer.prompt, answer.sample, answer.text, answer.model, answer.prompt_tokens, answer.answer_tokens)
            for answer in request.answers
        ]
        return stages_pb2.RecordAnswersResponse(recorded=self._stages.record(_ref(request.ref), answers))

    def CompleteStage(
        self, request: stages_pb2.CompleteStageRequest, context: grpc.ServicerContext
    ) -> stages_pb2.CompleteStageResponse:
        self._stages.complete(_ref(request.ref))
        return stages_pb2.CompleteStageResponse()

    def FailStage(
        self, request: stages_pb2.FailStageRequest, context: grpc.ServicerContext
    ) -> stages_pb2.FailStageResponse:
        if request.released:
            self._stages.release(_ref(request.ref), request.reason)
        else:
            self._stages.fail(_ref(request.ref), retryable=request.retryable, reason=request.reason)
        return stages_pb2.FailStageResponse()

    def RecordPlan(
        self, request: stages_pb2.RecordPlanRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RecordPlanResponse:
        raise AssertionError("generation plans nothing")

    def RecordProgress(
        self, request: stages_pb2.RecordProgressRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RecordProgressResponse:
        raise AssertionError("generation fills nothing")

    def RecordPublication(
        self, request: stages_pb2.RecordPublicationRequest, context: grpc.ServicerContext
    ) -> stages_pb2.RecordPublicationResponse:
        raise AssertionError("generation publishes nothing")


def stage_server(stages: FakeStages) -> GrpcServer:
    """A server of `stages` on a free port of 127.0.0.1, not yet started."""
    built = GrpcServer(host="127.0.0.1", port=0, health=Health())
    name = stages_pb2.DESCRIPTOR.services_by_name["StageService"].full_name
    built.add(stages_pb2_grpc.add_StageServiceServicer_to_server, StageServicer(stages), name)
    return built


def _ref(ref: stages_pb2.StageRef) -> StageRef:
    return StageRef(ref.job_id, ref.stage, ref.attempt, ref.claim_id)


def _match(reference: Reference) -> retrieval_pb2.Match:
    where = Coordinates(latitude=reference.latitude, longitude=reference.longitude)
    place = Place(country=reference.place)
    return retrieval_pb2.Match(reference=retrieval_pb2.Reference(coordinates=where, place=place))
