"""The flow of one stage, with the fakes."""

import threading
import time
from collections.abc import Sequence

import pytest
from g3_dialogue import Prompt, PromptOrder
from g3_generation.fakes import FakeSampler, FakeStages
from g3_generation.generation import NO_ENDPOINT, Generation, Outcome
from g3_generation.retries import Retries
from g3_generation.round import MAX_ANSWER_BYTES, carried
from g3_generation.seeds import seed_of
from g3_generation.stages import Answer, Claim, StageRef
from g3_generation.tasks import deliver
from g3_kit.errors import Conflict, Exhausted, G3Error, Late, Rejected, Unavailable
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.photos import jpeg

PHOTO = jpeg(side=(64, 48))
QUICK = Retries(tries=3, first_s=0.001, most_s=0.002)
REF = StageRef("job", "generate", 1, "claim")


def a_claim(
    *,
    prompts: int = 4,
    samples: int = 5,
    held: frozenset[tuple[int, int]] = frozenset(),
    lease_s: float = 30.0,
    budget_s: float = 30.0,
    photo: bytes = PHOTO,
    order: PromptOrder = PromptOrder.PAPER,
) -> Claim:
    asked = tuple(Prompt(index, samples) for index in range(prompts))
    return Claim(lease_s, budget_s, asked, held, photo, temperature=1.2, prompt_order=order)


def stages_with(claim: Claim) -> FakeStages:
    stages = FakeStages()
    stages.put("job", claim)
    return stages


def test_every_sample_of_every_prompt_is_recorded_and_the_stage_completed() -> None:
    stages, sampler = stages_with(a_claim()), FakeSampler()
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.COMPLETED
    assert stages.state("job") == "done"
    answers = stages.answers("job")
    assert [(answer.prompt, answer.sample) for answer in answers] == [(p, s) for p in range(4) for s in range(5)]
    assert sorted(answer.text for answer in answers) == sorted(f"answer {k}" for k in range(20))
    assert {(answer.model, answer.prompt_tokens, answer.answer_tokens) for answer in answers} == {("fake", 10, 5)}
    assert [question.n for question in sampler.questions] == [5] * 4
    assert {question.temperature for question in sampler.questions} == {1.2}
    assert len({id(question.parts[-1]) for question in sampler.questions}) == 1, "one photo, encoded once"


def test_only_missing_samples_are_asked_for() -> None:
    held = frozenset({(0, 0), (0, 2), *((1, sample) for sample in range(5))})
    stages, sampler = stages_with(a_claim(prompts=2, held=held)), FakeSampler()
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.COMPLETED
    assert [question.n for question in sampler.questions] == [1, 2], "over a gap the seeds would be other samples'"
    assert [question.seed for question in sampler.questions] == [seed_of("job", 0, 1), seed_of("job", 0, 3)]
    assert [(answer.prompt, answer.sample) for answer in stages.answers("job")] == [(0, 1), (0, 3), (0, 4)]


def test_nothing_missing_completes_without_asking() -> None:
    held = frozenset((prompt, sample) for prompt in range(4) for sample in range(5))
    stages, sampler = stages_with(a_claim(held=held)), FakeSampler()
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.COMPLETED
    assert sampler.questions == []


def test_a_takeover_asks_for_what_the_first_attempt_did_not_get() -> None:
    stages = stages_with(a_claim(prompts=1, samples=5))
    first = FakeSampler(most=2, errors=[None, Unavailable("away"), Unavailable("away"), Unavailable("away")])
    assert Generation(stages, first, QUICK).run(REF) is Outcome.FAILED
    assert stages.state("job") == "failed"
    assert len(stages.answers("job")) == 2
    stages.put("job", a_claim(prompts=1, samples=5), attempt=2)
    second = FakeSampler()
    assert Generation(stages, second, QUICK).run(StageRef("job", "generate", 2, "other")) is Outcome.COMPLETED
    assert [question.n for question in second.questions] == [3]
    assert len(stages.answers("job")) == 5


