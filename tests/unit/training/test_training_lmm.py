"""The demo LMM: its tokenizer, its lessons, its two phases and the folder that comes out."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from g3_alignment import Preprocessing
from g3_dialogue import PATTERN, Contrast, PromptOrder, Reference, rendered
from g3_geography import distances_km
from g3_kit.errors import Conflict, Missing, Rejected
from g3_training.lmm import lessons as lessons_of
from g3_training.lmm import runs
from g3_training.lmm.answering import Answering, answer_of
from g3_training.lmm.architecture import Size, initialised
from g3_training.lmm.examining import Exam
from g3_training.lmm.lessons import Lessons
from g3_training.lmm.tokens import SENTENCES, Tokens, learnt, opened
from g3_training.processes import Processes
from g3_training.recipe import Recipe
from g3_training.runs import Output
from g3_training.sources import WorldSource
from g3_world import Plan, write_arrays
from g3_world.sampling import CitySet
from transformers import AutoProcessor, LlavaForConditionalGeneration

from tests.servers.training_runs import tiny

NAMES = [("Paris", "Île-de-France", "France"), ("Suva", "", "Fiji"), ("Xi'an", "Shaanxi", "China")] * 4
SIZE = Size(vision_width=16, vision_layers=1, text_width=16, text_layers=1, text_inner=16, heads=2)
PREPROCESSING = Preprocessing(64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return learnt(NAMES, pieces=20)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "48.8584, 2.2945 (Paris, Île-de-France, France) | -33.0000, 151.2093 (Suva, Fiji)\n",
        "-0.0001, 180.0000 (東京, Japan)",
        "Any text at all: 1e-5, {}, <b>, \t\u2603 200.5",
        *SENTENCES,
    ],
)
def test_any_text_comes_back(tokens: Tokens, text: str) -> None:
    assert tokens.decode(tokens.encode([text])[0]) == text


def test_what_prompts_are_full_of_is_one_token_each(tokens: Tokens) -> None:
    for text in (
        *SENTENCES,
        "07",
        ", France",
        ", Île-de-France",
        ") | ",
        ")\n",
        '{"latitude": ',
        ', "longitude": ',
    ):
        assert len(tokens.encode([text])[0]) == 1, text
    assert len(tokens.encode(["-48.0500"])[0]) == 3
    assert len(tokens.encode([answer_of(-48.05, 2.0)])[0]) == 9


@pytest.mark.parametrize(("latitude", "longitude"), [(-0.00001, 180.0), (90.0, -180.0), (1 / 3, -2 / 3)])
def test_a_lesson_teaches_the_form_of_the_answer(latitude: float, longitude: float) -> None:
    assert re.fullmatch(PATTERN, answer_of(latitude, longitude))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    for name, count, seed in (("photos", 24, 1), ("references", 80, 2)):
        write_arrays(Plan(count=count, seed=seed, cities=CitySet(20)), folder / name)
    return folder


@pytest.fixture(scope="module")
def sources(world: Path) -> tuple[WorldSource, WorldSource]:
    return WorldSource([world / "photos"]), WorldSource([world / "references"])


@pytest.fixture(scope="module")
def made(sources: tuple[WorldSource, WorldSource], tmp_path_factory: pytest.TempPathFactory) -> tuple[Lessons, Path]:
    folder = tmp_path_factory.mktemp("lessons")
    return lessons_of.make(tiny(), *sources, most=60, folder=folder), folder


def test_lessons_are_what_an_exact_search_finds(made: tuple[Lessons, Path]) -> None:
    lessons, _ = made
    assert len(lessons) == 24
    assert len(lessons.references) == 60
    photos, known = (
        np.concatenate(list(v.astype(np.float32)), axis=1) for v in (lessons.vectors, lessons.reference_vectors)
    )
    cosines = photos @ known.T
    for row in range(24):
        ordered = np.argsort(-cosines[row], kind="stable")
        assert np.allclose(cosines[row][lessons.similar[row]], cosines[row][ordered[:15]], atol=1e-6)
        assert np.allclose(cosines[row][lessons.farthest[row]], cosines[row][ordered[::-1][:15]], atol=1e-6)
        hard = lessons.hard[row][lessons.hard[row] >= 0]
        best = lessons.references.coordinates[lessons.similar[row, 0]]
        assert (distances_km(*best, *lessons.references.coordinates[hard].T) >= 745).all()
        assert not set(hard) & set(lessons.similar[row])


def test_a_lesson_shows_the_names_of_its_references(made: tuple[Lessons, Path]) -> None:
    lessons, _ = made
    prompt = lessons.prompt(3, 2, Contrast.HARD)
    first = lessons.references.places[lessons.references.place[lessons.similar[3, 0]]]
    assert isinstance(prompt.similar[0], Reference)
    assert prompt.similar[0].place.endswith(first.country)
    assert len(prompt.similar) == 2


def test_a_lesson_wants_the_nearest_reference_or_the_place_itself(made: tuple[Lessons, Path]) -> None:
    lessons, _ = made
    trusted = 0
    for row in range(len(lessons)):
        place = lessons.photos.coordinates[row]
        assert lessons.wanted(row, 0) == tuple(place)
        shown = lessons.references.coordinates[lessons.similar[row, :15]]
        away = distances_km(*place, *shown.T)
        wanted = lessons.wanted(row, 15)
        if away.min() < 24.9:
            trusted += 1
            assert wanted == tuple(shown[away.argmin()])
        elif away.min() > 25.1:
            assert wanted == tuple(place)
    assert trusted, "a world without any reference nearby tests nothing"


def test_lessons_of_other_photos_are_refused(
    made: tuple[Lessons, Path], sources: tuple[WorldSource, WorldSource], tmp_path: Path
) -> None:
    with pytest.raises(Rejected, match="other arrays"):
        lessons_of.opened(made[1], sources[1], sources[0])
    with pytest.raises(Missing, match="lmm lessons"):
        lessons_of.opened(tmp_path, *sources)


def test_only_similar_references_and_the_answer_are_foretold(
    made: tuple[Lessons, Path], sources: tuple[WorldSource, WorldSource]
) -> None:
    lessons, _ = made
    tokens = learnt(lessons.names())
    model = initialised(SIZE, tokens, 0)
    task = Answering(model, tokens, lessons, sources[0], PREPROCESSING, np.arange(4), threads=1)
    batches = list(task.batches([np.arange(i, i + 4) for i in range(16)]))
    task.close()
    assert any(batch.numbers.any() for batch in batches)
    for batch in batches:
        for row, (ids, answers, numbers) in enumerate(zip(batch.ids, batch.answers, batch.numbers, strict=True)):
            assert re.fullmatch(PATTERN, tokens.decode(ids[answers].tolist())), row
            assert not (answers & numbers).any()
            shown = tokens.decode(ids[numbers].tolist())
            assert re.fullmatch(r"(-?\d+\.\d{4,7})*", shown)
    losses = task.losses(batches[0])
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_both_phases_end_in_a_folder_that_transformers_loads(
    made: tuple[Lessons, Path], world: Path, tmp_path: Path
) -> None:
    lessons, _ = made
    photos, both = WorldSource([world / "photos"]), WorldSource([world / "photos", world / "references"])
    recipe = Recipe(epochs=1, batch=8, learning_rate=1e-3, holdout=0.1, patience=0, keep="last")
    kept: dict[str, Any] = {"size": SIZE, "preprocessing": PREPROCESSING, "threads": 1}
    with pytest.raises(Missing, match="lmm see"):
        runs.answer(lessons, photos, tmp_path / "no", recipe, Output(tmp_path / "b"), Processes("cpu"), **kept)
    runs.see(lessons, both, recipe, Output(tmp_path / "a"), Processes("cpu"), **kept)
    eye = tmp_path / "a" / runs.EYE
    runs.answer(lessons, photos, eye, recipe, Output(tmp_path / "b"), Processes("cpu"), **kept)
    folder = tmp_path / "b" / runs.FOLDER
    other = Recipe(epochs=2, batch=8)
    with pytest.raises(Conflict):
        runs.answer(lessons, photos, eye, other, Output(tmp_path / "b"), Processes("cpu"), **kept)
    assert len(opened(folder)) == len(learnt(lessons.names()))
    exam = Exam(folder, lessons, photos, PREPROCESSING, threads=1)
    told = exam.results(3, 2, 1.0, PromptOrder.IMAGE_FIRST)
    exam.close()
    assert told["nearest"]["answers"] == 3
    assert told["5 references"]["answers"] == 6
    processor = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    question = rendered(lessons.prompt(0, 2, Contrast.HARD), b"", PromptOrder.IMAGE_FIRST)[1]
    content = [{"type": "image"}, {"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=photos.photo(0), text=text, return_tensors="pt", add_special_tokens=False)
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    assert int((inputs["input_ids"] == model.config.image_token_index).sum()) == 16
    assert torch.isfinite(model(**inputs).logits).all()
