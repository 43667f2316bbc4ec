"""What the worker finds out about a real vLLM: the form that it enforces, its counters, how it takes seeds."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
from g3_dialogue import PATTERN, Point, Prompt, PromptOrder, Reference, read
from g3_generation.endpoint import Endpoint
from g3_generation.fakes import FakeStages
from g3_generation.forms import Form, proof_of
from g3_generation.generation import Generation, Outcome
from g3_generation.openai_sampler import OpenAISampler
from g3_generation.sampler import Question
from g3_generation.stages import Claim, StageRef

from tests.servers.photos import jpeg
from tests.servers.vllm import API_KEY, MODEL, Vllm

pytestmark = pytest.mark.needs("vllm")

PLACES = tuple(Reference(48.0 + k, 2.0, f"Place {k}, France") for k in range(15))
PROMPTS = tuple(Prompt(index, 5, PLACES[:count]) for index, count in enumerate((0, 5, 10, 15)))


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.fixture
def sampler(vllm_server: Vllm) -> Iterator[OpenAISampler]:
    sampler = OpenAISampler(vllm_server.url, MODEL, api_key=API_KEY, max_tokens=64, probe=True, watch=True)
    yield sampler
    sampler.close()


@pytest.mark.parametrize("form", [Form.PATTERN, Form.SCHEMA, Form.OBJECT])
async def test_every_form_is_proved_and_the_old_fields_are_not(vllm_server: Vllm, form: Form) -> None:
    endpoint = Endpoint(vllm_server.url, MODEL, api_key=API_KEY, connections=1)
    try:
        proof = proof_of(form)
        asked = {"messages": [{"role": "user", "content": proof.prompt}], "temperature": 0.0, "max_tokens": 96}
        (reply,) = await endpoint.complete({**asked, **proof.fields})
        assert proof.holds(reply.text), reply.text
        (reply,) = await endpoint.complete({**asked, "guided_regex": PATTERN, "guided_json": {"type": "object"}})
        assert not proof.holds(reply.text)
    finally:
        await endpoint.close()


def test_every_sample_of_a_stage_has_the_form(sampler: OpenAISampler) -> None:
    until(lambda: sampler.form is not None)
    assert sampler.form is Form.PATTERN
    stages = FakeStages()
    stages.put("job", Claim(30.0, 120.0, PROMPTS, frozenset(), jpeg(40), 1.2, PromptOrder.IMAGE_FIRST))
    assert Generation(stages, sampler).run(StageRef("job", "generate", 1, "claim")) is Outcome.COMPLETED
    answers = stages.answers("job")
    assert len(answers) == 20
    assert all(re.fullmatch(PATTERN, answer.text) for answer in answers)
    assert all(isinstance(read(answer.text), Point) for answer in answers)


def test_a_sample_is_the_same_alone_and_in_a_batch(sampler: OpenAISampler) -> None:
    until(lambda: sampler.form is not None)
    parts = (jpeg(41), "where?")
    batch = [reply.text for reply in sampler.ask(Question(parts, 4, 1.2, 60, seed=100)).result(60)]
    alone = [sampler.ask(Question(parts, 1, 1.2, 60, seed=100 + k)).result(60)[0].text for k in range(4)]
    assert len(set(batch)) == 4
    assert alone == batch


async def test_its_counters_are_read(vllm_server: Vllm) -> None:
    endpoint = Endpoint(vllm_server.url, MODEL, api_key=API_KEY, connections=1)
    try:
        report = await endpoint.report()
    finally:
        await endpoint.close()
    assert report is not None
    assert report.running == 0
    assert report.waiting == 0
    assert set(report.caches) == {"prefix", "multimodal"}
    told = vllm_server.metrics()
    assert report.caches["prefix"] == (told["vllm:prefix_cache_queries_total"], told["vllm:prefix_cache_hits_total"])
