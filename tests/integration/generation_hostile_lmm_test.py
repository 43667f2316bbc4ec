"""Whole stages against servers that fail in every way: nothing is lost, and nothing asked twice without need."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from g3_dialogue import PATTERN, Prompt, PromptOrder, Reference
from g3_generation.fakes import FakeStages
from g3_generation.forms import Form
from g3_generation.generation import Generation, Outcome
from g3_generation.openai_sampler import OpenAISampler
from g3_generation.retries import Retries
from g3_generation.sampler import Question
from g3_generation.stages import Claim, StageRef

from tests.servers.photos import jpeg
from tests.servers.scripted_lmm import (
    Body,
    Endless,
    HalfBody,
    Hang,
    OneOnly,
    Picky,
    Says,
    ScriptedLmm,
    Status,
    Step,
    completion,
)

PLACES = tuple(Reference(48.0 + k, 2.0) for k in range(15))
PROMPTS = tuple(Prompt(index, 5, PLACES[:count]) for index, count in enumerate((0, 5, 10, 15)))
CLAIM = Claim(30.0, 60.0, PROMPTS, frozenset(), jpeg(side=(64, 48)), 1.2, PromptOrder.IMAGE_FIRST)
QUICK = Retries(tries=4, first_s=0.02, most_s=0.05)
SAID = '{"latitude": 48.8584, "longitude": 2.2945}'
WELL = Says(SAID, SAID.replace("48", "47"), SAID.replace("48", "46"))


@contextmanager
def sampling(lmm: ScriptedLmm, *, failures: int = 5, watch: bool = False) -> Iterator[OpenAISampler]:
    sampler = OpenAISampler(lmm.url, "m", seeds=True, probe=True, watch=watch, failures=failures)
    try:
        yield sampler
    finally:
        sampler.close()


def worked(sampler: OpenAISampler, stages: FakeStages, job_id: str = "job", *, call_s: float = 20.0) -> Outcome:
    stages.put(job_id, CLAIM)
    return Generation(stages, sampler, QUICK, call_s=call_s).run(StageRef(job_id, "generate", 1, "claim"))


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def good(n: int) -> bytes:
    return json.dumps(completion([SAID] * n)).encode()


FAULTS: dict[str, Step] = {
    "429": Status(429),
    "429 with Retry-After": Status(429, retry_after_s=0.2),
    "500": Status(500),
    "503 with Retry-After": Status(503, retry_after_s=0.2),
    "garbage": Body(b"\x00\xff garbage {"),
    "page": Body(b"<html>Bad gateway</html>", "text/html"),
    "error object with 200": Body(b'{"error": {"message": "the engine is dead"}}'),
    "no choices": Body(b'{"choices": []}'),
    "half a body": HalfBody(),
    "endless body": Endless(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_outlived_and_no_sample_is_asked_for_twice(fault: Step) -> None:
    stages = FakeStages()
    with ScriptedLmm([WELL, fault, WELL, fault, WELL]) as lmm, sampling(lmm) as sampler:
        assert worked(sampler, stages) is Outcome.COMPLETED
        assert [(answer.prompt, answer.sample) for answer in stages.answers("job")] == [
            (prompt, sample) for prompt in range(4) for sample in range(5)
        ]
        assert len(lmm.asked) == 6, "four prompts and the two that failed"


ODDITIES: dict[str, Step] = {
    "another type": Body(good(5), "text/html; charset=utf-8"),
    "no usage": Says(SAID, usage=False),
    "n ignored": Says(SAID, most=1),
    "too many choices": Body(good(9)),
    "n refused": OneOnly(SAID),
    "seed refused": Picky("seed", SAID),
}


@pytest.mark.parametrize("oddity", list(ODDITIES))
def test_an_odd_server_is_worked_with(oddity: str) -> None:
    stages = FakeStages()
    with ScriptedLmm([ODDITIES[oddity]]) as lmm, sampling(lmm) as sampler:
        assert worked(sampler, stages) is Outcome.COMPLETED
        answers = stages.answers("job")
        assert len(answers) == 20
        if oddity == "no usage":
            assert {(answer.prompt_tokens, answer.answer_tokens) for answer in answers} == {(0, 0)}
        if oddity == "seed refused":
            assert "seed" not in lmm.asked[-1].body
            assert len(lmm.asked) < 15
        if oddity == "n ignored":
            seeds = [asked.body["seed"] for asked in lmm.asked]
            assert len(set(seeds)) == 20, "each sample has its own"


def test_a_server_that_enforces_nothing_is_asked_for_nothing() -> None:
    stages = FakeStages()
    with ScriptedLmm([WELL]) as lmm, sampling(lmm) as sampler:
        assert worked(sampler, stages) is Outcome.COMPLETED
        assert sampler.form is Form.FREE
        assert len(lmm.aside) >= 3
        assert all("structured_outputs" not in asked.body for asked in lmm.asked)
        assert all("response_format" not in asked.body for asked in lmm.asked)


def test_a_server_that_was_replaced_is_proved_anew() -> None:
    stages = FakeStages()
    with ExitStack() as stack:
        first = stack.enter_context(ScriptedLmm([WELL], enforces=["pattern", "schema", "object"]))
        sampler = stack.enter_context(sampling(first))
        assert worked(sampler, stages) is Outcome.COMPLETED
        assert all(asked.body["structured_outputs"] == {"regex": PATTERN} for asked in first.asked)
        first.kill()
        assert worked(sampler, stages, "down") is Outcome.FAILED
        assert stages.state("down") == "failed", "retryable"
        second = stack.enter_context(ScriptedLmm([WELL], port=first.port, enforces=["schema"]))
        until(lambda: sampler.trouble() is None)
        assert worked(sampler, stages, "again") is Outcome.COMPLETED
        until(lambda: sampler.form is Form.SCHEMA)
        assert worked(sampler, stages, "after") is Outcome.COMPLETED
        assert second.asked[-1].body["response_format"]["type"] == "json_schema"
        assert "structured_outputs" not in second.asked[-1].body


def test_a_server_killed_in_mid_stage_costs_only_what_had_not_arrived() -> None:
    stages = FakeStages()
    with ExitStack() as stack:
        first = stack.enter_context(ScriptedLmm([WELL, WELL, HalfBody()]))
        sampler = stack.enter_context(sampling(first, failures=3))
        assert worked(sampler, stages) is Outcome.FAILED
        assert stages.state("job") == "failed"
        assert len(stages.answers("job")) == 10
        first.kill()
        second = stack.enter_context(ScriptedLmm([WELL], port=first.port))
        until(lambda: sampler.trouble() is None)
        stages.put("job", CLAIM, attempt=2)
        assert Generation(stages, sampler, QUICK).run(StageRef("job", "generate", 2, "c")) is Outcome.COMPLETED
        assert sum(asked.body["n"] for asked in second.asked) == 10
        assert len(stages.answers("job")) == 20


def test_a_server_that_hangs_opens_the_circuit_and_stages_are_given_back_at_once() -> None:
    stages = FakeStages()
    with ScriptedLmm([Hang()]) as lmm, sampling(lmm) as sampler:
        until(lambda: sampler.form is Form.FREE)
        generation = Generation(stages, sampler, QUICK, call_s=0.3)
        stages.put("job", replace(CLAIM, prompt_order=PromptOrder.PAPER))
        assert generation.run(StageRef("job", "generate", 1, "claim")) is Outcome.FAILED
        trouble = sampler.trouble()
        assert trouble is not None
        assert "did not answer in time" in trouble.message
        began, before = time.monotonic(), len(lmm.asked)
        stages.put("next", CLAIM)
        assert generation.run(StageRef("next", "generate", 1, "claim")) is Outcome.FAILED
        assert time.monotonic() - began < 0.5
        assert stages.state("next") == "failed", "retryable"
        assert len(lmm.asked) == before
        lmm.play(WELL)
        until(lambda: sampler.trouble() is None)
        assert worked(sampler, stages, "later") is Outcome.COMPLETED


def test_a_queue_at_the_server_keeps_calls_back() -> None:
    page = "vllm:num_requests_running 4\nvllm:num_requests_waiting {}\n"
    with ScriptedLmm([Says(SAID, after_s=0.03)]) as lmm:
        lmm.metrics = page.format(90)
        with sampling(lmm, watch=True) as sampler:
            until(lambda: sampler.calls < 8)
            lmm.metrics = page.format(0)
            flying = [sampler.ask(Question(("where?", CLAIM.photo), 5, 1.2, 30)) for _ in range(120)]
            assert all(len(future.result(30)) == 5 for future in flying)
            assert 8 <= sampler.calls <= 32, "it opens again"
            assert lmm.most_at_once <= 32
