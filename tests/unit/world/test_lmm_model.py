"""What is computed together, in parts or again is what transformers computes alone and at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from g3_kit.errors import Rejected
from g3_world.lmm.model import Continuation, Prompt, Read
from g3_world.lmm.questions import Message
from g3_world.lmm.transformers_model import TransformersModel
from g3_world.lmm.transformers_tokens import TransformersTokens
from g3_world.lmm.writing import Sample, Sampling, write
from transformers import LlavaForConditionalGeneration

from tests.servers.lmm import jpeg
from tests.servers.tiny_llava import write as write_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tokens(folder: Path) -> TransformersTokens:
    return TransformersTokens(folder)


def opened(folder: Path, cached_tokens: int = 8192) -> TransformersModel:
    return TransformersModel(folder, threads=1, cached_tokens=cached_tokens)


def shown(*parts: str | bytes) -> list[Message]:
    return [Message("user", parts)]


def continued(folder: Path, prompt: Prompt, most: int) -> list[int]:
    """The likeliest continuation, by transformers' own generation."""
    model: Any = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    ids = torch.from_numpy(prompt.ids)[None]
    asked = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if prompt.photos:
        asked["pixel_values"] = torch.from_numpy(np.stack([photo.pixels for photo in prompt.photos]))
    done = model.generate(**asked, do_sample=False, max_new_tokens=most, use_cache=False)
    said: list[int] = done[0, len(prompt) :].tolist()
    return said


def written(
    model: TransformersModel, tokens: TransformersTokens, prompts: Sequence[Prompt], most: int
) -> list[list[int]]:
    """The likeliest continuations of all prompts, side by side."""
    samples = [Sample(model.read(prompt), Sampling(0.0, most), np.random.default_rng()) for prompt in prompts]
    assert len(list(write(model, tokens, samples, 100_000))) == len(prompts)
    return [sample.ids for sample in samples]


def test_rows_of_different_lengths_say_what_each_says_alone(folder: Path, tokens: TransformersTokens) -> None:
    prompts = [
        tokens.prompt(shown(jpeg(1), "a" * 40)),
        tokens.prompt(shown("no photo")),
        tokens.prompt(shown("photo last, larger", jpeg(2, 200))),
    ]
    assert written(opened(folder), tokens, prompts, 50) == [continued(folder, prompt, 50) for prompt in prompts]


def test_a_known_beginning_changes_nothing(folder: Path, tokens: TransformersTokens) -> None:
    model = opened(folder)
    short, long = tokens.prompt(shown(jpeg(), "one")), tokens.prompt(shown(jpeg(), "one and two"))
    other, text_first = tokens.prompt(shown(jpeg(3), "one")), tokens.prompt(shown("one", jpeg()))
    assert model.read(short).cached == 0
    for prompt, cached in ((long, len("user: ") + 1 + 16 + len("one")), (short, len(short) - 1), (text_first, 7)):
        read = model.read(prompt)
        assert read.cached == cached
        np.testing.assert_allclose(read.logits, opened(folder, 0).read(prompt).logits, atol=1e-5)
    # Another photo's places are other marks, though its tokens are the same.
    assert model.read(other).cached == len("user: ") + 1
    assert len(other) == len(short)


def test_memory_bounds_what_is_written_together(
    folder: Path, tokens: TransformersTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(folder)
    read = model.read(tokens.prompt(shown("here")))
    samples = [Sample(read, Sampling(0.0, 5), np.random.default_rng()) for _ in range(5)]
    batches: list[int] = []
    begun = model.continue_

    def watched(reads: Sequence[Read]) -> Continuation:
        batches.append(len(reads))
        return begun(reads)

    monkeypatch.setattr(model, "continue_", watched)
    assert len(list(write(model, tokens, samples, 2 * (len(read) + 5)))) == 5
    assert batches == [2, 2, 1]
    assert len({tuple(sample.ids) for sample in samples}) == 1


def test_a_photo_takes_as_many_places_as_it_has_patches(tokens: TransformersTokens) -> None:
    prompt = tokens.prompt(shown("x", jpeg(), "y"))
    assert prompt.last_place - prompt.first_place + 1 == 16
    assert len(set(prompt.marks[prompt.first_place : prompt.last_place + 1].tolist())) == 1


@pytest.mark.parametrize("parts", [("<image>",), ("a </s> b",), (b"no photo at all",), (jpeg()[:300],)])
def test_what_cannot_be_laid_out_is_refused(tokens: TransformersTokens, parts: tuple[str | bytes, ...]) -> None:
    with pytest.raises(Rejected):
        tokens.prompt(shown(*parts))
