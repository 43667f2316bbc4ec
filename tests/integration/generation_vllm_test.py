"""The worker's sampler, and whole stages of it, against a real vLLM with a tiny model that knows nothing.

What it says is noise; that it says it so often, in this form, with these counters is vLLM's own doing.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import httpx
import pytest
from g3_dialogue import JSON_SCHEMA, PATTERN, Contrast, Point, Prompt, PromptOrder, Reference, read
from g3_generation.fakes import FakeStages
from g3_generation.forms import Form
from g3_generation.generation import Generation, Outcome
from g3_generation.openai_sampler import OpenAISampler
from g3_generation.retries import Retries
from g3_generation.sampler import Question
from g3_generation.stages import Answer, Claim, StageRef
from g3_kit.errors import Unavailable
from prometheus_client import REGISTRY

from tests.servers.photos import jpeg
from tests.servers.tiny_llava import SMALL
from tests.servers.vllm import API_KEY, MODEL, Vllm

# Whoever comes first starts the server: half a minute on an idle machine, minutes on a busy one.
pytestmark = [pytest.mark.needs("vllm"), pytest.mark.timeout(600)]

SIMILAR = tuple(Reference(48.0 + k, 2.0, f"Place {k}, France") for k in range(15))
UNLIKE = tuple(Reference(-30.0 + k, 140.0, f"Place {k}, Australia") for k in range(15))
PROMPTS = tuple(
    Prompt(index, 5, SIMILAR[:count], UNLIKE[:count], Contrast.HARD) for index, count in enumerate((0, 5, 10, 15))
)


def claim(photo: bytes, order: PromptOrder = PromptOrder.IMAGE_FIRST) -> Claim:
    return Claim(30.0, 120.0, PROMPTS, frozenset(), photo, 1.2, order)


def ref(job_id: str, attempt: int = 1) -> StageRef:
    return StageRef(job_id, "generate", attempt, f"claim-{attempt}")


@pytest.fixture(autouse=True)
def log(vllm_server: Vllm) -> Iterator[None]:
    """What vLLM logged during the test; pytest shows it when the test fails."""
    before = vllm_server.log.stat().st_size
    yield
    print(vllm_server.log.read_bytes()[before:][-8000:].decode(errors="replace"))


@pytest.fixture
def sampler(vllm_server: Vllm) -> Iterator[OpenAISampler]:
    """As the worker has it, but that it proves nothing: answers come without a form."""
    sampler = OpenAISampler(vllm_server.url, MODEL, api_key=API_KEY, max_tokens=64, seeds=True)
    yield sampler
    sampler.close()


@pytest.fixture
def proving(vllm_server: Vllm) -> Iterator[OpenAISampler]:
    """As the worker has it."""
    sampler = OpenAISampler(vllm_server.url, MODEL, api_key=API_KEY, max_tokens=64, probe=True, watch=True)
    yield sampler
    sampler.close()


def completion(server: Vllm, **fields: object) -> list[str]:
    """The texts that the server gives to a bare question with these fields."""
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "where?"}],
        "temperature": 1.2,
        "max_tokens": 64,
    }
    headers = {"Authorization": f"Bearer {API_KEY}"}
    response = httpx.post(f"{server.url}/chat/completions", json=body | fields, headers=headers, timeout=60)
    assert response.status_code == 200, response.text
    return [choice["message"]["content"] for choice in response.json()["choices"]]


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def gained(server: Vllm, before: dict[str, float]) -> dict[str, float]:
    """What every counter of the server grew by."""
    return {name: value - before.get(name, 0.0) for name, value in server.metrics().items()}


def test_a_photo_is_answered_n_times_with_its_tokens(sampler: OpenAISampler, vllm_server: Vllm) -> None:
    text = "where?"
    before = vllm_server.metrics()
    replies = sampler.ask(Question((jpeg(1), text), 5, 1.2, 60)).result(60)
    assert len(replies) == 5
    assert len({reply.text for reply in replies}) == 5
    # one token a byte: <s>, "user: ", the photo's patches, the text, a line break, "assistant: "
    tokens = 1 + len("user: ") + SMALL.image_tokens + len(text) + 1 + len("assistant: ")
    assert {reply.prompt_tokens for reply in replies} == {tokens}
    assert {reply.model for reply in replies} == {MODEL}
    told = gained(vllm_server, before)
    # n samples are n sequences inside the server
    assert told["vllm:request_success_total"] == 5
    assert told["vllm:prompt_tokens_total"] == 5 * tokens
    spoken = told["vllm:generation_tokens_total"]
    assert spoken - 5 < sum(reply.answer_tokens for reply in replies) <= spoken


def test_a_photo_changes_the_answer(sampler: OpenAISampler) -> None:
    def greedy(seed: int) -> str:
        return sampler.ask(Question((jpeg(seed), "where?"), 1, 0.0, 60)).result(60)[0].text

    assert greedy(2) == greedy(2)
    assert greedy(2) != greedy(3)


def test_caches_say_what_they_saved(sampler: OpenAISampler, vllm_server: Vllm) -> None:
    question = Question((jpeg(4), "x" * 200), 1, 1.2, 60)
    before = vllm_server.metrics()
    sampler.ask(question).result(60)
    first = gained(vllm_server, before)
    sampler.ask(question).result(60)
    second = gained(vllm_server, before)
    tokens = first["vllm:prompt_tokens_total"]
    assert first["vllm:prefix_cache_queries_total"] == tokens
    assert first["vllm:mm_cache_queries_total"] == 1
    assert first["vllm:mm_cache_hits_total"] == 0
    assert second["vllm:mm_cache_queries_total"] == 2
    assert second["vllm:mm_cache_hits_total"] == 1
    # all whole blocks of 32 tokens but one that must be computed to have something to go on from
    saved = second["vllm:prefix_cache_hits_total"] - first["vllm:prefix_cache_hits_total"]
    assert saved == (tokens - 1) // 32 * 32
    assert second["vllm:prompt_tokens_cached_total"] - first["vllm:prompt_tokens_cached_total"] == saved


def test_a_regex_is_enforced_in_every_sample(vllm_server: Vllm) -> None:
    texts = completion(vllm_server, n=16, structured_outputs={"regex": PATTERN})
    assert len(set(texts)) > 1
    assert all(re.fullmatch(PATTERN, text) for text in texts), texts
    assert all(isinstance(read(text), Point) for text in texts)


@pytest.mark.parametrize("way", ["response_format", "structured_outputs"])
def test_a_json_schema_is_enforced_in_every_sample(vllm_server: Vllm, way: str) -> None:
    schema = {"name": "place", "schema": JSON_SCHEMA, "strict": True}
    asked: dict[str, object] = {
        "response_format": {"type": "json_schema", "json_schema": schema},
        "structured_outputs": {"json": JSON_SCHEMA},
    }
    # numbers have no end in a schema: who knows nothing needs room to come to one
    texts = completion(vllm_server, n=16, max_tokens=512, **{way: asked[way]})
    for text in texts:
        point = json.loads(text)
        assert list(point) == ["latitude", "longitude"]
        assert -90 <= point["latitude"] <= 90
        assert -180 <= point["longitude"] <= 180


def test_the_old_fields_are_ignored_without_a_word(vllm_server: Vllm) -> None:
    """Why the worker probes: this is status 200."""
    texts = completion(vllm_server, n=4, guided_regex=PATTERN)
    assert not any(re.fullmatch(PATTERN, text) for text in texts)


def test_a_seed_gives_the_same_samples_again(sampler: OpenAISampler) -> None:
    def said(seed: int) -> list[str]:
        question = Question((jpeg(5), "where?"), 3, 1.2, 60, seed)
        return [reply.text for reply in sampler.ask(question).result(60)]

    first = said(7)
    assert len(set(first)) == 3
    assert said(7) == first
    assert said(1000) != first


@pytest.mark.parametrize("order", list(PromptOrder))
def test_a_stage_is_answered_in_full_and_every_sample_has_the_form(
    proving: OpenAISampler, vllm_server: Vllm, order: PromptOrder
) -> None:
    until(lambda: proving.form is not None)
    assert proving.form is Form.PATTERN
    stages = FakeStages()
    stages.put("job", claim(jpeg(10), order))
    before = vllm_server.metrics()
    assert Generation(stages, proving).run(ref("job")) is Outcome.COMPLETED
    answers = stages.answers("job")
    assert [(answer.prompt, answer.sample) for answer in answers] == [(k, n) for k in range(4) for n in range(5)]
    assert all(re.fullmatch(PATTERN, answer.text) for answer in answers)
    assert all(isinstance(read(answer.text), Point) for answer in answers)
    assert all(answer.prompt_tokens > 500 and answer.answer_tokens > 0 for answer in answers)
    told = gained(vllm_server, before)
    assert told["vllm:request_success_total"] == 20
    # one photo, encoded once, whatever the order
    assert told["vllm:mm_cache_queries_total"] == 4
    assert told["vllm:mm_cache_queries_total"] - told["vllm:mm_cache_hits_total"] <= 1


def test_the_worker_exports_what_the_server_says_of_its_caches(proving: OpenAISampler, vllm_server: Vllm) -> None:
    def same(labels: dict[str, str], name: str) -> bool:
        exported = REGISTRY.get_sample_value("g3_generation_lmm_server_cache", labels)
        return exported is not None and exported == vllm_server.metrics()[name]

    proving.ask(Question((jpeg(6), "where?"), 1, 1.2, 60)).result(60)
    for cache, name in (("prefix", "vllm:prefix_cache"), ("multimodal", "vllm:mm_cache")):
        for kind in ("queries", "hits"):
            until(partial(same, {"cache": cache, "kind": kind}, f"{name}_{kind}_total"))


def test_the_key_guards_the_api_alone(vllm_server: Vllm) -> None:
    """Why the server must be reachable from the worker alone."""
    root = vllm_server.url.removesuffix("/v1")
    assert httpx.get(f"{root}/v1/models", timeout=10).status_code == 401
    assert httpx.get(f"{root}/metrics", timeout=10).status_code == 200
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "where?"}], "max_tokens": 4}
    assert httpx.post(f"{root}/invocations", json=asked, timeout=60).status_code == 200


class _Recording(FakeStages):
    """Calls `then` once, right after the first answers were recorded."""

    def __init__(self, then: Any) -> None:
        super().__init__()
        self._then = then

    def record(self, ref: StageRef, answers: Sequence[Answer]) -> int:
        recorded = super().record(ref, answers)
        then, self._then = self._then, lambda: None
        then()
        return recorded


def test_a_server_killed_in_mid_stage_and_started_again_is_asked_only_for_the_rest(vllm_server: Vllm) -> None:
    stages = _Recording(vllm_server.kill)
    stages.put("job", claim(jpeg(20)))
    # one call at a time, and long ones: when the first prompt is recorded the others are not
    sampler = OpenAISampler(vllm_server.url, MODEL, api_key=API_KEY, max_tokens=256, calls=1)
    try:
        generation = Generation(stages, sampler, Retries(tries=2, first_s=0.1))
        assert generation.run(ref("job")) is Outcome.FAILED
        assert stages.state("job") == "failed"
        assert re.search("cannot be reached|left alone", stages.reason("job"))
        held = stages.answers("job")
        assert 5 <= len(held) < 20
        vllm_server.start()
        stages.put("job", claim(jpeg(20)), attempt=2)
        assert generation.run(ref("job", attempt=2)) is Outcome.COMPLETED
    finally:
        sampler.close()
    answers = stages.answers("job")
    assert len(answers) == 20
    assert [answer for answer in answers if answer in held] == held
    # it counts from its start: what was held before was not asked again
    assert vllm_server.metrics()["vllm:request_success_total"] == 20 - len(held)


def ask_on(sampler: OpenAISampler) -> None:
    """Asks until it is refused; every answer has its form."""
    while True:
        replies = sampler.ask(Question((jpeg(31), "where?"), 1, 1.2, 60)).result(60)
        assert all(re.fullmatch(PATTERN, reply.text) for reply in replies)


def test_a_server_told_to_stop_gives_the_answers_that_it_began_and_no_others(
    proving: OpenAISampler, vllm_server: Vllm
) -> None:
    until(lambda: proving.form is Form.PATTERN)
    long = OpenAISampler(vllm_server.url, MODEL, api_key=API_KEY, max_tokens=2000)
    try:
        begun = long.ask(Question((jpeg(30), "where?"), 16, 1.2, 120))
        until(lambda: begun.done() or vllm_server.metrics()["vllm:num_requests_running"] > 0)
        assert not begun.done()
        vllm_server.terminate()
        # What it takes no more must not pass for a sample, whatever it answers.
        with pytest.raises(Unavailable):
            ask_on(proving)
        assert len(begun.result(120)) == 16
    finally:
        long.close()
        vllm_server.stop()