def test_fewer_choices_than_asked_are_asked_for_again() -> None:
    stages, sampler = stages_with(a_claim(prompts=1, samples=5)), FakeSampler(most=2)
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.COMPLETED
    assert [question.n for question in sampler.questions] == [5, 3, 1]
    assert len({answer.text for answer in stages.answers("job")}) == 5


def test_a_refused_claim_does_nothing() -> None:
    stages, sampler = stages_with(a_claim()), FakeSampler()
    generation = Generation(stages, sampler, QUICK)
    assert generation.run(StageRef("job", "generate", 7, "claim")) is Outcome.REFUSED
    stages.cancel("job")
    assert generation.run(REF) is Outcome.REFUSED
    assert sampler.questions == []


def test_without_an_endpoint_the_stage_is_given_back_for_good() -> None:
    stages = stages_with(a_claim())
    assert Generation(stages, None, QUICK).run(REF) is Outcome.FAILED
    assert (stages.state("job"), stages.reason("job")) == ("dead", NO_ENDPOINT)


@pytest.mark.parametrize("error", [Unavailable("502"), Exhausted("429", retry_after_s=0.01), Late("slow")])
def test_a_passing_failure_is_tried_again(error: G3Error) -> None:
    stages, sampler = stages_with(a_claim(prompts=2)), FakeSampler(errors=[error, error])
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.COMPLETED
    assert len(stages.answers("job")) == 10


def test_a_lasting_failure_gives_the_stage_back_as_retryable() -> None:
    stages, sampler = stages_with(a_claim(prompts=1)), FakeSampler(errors=[Unavailable("HTTP 502")] * 9)
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.FAILED
    assert (stages.state("job"), stages.reason("job")) == ("failed", "HTTP 502")
    assert len(sampler.questions) == QUICK.tries


def test_a_refusal_gives_the_stage_back_for_good_but_keeps_what_others_said() -> None:
    stages, sampler = stages_with(a_claim(prompts=3)), FakeSampler(errors=[Rejected("HTTP 400")])
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.FAILED
    assert (stages.state("job"), stages.reason("job")) == ("dead", "HTTP 400")
    assert len(stages.answers("job")) == 10
    assert len(sampler.questions) == 3


def test_the_budget_ends_the_stage() -> None:
    stages, sampler = stages_with(a_claim(prompts=2, budget_s=0.3)), FakeSampler(hang=True)
    began = time.monotonic()
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.FAILED
    assert time.monotonic() - began < 2
    assert stages.state("job") == "failed"
    assert all(question.deadline_s <= 0.3 for question in sampler.questions)


def test_one_call_waits_no_longer_than_it_may() -> None:
    stages, sampler = stages_with(a_claim(prompts=1)), FakeSampler(hang=True)
    assert Generation(stages, sampler, QUICK, call_s=0.05).run(REF) is Outcome.FAILED
    assert [question.deadline_s for question in sampler.questions] == [0.05] * QUICK.tries


def test_a_wait_beyond_the_budget_is_not_waited() -> None:
    stages = stages_with(a_claim(prompts=1, budget_s=5))
    sampler = FakeSampler(errors=[Exhausted("full", retry_after_s=600)])
    began = time.monotonic()
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.FAILED
    assert time.monotonic() - began < 2
    assert stages.state("job") == "failed"


def test_a_claim_without_a_photo_is_given_back_for_good() -> None:
    stages, sampler = stages_with(a_claim(photo=b"")), FakeSampler()
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.FAILED
    assert stages.state("job") == "dead"
    assert sampler.questions == []


def test_the_photo_stands_where_the_order_says() -> None:
    for order, place in ((PromptOrder.IMAGE_FIRST, 0), (PromptOrder.PAPER, 1)):
        stages, sampler = stages_with(a_claim(order=order)), FakeSampler()
        assert Generation(stages, sampler, QUICK).run(REF) is Outcome.COMPLETED
        assert all(isinstance(question.parts[place], bytes) for question in sampler.questions)


