"""What `g3-train lmm` packages is what `g3_world.lmm` serves; the packaged demo LMM reads the prompts of today."""

import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from g3_alignment import Preprocessing
from g3_dialogue import PATTERN, Contrast, Point, Prompt, PromptOrder, Reference, image_first, paper, read, rendered
from g3_training.lmm.architecture import Size, initialised
from g3_training.lmm.packaging import package
from g3_training.lmm.tokens import learnt
from g3_world import models
from g3_world.lmm.questions import Message
from g3_world.lmm.transformers_model import TransformersModel
from g3_world.lmm.transformers_tokens import TransformersTokens

from tests.servers.lmm import chat, jpeg, serving, texts

SMALL = Size(vision_width=32, vision_layers=1, text_width=32, text_layers=2, text_inner=64, heads=2)
NEAR = Reference(48.8584, 2.2945, "Paris, Île-de-France, France")
FAR = Reference(-33.8568, 151.2153, "Sydney, New South Wales, Australia")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A packaged model of this architecture, and the one that was packaged."""
    names = [("Paris", "Île-de-France", "France"), ("Sydney", "New South Wales", "Australia")] * 20
    tokens = learnt(names, pieces=20)
    model = initialised(SMALL, tokens, seed=3)
    folder = tmp_path_factory.mktemp("packaged") / "lmm"
    package(model, tokens, Preprocessing(64), folder)
    return folder, model


def asked(prompt: Prompt, order: PromptOrder = PromptOrder.IMAGE_FIRST) -> Message:
    return Message("user", rendered(prompt, jpeg(), order))


def test_what_was_packaged_computes_the_same(trained: tuple[Path, Any]) -> None:
    folder, model = trained
    tokens = TransformersTokens(folder)
    prompt = tokens.prompt([asked(Prompt(0, 1, (NEAR,), (FAR,), Contrast.HARD))])
    pixels = torch.from_numpy(np.stack([photo.pixels for photo in prompt.photos]))
    with torch.inference_mode():
        wanted = model.eval()(input_ids=torch.from_numpy(prompt.ids)[None], pixel_values=pixels).logits[0, -1]
    computed = TransformersModel(folder, threads=1, cached_tokens=0).read(prompt)
    # Weights are stored as float16.
    np.testing.assert_allclose(computed.logits, wanted.numpy(), atol=5e-3)


def test_what_was_packaged_is_served_and_held_to_the_form(trained: tuple[Path, Any]) -> None:
    with serving(trained[0]) as url, httpx.Client(base_url=url, timeout=60) as http:
        body = chat(photo_=jpeg(), n=8, max_tokens=40, structured_outputs={"regex": PATTERN})
        said = texts(http.post("/v1/chat/completions", json=body))
    assert len(set(said)) > 1
    assert all(re.fullmatch(PATTERN, text) for text in said)


def test_the_demo_lmm_reads_todays_prompts_in_few_tokens() -> None:
    tokens = TransformersTokens(models.LMM)
    for sentence in (*image_first.OPENING.values(), *paper.SENTENCES):
        spoken = tokens.prompt([Message("user", (sentence,))])
        silent = tokens.prompt([Message("user", ("",))])
        assert len(spoken) - len(silent) == 1, f"no token of its own: {sentence[:60]}"
    for order in PromptOrder:
        lengths = [
            len(tokens.prompt([asked(Prompt(0, 1, (NEAR,) * k, (FAR,) * k, Contrast.HARD), order)])) for k in (0, 1, 15)
        ]
        assert lengths[0] < 30
        assert (lengths[2] - lengths[1]) / 14 < 40


def test_the_demo_lmm_writes_places_without_being_held_to_it() -> None:
    with serving(models.LMM) as url, httpx.Client(base_url=url, timeout=60) as http:
        parts = rendered(Prompt(0, 1, (NEAR,) * 5, (FAR,) * 5, Contrast.HARD), jpeg(), PromptOrder.IMAGE_FIRST)
        body = chat(text=str(parts[1]), photo_=jpeg(), n=20, temperature=1.0, max_tokens=40)
        said = texts(http.post("/v1/chat/completions", json=body))
    readable = [text for text in said if isinstance(read(text), Point)]
    assert len(readable) >= 18
