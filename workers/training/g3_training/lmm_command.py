"""`g3-train lmm`: the demo's language model, in four commands."""

from pathlib import Path
from typing import Annotated

import typer
from g3_alignment import load

from g3_training.ending import ended, processes_of
from g3_training.recipe import Recipe
from g3_training.runs import Output
from g3_training.sources import WorldSource
from g3_training.writing import write_json

app = typer.Typer(no_args_is_help=True, help="The demo LMM: lessons, its eye (see), its answers (answer), its exam.")

Alignment = Annotated[Path, typer.Option(help="The alignment checkpoint that retrieval uses.")]
Photos = Annotated[list[Path], typer.Option(help="Arrays with photos to learn from; again for more.")]
References = Annotated[list[Path], typer.Option(help="Arrays with the references; again for more.")]
LessonFolder = Annotated[Path, typer.Option(help="The folder that `g3-train lmm lessons` filled.")]
Out = Annotated[Path, typer.Option(help="The run's folder: state, curves, report, weights.")]
Minutes = Annotated[float | None, typer.Option(help="Train that long; the schedule follows the clock.")]
Epochs = Annotated[int, typer.Option(min=1, help="Epochs, unless --minutes is given.")]
Batch = Annotated[int, typer.Option(min=2, help="Photos a batch.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="The highest of the schedule.")]
Holdout = Annotated[float, typer.Option(help="Share of places kept for validation.")]
Seed = Annotated[int, typer.Option(min=0, help="Chooses batches, held-out places and starting weights.")]
SaveEvery = Annotated[float, typer.Option("--save-every", min=0, help="Seconds between two states.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda:0.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads of torch and of decoding; 0: as many as there are cores.")]


@app.command()
def lessons(
    alignment: Alignment,
    photos: Photos,
    references: References,
    out: Annotated[Path, typer.Option(help="The lessons' folder.")],
    most: Annotated[int, typer.Option(min=16, help="At most so many references.")] = 20_000,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Search references for every photo, as retrieval would."""
    from g3_training.lmm.lessons import make

    with ended(), processes_of(device, threads) as processes:
        model = load(alignment).to(processes.device)
        made = make(model, WorldSource(photos), WorldSource(references), most, out, threads)
        typer.echo(f"{len(made)} lessons with {len(made.references)} references in {out}")


@app.command()
def see(
    alignment: Alignment,
    photos: Photos,
    references: References,
    lessons: LessonFolder,
    out: Out,
    epochs: Epochs = 10,
    minutes: Minutes = None,
    batch: Batch = 128,
    learning_rate: Rate = 1.5e-3,
    holdout: Holdout = 0.01,
    seed: Seed = 0,
    save_every: SaveEvery = 60.0,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Phase 1: teach the vision tower what the alignment model sees. Run it again to go on."""
    from g3_training.lmm import runs
    from g3_training.lmm.architecture import Size
    from g3_training.lmm.lessons import opened

    with ended(), processes_of(device, threads) as processes:
        runs.see(
            opened(lessons, WorldSource(photos), WorldSource(references)),
            WorldSource([*photos, *references]),
            _recipe(epochs, minutes, batch, learning_rate, holdout, seed),
            Output(out, save_s=save_every),
            processes,
            size=Size(),
            preprocessing=load(alignment).configuration.preprocessing,
            threads=threads,
        )


@app.command()
def answer(
    alignment: Alignment,
    photos: Photos,
    references: References,
    lessons: LessonFolder,
    eye: Annotated[Path, typer.Option(help="`eye.safetensors`; or the folder `model` of an earlier run, to go on.")],
    out: Out,
    epochs: Epochs = 10,
    minutes: Minutes = None,
    batch: Batch = 16,
    learning_rate: Rate = 1.5e-3,
    holdout: Holdout = 0.01,
    seed: Seed = 0,
    save_every: SaveEvery = 60.0,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Phase 2: teach the whole model to answer prompts with coordinates. Run it again to go on."""
    from g3_training.lmm import runs
    from g3_training.lmm.architecture import Size
    from g3_training.lmm.lessons import opened

    with ended(), processes_of(device, threads) as processes:
        source = WorldSource(photos)
        runs.answer(
            opened(lessons, source, WorldSource(references)),
            source,
            eye,
            _recipe(epochs, minutes, batch, learning_rate, holdout, seed),
            Output(out, save_s=save_every),
            processes,
            size=Size(),
            preprocessing=load(alignment).configuration.preprocessing,
            threads=threads,
        )


@app.command()
def examine(
    alignment: Alignment,
    photos: Photos,
    references: References,
    lessons: LessonFolder,
    model: Annotated[Path, typer.Option(help="The folder `model` of `g3-train lmm answer`.")],
    most: Annotated[int, typer.Option(min=1, help="At most so many photos.")] = 500,
    samples: Annotated[int, typer.Option(min=1, help="Answers to a prompt.")] = 5,
    temperature: Annotated[float, typer.Option(min=0, help="Of the sampling; 0 takes the likeliest.")] = 1.2,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON, too.")] = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """How well single answers place photos of no lesson, against the nearest reference."""
    from g3_dialogue import PromptOrder

    from g3_training.lmm.examining import Exam, table
    from g3_training.lmm.lessons import opened

    with ended(), processes_of(device, threads):
        source = WorldSource(photos)
        made = opened(lessons, source, WorldSource(references))
        exam = Exam(model, made, source, load(alignment).configuration.preprocessing, threads=threads)
        try:
            orders = {order.value: exam.results(most, samples, temperature, order) for order in PromptOrder}
        finally:
            exam.close()
        typer.echo(table(orders))
        if out is not None:
            put = {"photos": min(most, len(made)), "references": len(made.references), "samples": samples}
            write_json(out, {**put, "temperature": temperature, "orders": orders})


def _recipe(epochs: int, minutes: float | None, batch: int, learning_rate: float, holdout: float, seed: int) -> Recipe:
    return Recipe(
        epochs=epochs,
        minutes=minutes,
        batch=batch,
        learning_rate=learning_rate,
        weight_decay=0.05,
        betas=(0.9, 0.98),
        schedule="cosine",
        warm_up=200,
        holdout=holdout,
        patience=0,
        keep="last",
        seed=seed,
    )
