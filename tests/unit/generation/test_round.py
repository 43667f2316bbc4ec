"""In which order the prompts of a stage are asked, with which seeds, what the photo looks like, and leaving."""

import io
import threading
import time
from concurrent.futures import Future
from dataclasses import replace

import pytest
from g3_dialogue import Prompt, PromptOrder, Reference
from g3_generation.berths import Berths
from g3_generation.fakes import FakeSampler, FakeStages
from g3_generation.generation import LEAVING, Generation, Outcome
from g3_generation.retries import Retries
from g3_generation.sampler import OpenCircuit, Picture, Question, Reply
from g3_generation.seeds import batch, seed_of
from g3_generation.stages import Claim, StageRef
from g3_kit.errors import Rejected, Unavailable
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.servers.photos import encoded, jpeg, picture

REF = StageRef("job", "generate", 1, "claim")
QUICK = Retries(tries=3, first_s=0.001, most_s=0.002)
PLACES = tuple(Reference(40.0 + k, 2.0) for k in range(15))
# Not in the order of their lengths, as no contract promises one.
PROMPTS = tuple(Prompt(index, 2, PLACES[:count], PLACES[:count]) for index, count in enumerate((10, 0, 15, 5)))
CLAIM = Claim(30.0, 30.0, PROMPTS, frozenset(), jpeg(side=(64, 48)), 1.2, PromptOrder.IMAGE_FIRST)


def stages_with(claim: Claim) -> FakeStages:
    stages = FakeStages()
    stages.put("job", claim)
    return stages


def text_of(question: Question) -> str:
    return next(part for part in question.parts if isinstance(part, str))


