"""The generation worker's one HTTP adapter against `g3_world.lmm`: what it asks is answered as it reads it."""

from collections.abc import Iterator

import pytest
from g3_dialogue import Contrast, Prompt, PromptOrder, Reference, rendered
from g3_generation.openai_sampler import OpenAISampler
from g3_generation.sampler import Question
from g3_kit.errors import Rejected

from tests.servers.lmm import NAME, jpeg, serving
from tests.servers.tiny_llava import Shape, write

NEAR, FAR = Reference(48.8584, 2.2945, "Paris, France"), Reference(-33.8568, 151.2153, "Sydney, Australia")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(write(tmp_path_factory.mktemp("tiny"), shape=Shape(context=4096))) as url:
        yield f"{url}/v1"


@pytest.fixture
def sampler(url: str) -> Iterator[OpenAISampler]:
    sampler = OpenAISampler(url, NAME, max_tokens=16)
    yield sampler
    sampler.close()


@pytest.mark.parametrize("order", PromptOrder)
def test_the_prompts_of_a_photo_are_answered(sampler: OpenAISampler, order: PromptOrder) -> None:
    photo = jpeg(side=256)
    prompts = [Prompt(k, 5, (NEAR,) * k, (FAR,) * k, Contrast.HARD) for k in range(3)]
    asked = [sampler.ask(Question(rendered(prompt, photo, order), 5, 1.2, 60)) for prompt in prompts]
    replies = [answers.result(timeout=90) for answers in asked]
    assert [len(answers) for answers in replies] == [5, 5, 5]
    assert {reply.model for answers in replies for reply in answers} == {NAME}
    lengths = [answers[0].prompt_tokens for answers in replies]
    assert lengths == sorted(set(lengths))
    assert all(0 < reply.answer_tokens <= 16 for answers in replies for reply in answers)


def test_what_is_no_photo_is_a_refusal_that_says_why(sampler: OpenAISampler) -> None:
    with pytest.raises(Rejected, match="HTTP 400"):
        sampler.ask(Question(("where?", b"no photo"), 1, 1.0, 30)).result(timeout=60)


def test_a_question_may_be_abandoned(sampler: OpenAISampler, url: str) -> None:
    long = OpenAISampler(url, NAME, max_tokens=4000)
    long.ask(Question(("hello",), 8, 1.0, 60)).cancel()
    long.close()
    assert len(sampler.ask(Question(("hello",), 2, 1.0, 20)).result(timeout=30)) == 2
