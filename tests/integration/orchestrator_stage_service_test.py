"""StageService over real gRPC: what the generation worker meets."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from g3_kit import grpc_client
from g3_kit.errors import Conflict, Missing, Rejected
from g3_kit.grpc_server import GrpcServer
from g3_kit.health import Health
from g3_orchestrator.model import Job
from g3_orchestrator.stage_servicer import SERVICE_NAME, StageServicer
from g3_orchestrator.states import Dissimilar, JobState
from g3_protos.orchestrator.v1 import jobs_pb2, stages_pb2, stages_pb2_grpc
from PIL import Image

from tests.servers.house import House, house

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    with house(database_url) as made:
        yield made


@pytest.fixture
def stub(home: House) -> Iterator[stages_pb2_grpc.StageServiceStub]:
    server = GrpcServer(host="127.0.0.1", port=0, health=Health())
    servicer = StageServicer(home.stages, home.store, home.blobs)
    server.add(stages_pb2_grpc.add_StageServiceServicer_to_server, servicer, SERVICE_NAME)
    server.start()
    channel = grpc_client.channel(f"127.0.0.1:{server.port}")
    yield stages_pb2_grpc.StageServiceStub(channel)
    channel.close()
    server.stop(1.0)


def ref(job: Job, attempt: int = 1, claim: str = "c") -> stages_pb2.StageRef:
    return stages_pb2.StageRef(job_id=str(job.job_id), stage="generate", attempt=attempt, claim_id=claim)


def test_a_worker_claims_records_and_completes(home: House, stub: stages_pb2_grpc.StageServiceStub) -> None:
    job = home.to_generate()
    claim = stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=ref(job)))
    assert (claim.lease_s, claim.parameters.samples_per_prompt, list(claim.held)) == (30.0, 5, [])
    assert 119 < claim.budget_s <= 120
    assert claim.parameters.prompt_order == jobs_pb2.PROMPT_ORDER_IMAGE_FIRST
    assert [(len(prompt.similar), len(prompt.dissimilar)) for prompt in claim.prompts] == [
        (0, 0),
        (5, 5),
        (10, 10),
        (15, 15),
    ]
    assert [prompt.prompt for prompt in claim.prompts] == [0, 1, 2, 3]
    assert claim.prompts[1].similar[0].reference.id == "near-0"
    with Image.open(BytesIO(claim.photo)) as photo:
        assert (photo.format, photo.size) == ("JPEG", (64, 48))

    answers = [stages_pb2.Answer(prompt=0, sample=0, text="(1, 2)\0", model="m", prompt_tokens=7, answer_tokens=3)]
    request = stages_pb2.RecordAnswersRequest(ref=ref(job), answers=answers)
    assert stub.RecordAnswers(request).recorded == 1
    assert stub.RecordAnswers(request).recorded == 0
    again = stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=ref(job)))
    assert [(held.prompt, held.sample) for held in again.held] == [(0, 0)]
    assert stub.RenewLease(stages_pb2.RenewLeaseRequest(ref=ref(job))).lease_s == 30.0
    for _ in range(2):
        stub.CompleteStage(stages_pb2.CompleteStageRequest(ref=ref(job)))
    assert home.job(job).state is JobState.VERIFYING
    with pytest.raises(Conflict):
        stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=ref(job)))


def test_a_worker_gives_up(home: House, stub: stages_pb2_grpc.StageServiceStub) -> None:
    job = home.to_generate()
    stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=ref(job)))
    stub.FailStage(stages_pb2.FailStageRequest(ref=ref(job), retryable=True, reason="busy"))
    stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=ref(job, 2)))
    stub.FailStage(stages_pb2.FailStageRequest(ref=ref(job, 2), retryable=False, reason="no LMM"))
    assert home.job(job).degraded == ("generation",)


def test_no_contrast_is_sent_when_none_was_asked_for(home: House, stub: stages_pb2_grpc.StageServiceStub) -> None:
    job = home.to_generate(dissimilar=Dissimilar.NONE)
    claim = stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=ref(job)))
    assert [len(prompt.dissimilar) for prompt in claim.prompts] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"stage": "verify"}, "ref.stage"),
        ({"stage": "retrieve"}, "ref.stage"),
        ({"stage": ""}, "ref.stage"),
        ({"job_id": "7"}, "ref.job_id"),
        ({"claim_id": ""}, "ref.claim_id"),
        ({"claim_id": "c" * 65}, "ref.claim_id"),
    ],
)
def test_malformed_references_are_rejected(
    stub: stages_pb2_grpc.StageServiceStub, fields: dict[str, str], field: str
) -> None:
    asked: dict[str, Any] = {"job_id": str(uuid4()), "stage": "generate", "claim_id": "c", **fields}
    with pytest.raises(Rejected) as caught:
        stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=stages_pb2.StageRef(attempt=1, **asked)))
    assert caught.value.field == field


def test_an_unknown_job_is_missing(stub: stages_pb2_grpc.StageServiceStub) -> None:
    unknown = stages_pb2.StageRef(job_id=str(uuid4()), stage="generate", attempt=1, claim_id="c")
    with pytest.raises(Missing):
        stub.RenewLease(stages_pb2.RenewLeaseRequest(ref=unknown))


def test_answers_over_their_size_are_rejected(home: House, stub: stages_pb2_grpc.StageServiceStub) -> None:
    job = home.to_generate()
    stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=ref(job)))
    long = [stages_pb2.Answer(text="ü" * 8193)]
    many = [stages_pb2.Answer(text="x")] * 513
    for answers in (long, many):
        with pytest.raises(Rejected):
            stub.RecordAnswers(stages_pb2.RecordAnswersRequest(ref=ref(job), answers=answers))
    assert home.store.answers(home.tenant, job.job_id) == []