class HeldSampler(FakeSampler):
    """Answers nothing until `let_go`."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[Question, Future[list[Reply]]]] = []

    def ask(self, question: Question) -> Future[list[Reply]]:
        future: Future[list[Reply]] = Future()
        self.held.append((question, future))
        return future

    def let_go(self, index: int) -> None:
        question, future = self.held[index]
        future.set_result([Reply(f"{index}.{k}", "m") for k in range(question.n)])

    def fail(self, index: int) -> None:
        self.held[index][1].set_exception(Unavailable("HTTP 500"))

    def until(self, count: int) -> None:
        ends = time.monotonic() + 5
        while len(self.held) < count:
            assert time.monotonic() < ends, f"{len(self.held)} of {count} were asked"
            time.sleep(0.005)


class Running:
    """A stage that is being worked in a thread of its own."""

    def __init__(self, generation: Generation) -> None:
        self.outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._run, args=(generation,), daemon=True)
        self._thread.start()

    def _run(self, generation: Generation) -> None:
        self.outcome = generation.run(REF)

    def end(self) -> Outcome | None:
        self._thread.join(5)
        assert not self._thread.is_alive()
        return self.outcome


def test_the_shortest_prompt_is_answered_before_the_others_are_asked() -> None:
    stages, sampler = stages_with(CLAIM), HeldSampler()
    running = Running(Generation(stages, sampler, QUICK))
    sampler.until(1)
    time.sleep(0.1)
    assert len(sampler.held) == 1
    sampler.let_go(0)
    sampler.until(4)
    texts = [text_of(question) for question, _ in sampler.held]
    assert all(longer.startswith(texts[0]) for longer in texts)
    assert [len(text) for text in texts] == sorted(len(text) for text in texts)
    for index in (1, 2, 3):
        sampler.let_go(index)
    assert running.end() is Outcome.COMPLETED
    assert {answer.text for answer in stages.answers("job") if answer.prompt == 1} == {"0.0", "0.1"}


def test_the_order_of_the_paper_is_asked_side_by_side() -> None:
    sampler = HeldSampler()
    running = Running(Generation(stages_with(replace(CLAIM, prompt_order=PromptOrder.PAPER)), sampler, QUICK))
    sampler.until(4)
    for index in range(4):
        sampler.let_go(index)
    assert running.end() is Outcome.COMPLETED


def test_a_first_prompt_that_takes_long_or_fails_keeps_nobody_for_ever() -> None:
    sampler = HeldSampler()
    running = Running(Generation(stages_with(CLAIM), sampler, QUICK, warm_s=0.15))
    sampler.until(4)
    for index in range(4):
        sampler.let_go(index)
    assert running.end() is Outcome.COMPLETED
    failing = FakeSampler(errors=[Rejected("no"), None, None, None])
    stages = stages_with(CLAIM)
    assert Generation(stages, failing, QUICK).run(REF) is Outcome.FAILED
    assert len(stages.answers("job")) == 6, "the others were asked all the same"


def test_a_first_prompt_that_fails_is_tried_again_alone() -> None:
    sampler = HeldSampler()
    running = Running(Generation(stages_with(CLAIM), sampler, QUICK))
    sampler.until(1)
    sampler.fail(0)
    sampler.until(2)
    time.sleep(0.05)
    assert len(sampler.held) == 2
    sampler.let_go(1)
    sampler.until(5)
    for index in (2, 3, 4):
        sampler.let_go(index)
    assert running.end() is Outcome.COMPLETED


@given(st.lists(st.integers(0, 40), unique=True, min_size=1).map(sorted))
def test_a_sample_has_one_seed_however_it_is_asked_for(missing: list[int]) -> None:
    rest = missing
    seeds: dict[int, int] = {}
    while rest:
        samples = batch(rest)
        first = seed_of("job", 3, samples[0])
        # vLLM draws the i-th of n with seed + i
        seeds |= {sample: first + place for place, sample in enumerate(samples)}
        rest = rest[len(samples) :]
    assert seeds == {sample: seed_of("job", 3, sample) for sample in missing}


def test_seeds_differ_by_job_and_prompt_and_fit_into_31_bits() -> None:
    seeds = {seed_of(f"job-{job}", prompt, 0) for job in range(50) for prompt in range(4)}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_of("job-1", 2, 3) == 1944327895, "replays of stored jobs depend on it"


def shown(photo: bytes, px: int) -> bytes:
    sampler = FakeSampler()
    assert Generation(stages_with(replace(CLAIM, photo=photo)), sampler, QUICK, photo_px=px).run(REF)
    (one,) = {part for question in sampler.questions for part in question.parts if isinstance(part, bytes)}
    assert isinstance(one, Picture)
    return one


@pytest.mark.parametrize(("side", "expected"), [((1024, 512), (256, 128)), ((100, 80), (100, 80))])
def test_the_photo_is_bounded_and_never_enlarged(side: tuple[int, int], expected: tuple[int, int]) -> None:
    assert Image.open(io.BytesIO(shown(jpeg(side=side), 256))).size == expected


def test_the_photo_is_sent_without_what_else_was_in_its_file() -> None:
    told = encoded(picture((64, 48)), comment=b"48.8583701N")
    assert b"48.8583701N" in told
    assert b"48.8583701N" not in shown(told, 256)


def test_a_file_that_is_no_photo_is_given_back_for_good() -> None:
    stages, sampler = stages_with(replace(CLAIM, photo=b"\xff\xd8 but no more")), FakeSampler()
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.FAILED
    assert stages.state("job") == "dead"
    assert sampler.questions == []


def test_while_the_circuit_is_open_a_stage_is_given_back_at_once() -> None:
    stages, sampler = stages_with(CLAIM), FakeSampler(circuit=OpenCircuit("it is left alone"))
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.FAILED
    assert (stages.state("job"), stages.reason("job")) == ("failed", "it is left alone")
    assert sampler.questions == []


def test_a_circuit_that_opens_in_mid_stage_ends_it_without_more_tries() -> None:
    claim = replace(CLAIM, prompt_order=PromptOrder.PAPER)
    stages = stages_with(claim)
    sampler = FakeSampler(errors=[None, OpenCircuit("it is left alone"), OpenCircuit("it is left alone"), None])
    assert Generation(stages, sampler, QUICK).run(REF) is Outcome.FAILED
    assert stages.state("job") == "failed"
    assert len(sampler.questions) == 4
    assert len(stages.answers("job")) == 4


def test_who_leaves_waits_for_calls_in_flight_and_gives_back_the_rest() -> None:
    stages, sampler = stages_with(CLAIM), HeldSampler()
    generation = Generation(stages, sampler, QUICK)
    running = Running(generation)
    sampler.until(1)
    generation.leave()
    generation.leave()
    time.sleep(0.05)
    sampler.let_go(0)
    assert running.end() is Outcome.RELEASED
    assert (stages.state("job"), stages.reason("job")) == ("released", LEAVING)
    assert len(stages.answers("job")) == 2, "what arrived was recorded"
    assert len(sampler.held) == 1, "nothing more was asked"


def test_who_leaves_does_not_wait_for_ever() -> None:
    stages, sampler = stages_with(CLAIM), FakeSampler(hang=True)
    generation = Generation(stages, sampler, QUICK, drain_s=0.1)
    threading.Timer(0.1, generation.leave).start()
    began = time.monotonic()
    assert generation.run(REF) is Outcome.RELEASED
    assert time.monotonic() - began < 2
    assert sampler.abandoned == 1


def test_who_leaves_completes_what_needs_no_more() -> None:
    stages, sampler = stages_with(replace(CLAIM, prompt_order=PromptOrder.PAPER)), HeldSampler()
    generation = Generation(stages, sampler, QUICK)
    running = Running(generation)
    sampler.until(4)
    generation.leave()
    for index in range(4):
        sampler.let_go(index)
    assert running.end() is Outcome.COMPLETED


def test_who_leaves_claims_nothing() -> None:
    stages = stages_with(CLAIM)
    generation = Generation(stages, FakeSampler(), QUICK)
    generation.leave()
    assert generation.run(REF) is Outcome.DEFERRED
    assert stages.state("job") == "dispatched"


def test_no_more_stages_are_claimed_than_the_lmm_can_take() -> None:
    stages, sampler = stages_with(CLAIM), HeldSampler()
    sampler.calls = 1
    stages.put("other", CLAIM)
    generation = Generation(stages, sampler, QUICK, berth_s=0.1)
    running = Running(generation)
    sampler.until(1)
    assert generation.run(StageRef("other", "generate", 1, "x")) is Outcome.DEFERRED
    assert stages.state("other") == "dispatched"
    sampler.let_go(0)
    sampler.until(4)
    for index in (1, 2, 3):
        sampler.let_go(index)
    assert running.end() is Outcome.COMPLETED


def test_a_berth_that_is_freed_goes_to_who_waits() -> None:
    berths, leaving = Berths(lambda: 1), Future[None]()
    assert berths.take(0.0, leaving)
    assert not berths.take(0.0, leaving)
    threading.Timer(0.05, berths.free).start()
    assert berths.take(2.0, leaving)
