"""One contract for the stage protocol: in memory, and the same over real gRPC."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from g3_dialogue import Contrast, Prompt, PromptOrder, Reference
from g3_generation.fakes import FakeStages
from g3_generation.grpc_stages import GrpcStages
from g3_generation.stages import Answer, Claim, StageRef, Stages
from g3_kit import grpc_client
from g3_kit.errors import Conflict, Missing, Unavailable

from tests.servers.stage_servicer import stage_server

REF = StageRef("job", "generate", 1, "claim")
OTHER = StageRef("job", "generate", 1, "other")
CLAIM = Claim(
    lease_s=30.0,
    budget_s=120.5,
    prompts=(
        Prompt(0, 5),
        Prompt(1, 3, (Reference(48.85837, 2.294481, "France"), Reference(-90.0, -180.0)), (Reference(1e-05, 0.1),)),
    ),
    held=frozenset({(0, 0), (1, 2)}),
    photo=b"\xff\xd8" + bytes(range(256)),
    temperature=0.0,
    prompt_order=PromptOrder.PAPER,
)


@dataclass
class Both:
    """The port under test, and the fake behind it."""

    port: Stages
    fake: FakeStages


@pytest.fixture(params=["fake", "grpc"])
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    fake = FakeStages()
    fake.put("job", CLAIM)
    if request.param == "fake":
        yield Both(fake, fake)
        return
    serving = stage_server(fake)
    serving.start()
    try:
        with closing(grpc_client.channel(f"127.0.0.1:{serving.port}")) as channel:
            yield Both(GrpcStages(channel), fake)
    finally:
        serving.stop(0)


def answer(prompt: int, sample: int, text: str = '{"latitude": 1}') -> Answer:
    return Answer(prompt, sample, text, "model", 100, 7)


def test_a_claim_says_all_there_is_to_do(both: Both) -> None:
    assert both.port.claim(REF) == CLAIM
    assert both.fake.state("job") == "leased"


def test_the_order_of_the_prompt_travels(both: Both) -> None:
    changed = Claim(**{**vars(CLAIM), "prompt_order": PromptOrder.IMAGE_FIRST})
    both.fake.put("job", changed)
    assert both.port.claim(REF) == changed


def test_what_the_dissimilar_references_are_travels(both: Both) -> None:
    changed = Claim(**{**vars(CLAIM), "prompts": (Prompt(0, 1, contrast=Contrast.HARD),)})
    both.fake.put("job", changed)
    assert both.port.claim(REF) == changed


def test_a_claim_is_idempotent_by_its_id_and_exclusive_otherwise(both: Both) -> None:
    assert both.port.claim(REF) == both.port.claim(REF)
    with pytest.raises(Conflict):
        both.port.claim(OTHER)


def test_another_attempt_and_another_job_are_refused(both: Both) -> None:
    with pytest.raises(Conflict):
        both.port.claim(StageRef("job", "generate", 2, "claim"))
    with pytest.raises(Missing):
        both.port.claim(StageRef("nothing", "generate", 1, "claim"))


def test_renewing_keeps_the_lease(both: Both) -> None:
    both.port.claim(REF)
    assert both.port.renew(REF, deadline_s=5) == 30.0
    with pytest.raises(Conflict):
        both.port.renew(OTHER, deadline_s=5)


def test_answers_are_stored_once(both: Both) -> None:
    both.port.claim(REF)
    assert both.port.record(REF, [answer(0, 1, "été \U0001f600"), answer(0, 2)]) == 2
    assert both.port.record(REF, [answer(0, 2, "again"), answer(0, 3)]) == 1
    assert both.fake.answers("job") == [answer(0, 1, "été \U0001f600"), answer(0, 2), answer(0, 3)]
    assert both.port.claim(REF).held == CLAIM.held | {(0, 1), (0, 2), (0, 3)}
    with pytest.raises(Conflict):
        both.port.record(OTHER, [answer(0, 4)])


def test_more_answers_than_one_message_takes(both: Both) -> None:
    both.port.claim(REF)
    assert both.port.record(REF, [answer(0, sample) for sample in range(1100)]) == 1100
    assert both.port.record(REF, []) == 0


def test_completing_ends_the_stage_and_may_be_repeated(both: Both) -> None:
    both.port.claim(REF)
    both.port.complete(REF)
    both.port.complete(REF)
    assert both.fake.state("job") == "done"
    with pytest.raises(Conflict):
        both.port.claim(OTHER)
    with pytest.raises(Conflict):
        both.port.record(REF, [answer(0, 1)])
    with pytest.raises(Conflict):
        both.port.complete(OTHER)


@pytest.mark.parametrize(("retryable", "state"), [(True, "failed"), (False, "dead")])
def test_failing_gives_the_stage_back(both: Both, retryable: bool, state: str) -> None:
    both.port.claim(REF)
    both.port.fail(REF, retryable=retryable, reason="the endpoint is away")
    assert (both.fake.state("job"), both.fake.reason("job")) == (state, "the endpoint is away")
    with pytest.raises(Conflict):
        both.port.renew(REF, deadline_s=5)


def test_a_released_stage_is_nobodys_fault(both: Both) -> None:
    both.port.claim(REF)
    both.port.release(REF, "the worker was asked to stop")
    assert (both.fake.state("job"), both.fake.reason("job")) == ("released", "the worker was asked to stop")
    with pytest.raises(Conflict):
        both.port.record(REF, [answer(0, 1)])


def test_a_cancelled_stage_refuses_everything(both: Both) -> None:
    both.port.claim(REF)
    both.fake.cancel("job")
    for call in (
        lambda: both.port.renew(REF, deadline_s=5),
        lambda: both.port.record(REF, [answer(0, 1)]),
        lambda: both.port.complete(REF),
        lambda: both.port.fail(REF, retryable=True, reason="x"),
        lambda: both.port.claim(REF),
    ):
        with pytest.raises(Conflict):
            call()


def test_an_absent_orchestrator_is_unavailable(both: Both) -> None:
    both.port.claim(REF)
    both.fake.errors = [Unavailable("away")] * 8
    with pytest.raises(Unavailable):
        both.port.complete(REF)
