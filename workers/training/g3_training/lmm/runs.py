"""The two phases of the demo LMM from end to end."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from g3_alignment import Preprocessing
from g3_kit.errors import Missing
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration

from g3_training.lmm.answering import Answering
from g3_training.lmm.architecture import Size, initialised
from g3_training.lmm.lessons import Lessons, key_of
from g3_training.lmm.packaging import package
from g3_training.lmm.seeing import Distilling, Seeing
from g3_training.lmm.tokens import learnt
from g3_training.processes import Processes
from g3_training.recipe import Recipe
from g3_training.report import write_report
from g3_training.runs import Output, divided
from g3_training.sampling import Rows
from g3_training.sources import WorldSource
from g3_training.state import State
from g3_training.training import Task, Training
from g3_training.watching import Watch
from g3_training.writing import replacing

EYE = "eye.safetensors"
FOLDER = "model"


def see(
    lessons: Lessons,
    source: WorldSource,
    recipe: Recipe,
    output: Output,
    processes: Processes,
    *,
    size: Size,
    preprocessing: Preprocessing,
    threads: int = 0,
) -> State:
    """Phase 1: trains the eye on `source`, the lessons' photos and then their references; writes `eye.safetensors`."""
    model = _initialised(lessons, size, recipe)
    references = lessons.reference_vectors.shape[1]
    vectors = np.concatenate((lessons.vectors, lessons.reference_vectors), axis=1)
    seen = source.table.chosen(np.arange(len(lessons) + references))
    training, validation = divided(seen, recipe)
    seeing = Seeing(model.model.vision_tower, vectors.shape[2]).to(processes.device)
    task = Distilling(seeing, source, vectors, preprocessing, validation, threads=threads)
    try:
        state = _trained(task, training, _stated("see", lessons, recipe, size), recipe, output, processes)
    finally:
        task.close()
    with replacing(output.folder / EYE) as draft:
        save_file({name: weight.contiguous() for name, weight in seeing.tower.state_dict().items()}, draft)
    return state


def answer(
    lessons: Lessons,
    source: WorldSource,
    begun: Path,
    recipe: Recipe,
    output: Output,
    processes: Processes,
    *,
    size: Size,
    preprocessing: Preprocessing,
    threads: int = 0,
) -> State:
    """Phase 2: trains the whole model and writes the folder `model`.

    `begun` is what it starts from: the eye of phase 1, or the folder that an earlier phase 2 wrote, to go on with it.
    """
    if not begun.exists():
        raise Missing(f"There is no {begun.name}: train it with g3-train lmm see.", field="eye")
    tokens = learnt(lessons.names())
    if begun.is_dir():
        model = LlavaForConditionalGeneration.from_pretrained(begun, dtype=torch.float32)
        digest = _digest(sorted(begun.glob("*.safetensors")))
    else:
        model = _initialised(lessons, size, recipe)
        model.model.vision_tower.load_state_dict(load_file(begun))
        digest = _digest([begun])
    model.model.to(processes.device)
    training, validation = divided(lessons.photos, recipe)
    stated = _stated("answer", lessons, recipe, size)
    stated["started_from"] = digest
    task = Answering(model, tokens, lessons, source, preprocessing, validation, threads=threads)
    try:
        state = _trained(task, training, stated, recipe, output, processes)
    finally:
        task.close()
    package(model, tokens, preprocessing, output.folder / FOLDER)
    return state


def _digest(files: list[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _initialised(lessons: Lessons, size: Size, recipe: Recipe) -> LlavaForConditionalGeneration:
    return initialised(size, learnt(lessons.names()), recipe.seed)


def _stated(phase: str, lessons: Lessons, recipe: Recipe, size: Size) -> dict[str, Any]:
    return {"phase": phase, "recipe": recipe.document(), "size": asdict(size), "lessons": key_of(lessons)}


def _trained(
    task: Task, rows: Rows, stated: dict[str, Any], recipe: Recipe, output: Output, processes: Processes
) -> State:
    output.folder.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
    run = Training(task, recipe, rows, output.folder, key, processes, save_s=output.save_s)
    watch = Watch(output.folder, str(stated["phase"]), run.state)
    try:
        state = run.run(watch)
    finally:
        watch.close()
    stated["weights"] = sum(parameter.numel() for parameter in task.module.parameters())
    numbers = {"threads": torch.get_num_threads()}
    write_report(output.folder, f"{stated['phase']}: {len(rows)} photos", {**stated, **numbers}, state)
    return state
