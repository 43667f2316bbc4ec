"""The demo LMM in a real vLLM: it reads the prompts of the house and says what transformers says."""

import re
from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
import torch
from g3_alignment import PhotoPreprocessor, load
from g3_dialogue import PATTERN, Contrast, Prompt, PromptOrder, Reference, Unread, read, rendered
from g3_generation.openai_sampler import OpenAISampler
from g3_generation.sampler import Question
from g3_training.lmm.examining import Voice
from g3_world import models, photo, places
from PIL import Image

from tests.servers.vllm import API_KEY, MODEL, Vllm

SPOTS = places(8, seed=301)
SHOWN = tuple(Reference(spot.latitude, spot.longitude, "Suva, Fiji") for spot in SPOTS[1:])
PROMPT = Prompt(0, 5, SHOWN[:5], SHOWN[5:], Contrast.HARD)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    with Vllm(tmp_path_factory.mktemp("demo-lmm"), models.LMM, context=2048) as server:
        yield server


def picture() -> Image.Image:
    return Image.fromarray(photo(SPOTS[0].latitude, SPOTS[0].longitude, 301 << 32))


def jpeg() -> bytes:
    written = BytesIO()
    picture().save(written, "JPEG", quality=95, subsampling=0)
    return written.getvalue()


@pytest.mark.needs("vllm")
def test_every_sample_has_the_form_and_is_a_place(server: Vllm) -> None:
    sampler = OpenAISampler(server.url, MODEL, api_key=API_KEY, max_tokens=48, probe=True)
    try:
        for order in PromptOrder:
            replies = sampler.ask(Question(rendered(PROMPT, jpeg(), order), 5, 1.2, 60)).result(timeout=90)
            assert len(replies) == 5
            for reply in replies:
                assert re.fullmatch(PATTERN, reply.text)
                assert not isinstance(read(reply.text), Unread)
    finally:
        sampler.close()


@pytest.mark.needs("vllm")
def test_the_likeliest_answer_is_the_one_of_transformers(server: Vllm) -> None:
    data = jpeg()
    preprocessor = PhotoPreprocessor(load(models.ALIGNMENT).configuration.preprocessing)
    pixels = preprocessor.pixels(Image.open(BytesIO(data)).convert("RGB"))[None]
    torch.manual_seed(0)
    ((expected,),) = Voice(models.LMM).said([PROMPT], pixels, PromptOrder.IMAGE_FIRST, 1, 0.0)
    sampler = OpenAISampler(server.url, MODEL, api_key=API_KEY, max_tokens=48)
    try:
        parts = rendered(PROMPT, data, PromptOrder.IMAGE_FIRST)
        (reply,) = sampler.ask(Question(parts, 1, 0.0, 60)).result(timeout=90)
    finally:
        sampler.close()
    here, there = read(expected), read(reply.text)
    assert not isinstance(here, Unread)
    assert not isinstance(there, Unread)
    # The last decimals are a guess among near equals: one rounding decides them.
    assert np.allclose(here, there, atol=0.02)
