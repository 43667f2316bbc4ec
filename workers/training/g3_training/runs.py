"""The two phases from end to end: model and photos in, a checkpoint and a report out."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from g3_alignment import AlignmentModel, fingerprint_of, save
from rich.console import Console
from rich.progress import Progress

from g3_training.alignment import Alignment, Variant
from g3_training.cache import Cache, CachePlan, CacheWriter
from g3_training.pretraining import Pretraining
from g3_training.processes import Processes
from g3_training.recipe import Recipe
from g3_training.report import write_report
from g3_training.sampling import Rows, held_out
from g3_training.sources import PhotoSource
from g3_training.state import State
from g3_training.table import PhotoTable
from g3_training.training import Task, Training
from g3_training.watching import Watch

MODEL = "model.safetensors"


@dataclass(frozen=True)
class Output:
    """Where a run writes, and how: `dtype` of the stored weights, seconds between two states."""

    folder: Path
    dtype: str = "float32"
    save_s: float = 60.0


def pretrain(
    model: AlignmentModel,
    source: PhotoSource,
    recipe: Recipe,
    output: Output,
    processes: Processes,
    *,
    neighbourhood: bool = False,
    threads: int = 0,
) -> State:
    """Phase 1: trains the towers of `model` and writes `model.safetensors` (heads as they came) and the report."""
    training, validation = divided(source.table, recipe)
    told = {"phase": "pretrain", "neighbourhood": neighbourhood, "recipe": recipe.document()}
    stated = {**told, "source": source.identity(), "started_from": fingerprint_of(model).full}
    model.to(processes.device)
    task = Pretraining(
        model, source, processes, validation, batch=recipe.batch, neighbourhood=neighbourhood, threads=threads
    )
    try:
        return finish(model, task, training, stated, recipe, output, processes)
    finally:
        task.close()


def make_cache(
    model: AlignmentModel, source: PhotoSource, folder: Path, plan: CachePlan, processes: Processes
) -> dict[str, Any]:
    """Encodes every photo and text of `source` once into `folder`; gives the counts."""
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True)) as bar:
        task = bar.add_task("towers' outputs", total=len(source.table))
        writer = CacheWriter(model, source, folder, plan, processes, lambda done: bar.advance(task, done))
        return writer.write()


def align(
    model: AlignmentModel,
    cache: Cache,
    recipe: Recipe,
    output: Output,
    processes: Processes,
    *,
    variant: Variant | Literal["image"] = "image-gps-text",
    place_km: float = 1.0,
) -> State:
    """Phase 2: trains heads, GPS encoder and temperatures on the cache; writes the whole model and the report.

    `variant` "image" is the poster's study of the towers alone: nothing is learnt, the model is written as it is.
    """
    table = PhotoTable([""] * len(cache.images), cache.coordinates, cache.place, cache.places)
    training, validation = divided(table, recipe)
    stated = {
        "phase": "align",
        "variant": variant,
        "place_km": place_km,
        "recipe": recipe.document(),
        "cache": cache.identity,
        "started_from": fingerprint_of(model).full,
    }
    model.to(processes.device)
    if variant == "image":
        state = State(finished="nothing is learnt in this variant")
        if processes.leads:
            output.folder.mkdir(parents=True, exist_ok=True)
            fingerprint = save(model.eval().cpu(), output.folder / MODEL, dtype=output.dtype).full
            write_report(output.folder, "align: image alone", {**stated, "fingerprint": fingerprint}, state)
        return state
    task = Alignment(model, cache, processes, validation, batch=recipe.batch, variant=variant, place_km=place_km)
    return finish(model, task, training, stated, recipe, output, processes)


def finish(
    model: AlignmentModel,
    task: Task,
    rows: Rows,
    stated: dict[str, Any],
    recipe: Recipe,
    output: Output,
    processes: Processes,
) -> State:
    """Trains to the end under a watch, then writes model and report."""
    key = hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
    output.folder.mkdir(parents=True, exist_ok=True)
    run = Training(task, recipe, rows, output.folder, key, processes, save_s=output.save_s)
    watch = Watch(output.folder, str(stated["phase"]), run.state) if processes.leads else None
    try:
        state = run.run(watch)
    finally:
        if watch is not None:
            watch.close()
    if processes.leads:
        # towers alone make no model: heads and GPS encoder of phase 1 are as they came
        model.trained = model.trained or stated["phase"] == "align"
        fingerprint = save(model.eval().cpu(), output.folder / MODEL, dtype=output.dtype)
        numbers = {"fingerprint": fingerprint.full, "processes": processes.size, "threads": torch.get_num_threads()}
        write_report(output.folder, f"{stated['phase']}: {len(rows)} photos", {**stated, **numbers}, state)
    return state


def divided(table: PhotoTable, recipe: Recipe) -> tuple[Rows, Rows]:
    """Rows to train on and rows of held-out places, both int64 and in the order of the table."""
    keys = [", ".join((names.city, names.state, names.country)) for names in table.places]
    out = held_out(table.place, keys, recipe.holdout, recipe.seed)
    return np.flatnonzero(~out), np.flatnonzero(out)
