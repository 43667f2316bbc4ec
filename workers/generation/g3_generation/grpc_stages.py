"""The stage protocol over gRPC."""

from collections.abc import Sequence

import grpc
from g3_dialogue import Contrast, Prompt, PromptOrder, Reference
from g3_protos.orchestrator.v1 import jobs_pb2, stages_pb2, stages_pb2_grpc
from g3_protos.retrieval.v1 import retrieval_pb2

from g3_generation.stages import Answer, Claim, StageRef

# As the paper's reference implementation; the orchestrator states it in every claim, this is for one that does not.
_PAPER_TEMPERATURE = 1.2
_MAX_ANSWERS = 512  # RecordAnswersRequest.answers in stages.proto


class GrpcStages:
    """`Stages` through a channel of `g3_kit.grpc_client`, which turns gRPC status into the error tree."""

    def __init__(self, channel: grpc.Channel, *, call_s: float = 10.0) -> None:
        """`call_s`: deadline in seconds of every call but `renew`. The channel stays the caller's to close."""
        self._stub = stages_pb2_grpc.StageServiceStub(channel)
        self._call_s = call_s

    def claim(self, ref: StageRef) -> Claim:
        response = self._stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=_ref(ref)), timeout=self._call_s)
        parameters = response.parameters
        hard = parameters.dissimilar == retrieval_pb2.DISSIMILAR_HARD
        contrast = Contrast.HARD if hard else Contrast.FARTHEST
        image_first = parameters.prompt_order == jobs_pb2.PROMPT_ORDER_IMAGE_FIRST
        return Claim(
            lease_s=response.lease_s,
            budget_s=response.budget_s,
            prompts=tuple(_prompt(prompt, contrast) for prompt in response.prompts),
            held=frozenset((held.prompt, held.sample) for held in response.held),
            photo=response.photo,
            temperature=parameters.temperature if parameters.HasField("temperature") else _PAPER_TEMPERATURE,
            prompt_order=PromptOrder.IMAGE_FIRST if image_first else PromptOrder.PAPER,
        )

    def renew(self, ref: StageRef, *, deadline_s: float) -> float:
        return self._stub.RenewLease(stages_pb2.RenewLeaseRequest(ref=_ref(ref)), timeout=deadline_s).lease_s

    def record(self, ref: StageRef, answers: Sequence[Answer]) -> int:
        recorded = 0
        for start in range(0, len(answers), _MAX_ANSWERS):
            request = stages_pb2.RecordAnswersRequest(
                ref=_ref(ref), answers=[_answer(answer) for answer in answers[start : start + _MAX_ANSWERS]]
            )
            recorded += self._stub.RecordAnswers(request, timeout=self._call_s).recorded
        return recorded

    def complete(self, ref: StageRef) -> None:
        self._stub.CompleteStage(stages_pb2.CompleteStageRequest(ref=_ref(ref)), timeout=self._call_s)

    def fail(self, ref: StageRef, *, retryable: bool, reason: str) -> None:
        request = stages_pb2.FailStageRequest(ref=_ref(ref), retryable=retryable, reason=reason)
        self._stub.FailStage(request, timeout=self._call_s)

    def release(self, ref: StageRef, reason: str) -> None:
        request = stages_pb2.FailStageRequest(ref=_ref(ref), retryable=True, released=True, reason=reason)
        self._stub.FailStage(request, timeout=self._call_s)


def _ref(ref: StageRef) -> stages_pb2.StageRef:
    return stages_pb2.StageRef(job_id=ref.job_id, stage=ref.stage, attempt=ref.attempt, claim_id=ref.claim_id)


def _prompt(prompt: stages_pb2.PromptSpec, contrast: Contrast) -> Prompt:
    return Prompt(
        index=prompt.prompt,
        samples=prompt.samples,
        similar=tuple(_reference(match) for match in prompt.similar),
        dissimilar=tuple(_reference(match) for match in prompt.dissimilar),
        contrast=contrast,
    )


def _reference(match: retrieval_pb2.Match) -> Reference:
    coordinates, place = match.reference.coordinates, match.reference.place
    # Where city and state bear one name, it is said once.
    names = dict.fromkeys(name for name in (place.city, place.state, place.country) if name)
    return Reference(coordinates.latitude, coordinates.longitude, ", ".join(names))


def _answer(answer: Answer) -> stages_pb2.Answer:
    return stages_pb2.Answer(
        prompt=answer.prompt,
        sample=answer.sample,
        text=answer.text,
        model=answer.model,
        prompt_tokens=answer.prompt_tokens,
        answer_tokens=answer.answer_tokens,
    )