def test_the_lease_is_renewed_beside_the_work() -> None:
    stages, sampler = stages_with(a_claim(prompts=1, lease_s=0.15, budget_s=1)), FakeSampler(hang=True)
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.FAILED
    assert stages.renewals >= 4
    before = stages.renewals
    time.sleep(0.2)
    assert stages.renewals == before, "nobody renews after the work"


def test_a_lease_lost_while_renewing_stops_the_work_at_once() -> None:
    stages, sampler = stages_with(a_claim(lease_s=0.15, budget_s=60)), FakeSampler(hang=True)
    threading.Timer(0.1, stages.cancel, ["job"]).start()
    began = time.monotonic()
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.LOST
    assert time.monotonic() - began < 2
    assert sampler.abandoned == 4
    assert stages.state("job") == "cancelled"


class TakenWhileRecording(FakeStages):
    """Somebody else has the stage by the time the first answer arrives."""

    def record(self, ref: StageRef, answers: Sequence[Answer]) -> int:
        raise Conflict("taken over")


def test_a_lease_lost_while_recording_stops_the_work() -> None:
    stages = TakenWhileRecording()
    stages.put("job", a_claim())
    assert Generation(stages, FakeSampler(), QUICK).run(REF) is Outcome.LOST
    assert stages.state("job") == "leased"


class AwayWhileRenewing(FakeStages):
    """The orchestrator is gone after the claim."""

    def renew(self, ref: StageRef, *, deadline_s: float) -> float:
        raise Unavailable("away")


def test_a_lease_that_cannot_be_renewed_is_lost_when_it_ends() -> None:
    stages, sampler = AwayWhileRenewing(), FakeSampler(hang=True)
    stages.put("job", a_claim(lease_s=0.3, budget_s=60))
    began = time.monotonic()
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.LOST
    assert 0.2 < time.monotonic() - began < 2


def test_stage_writes_are_repeated_while_the_orchestrator_is_away() -> None:
    stages, sampler = stages_with(a_claim(prompts=1)), FakeSampler()
    stages.errors = [Unavailable("away"), Unavailable("away")]
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.COMPLETED
    assert len(stages.answers("job")) == 5
    assert len(sampler.questions) == 1


def test_an_orchestrator_that_stays_away_leaves_the_stage_to_the_sweeper() -> None:
    stages, sampler = stages_with(a_claim(prompts=1)), FakeSampler()
    stages.errors = [Unavailable("away")] * 99
    with pytest.raises(Unavailable):
        Generation(stages, sampler, QUICK).run(REF)
    stages.put("job", a_claim(prompts=1), attempt=2)
    assert deliver(Generation(stages, sampler, QUICK), "job", "generate", 2) is None


def test_each_delivery_has_a_claim_of_its_own() -> None:
    seen = []

    class Watched(FakeStages):
        def claim(self, ref: StageRef) -> Claim:
            seen.append(ref.claim_id)
            return super().claim(ref)

    stages = Watched()
    stages.put("job", a_claim())
    generation = Generation(stages, FakeSampler(), QUICK)
    assert deliver(generation, "job", "generate", 1) is Outcome.COMPLETED
    assert deliver(generation, "job", "generate", 1) is Outcome.REFUSED
    assert len(set(seen)) == 2
    assert all(0 < len(claim_id) <= 64 for claim_id in seen)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_ordinary_text_is_carried_as_it_is(text: str) -> None:
    assert carried(text) == text.replace("\0", "\ufffd")


def test_text_that_cannot_travel_is_made_to() -> None:
    assert carried("a\ud800b\0") == "a\ufffdb\ufffd"
    assert carried("\ud83d\ude00") == "\U0001f600"
    long = carried("é" * MAX_ANSWER_BYTES)
    assert len(long.encode()) == MAX_ANSWER_BYTES
    assert len(carried("a" + "é" * MAX_ANSWER_BYTES).encode()) == MAX_ANSWER_BYTES - 1
