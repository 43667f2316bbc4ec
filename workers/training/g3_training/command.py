"""`g3-train`: the composition root of the room. Run it alone, or in several processes by torchrun."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from g3_alignment import AlignmentConfiguration, AlignmentModel, initialise, load, preset
from g3_kit.errors import Rejected

from g3_training import choice_command, lmm_command, measuring, runs
from g3_training.cache import CachePlan, open_cache
from g3_training.ending import ended, processes_of
from g3_training.recipe import Recipe
from g3_training.schedule import Shape
from g3_training.sources import FolderSource, PhotoSource, TarSource, WorldSource
from g3_training.writing import write_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
app.add_typer(lmm_command.app, name="lmm")
app.command()(choice_command.choice)

Csv = Annotated[Path | None, typer.Option("--csv", help="MP16-Pro's table, or any with its columns.")]
Tar = Annotated[list[Path] | None, typer.Option("--tar", help="A tar archive of JPEGs; may be given again.")]
Folder = Annotated[Path | None, typer.Option("--folder", help="A folder of photos instead of archives.")]
Arrays = Annotated[list[Path] | None, typer.Option("--arrays", help="A folder of the world's arrays; again for more.")]
Out = Annotated[Path, typer.Option("--out", help="The run's folder: state, curves, report, model.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda:0.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads of torch and of decoding; 0: as many as there are cores.")]
Dtype = Annotated[str, typer.Option(help="How the model is stored: float32 or float16.")]
SaveEvery = Annotated[float, typer.Option("--save-every", min=0, help="Seconds between two states.")]
Batch = Annotated[int, typer.Option(min=2, help="Photos contrasted with each other, over all processes.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Batches that make one step.")]
Epochs = Annotated[int, typer.Option(min=1, help="Epochs, unless --minutes is given.")]
Rate = Annotated[float, typer.Option("--learning-rate", help="The highest of the schedule.")]
Decay = Annotated[float, typer.Option("--weight-decay", help="AdamW's; biases and temperatures do not decay.")]
Minutes = Annotated[float | None, typer.Option(help="Train that long; the schedule follows the clock.")]
Schedule = Annotated[str, typer.Option(help="exponential (x0.87 an epoch, the paper's) or cosine.")]
WarmUp = Annotated[int, typer.Option(min=0, help="Steps over which the learning rate rises.")]
Holdout = Annotated[float, typer.Option(help="Share of places kept for validation.")]
Patience = Annotated[int, typer.Option(min=0, help="Epochs without a better validation until the end; 0: never.")]
Keep = Annotated[str, typer.Option(help="The result: the weights that validated best, or the last.")]
Seed = Annotated[int, typer.Option(min=0, help="Chooses batches, held-out places and starting weights.")]
Neighbourhood = Annotated[bool, typer.Option(help="Put the neighbourhood into the texts (the poster's G3-N).")]


@app.callback()
def train() -> None:
    """Geo-alignment training: pretrain the towers, cache their outputs, align heads and GPS encoder."""


@app.command()
def pretrain(
    out: Out,
    model: Annotated[Path | None, typer.Option(help="A checkpoint to start from.")] = None,
    preset_name: Annotated[str, typer.Option("--preset", help="Start from random weights of this preset.")] = "",
    config: Annotated[Path | None, typer.Option(help="Start from random weights of this configuration.")] = None,
    csv: Csv = None,
    tar: Tar = None,
    folder: Folder = None,
    arrays: Arrays = None,
    epochs: Epochs = 10,
    batch: Batch = 512,
    accumulate: Accumulate = 1,
    learning_rate: Rate = 2e-3,
    weight_decay: Decay = 0.05,
    schedule: Schedule = "cosine",
    warm_up: WarmUp = 100,
    minutes: Minutes = None,
    holdout: Holdout = 0.02,
    patience: Patience = 0,
    keep: Keep = "last",
    seed: Seed = 0,
    neighbourhood: Neighbourhood = False,
    dtype: Dtype = "float32",
    save_every: SaveEvery = 60.0,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Phase 1: train the CLIP towers on photos and the names of their places. Run it again to go on."""
    with ended(), processes_of(device, threads) as processes:
        recipe = Recipe(
            epochs=epochs,
            batch=batch,
            accumulate=accumulate,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            betas=(0.9, 0.98),
            schedule=_shape(schedule),
            warm_up=warm_up,
            minutes=minutes,
            holdout=holdout,
            patience=patience,
            keep=_kept(keep),
            seed=seed,
        )
        runs.pretrain(
            _model(model, preset_name, config, seed),
            _source(csv, tar, folder, arrays, out),
            recipe,
            runs.Output(out, dtype, save_every),
            processes,
            neighbourhood=neighbourhood,
            threads=threads,
        )


@app.command()
def cache(
    out: Annotated[Path, typer.Option("--out", help="The cache's folder. Run it again to go on.")],
    model: Annotated[Path, typer.Option(help="The checkpoint whose towers are used.")],
    csv: Csv = None,
    tar: Tar = None,
    folder: Folder = None,
    arrays: Arrays = None,
    neighbourhood: Annotated[bool, typer.Option(help="Also texts with the neighbourhood.")] = False,
    shard: Annotated[int, typer.Option(min=1, help="Photos a file.")] = 8192,
    batch: Annotated[int, typer.Option(min=1, help="Photos a forward pass.")] = 128,
    dtype: Annotated[str, typer.Option(help="float32 or float16.")] = "float32",
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Keep the frozen towers' outputs for photos and texts, so that the epochs of align need no photo."""
    with ended(), processes_of(device, threads) as processes:
        if processes.size > 1:
            raise Rejected("A cache is made by one process.", field="processes")
        plan = CachePlan(shard, batch, dtype, neighbourhood, threads)
        counts = runs.make_cache(load(model), _source(csv, tar, folder, arrays, out), out, plan, processes)
        typer.echo(f"{counts['photos']} photos in {out}")
        for reason, number in counts["rejects"].items():
            typer.echo(f"{number} not used: {reason}")


@app.command()
def align(
    out: Out,
    model: Annotated[Path, typer.Option(help="The checkpoint whose towers made the cache.")],
    cache: Annotated[Path, typer.Option(help="The folder that `g3-train cache` filled.")],
    variant: Annotated[str, typer.Option(help="image, image-gps or image-gps-text.")] = "image-gps-text",
    neighbourhood: Neighbourhood = False,
    place_km: Annotated[float, typer.Option(min=0, help="Nearer photos are not each other's GPS negatives.")] = 1.0,
    epochs: Epochs = 10,
    batch: Batch = 256,
    accumulate: Accumulate = 1,
    learning_rate: Rate = 3e-5,
    weight_decay: Decay = 1e-6,
    schedule: Schedule = "exponential",
    warm_up: WarmUp = 0,
    minutes: Minutes = None,
    holdout: Holdout = 0.02,
    patience: Patience = 3,
    keep: Keep = "best",
    seed: Seed = 0,
    dtype: Dtype = "float32",
    save_every: SaveEvery = 60.0,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Phase 2: train G3's heads, GPS encoder and temperatures on a cache. Run it again to go on."""
    with ended(), processes_of(device, threads) as processes:
        recipe = Recipe(
            epochs=epochs,
            batch=batch,
            accumulate=accumulate,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            schedule=_shape(schedule),
            warm_up=warm_up,
            minutes=minutes,
            holdout=holdout,
            patience=patience,
            keep=_kept(keep),
            seed=seed,
        )
        loaded = load(model)
        opened = open_cache(cache, loaded, neighbourhood=neighbourhood, verify=processes.leads)
        output = runs.Output(out, dtype, save_every)
        runs.align(loaded, opened, recipe, output, processes, variant=_variant(variant), place_km=place_km)


@app.command()
def measure(
    model: Annotated[Path, typer.Option(help="The checkpoint.")],
    references: Annotated[list[Path], typer.Option(help="Arrays with the references; again for more.")],
    queries: Annotated[list[Path], typer.Option(help="Arrays with the queries; each given is measured apart.")],
    more: Annotated[list[Path] | None, typer.Option(help="References added for a second measurement.")] = None,
    most: Annotated[int | None, typer.Option(help="At most so many of --references.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON, too.")] = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Accuracy of a checkpoint by photos straight to the model: nearest references, gallery, verification."""
    with ended(), processes_of(device, threads) as processes:
        loaded = load(model).to(processes.device)
        known = measuring.encoded(loaded, WorldSource(references), most, threads)
        further = known.joined(measuring.encoded(loaded, WorldSource(more), None, threads)) if more else None
        results = {}
        for folder in queries:
            asked = measuring.encoded(loaded, WorldSource([folder]), None, threads)
            results[folder.name] = measuring.measured(asked, known)
            if further is not None:
                results[f"{folder.name}, with references added"] = measuring.measured(asked, further)
        typer.echo(measuring.table(results))
        if out is not None:
            write_json(out, results)


def _variant(name: str) -> Literal["image", "image-gps", "image-gps-text"]:
    if name == "image":
        return "image"
    if name == "image-gps":
        return "image-gps"
    if name == "image-gps-text":
        return "image-gps-text"
    raise Rejected("--variant is image, image-gps or image-gps-text.", field="variant")


def _model(file: Path | None, preset_name: str, config: Path | None, seed: int) -> AlignmentModel:
    if sum(bool(given) for given in (file, preset_name, config)) != 1:
        raise Rejected("Give one of --model, --preset and --config.", field="model")
    if file is not None:
        return load(file)
    if config is not None:
        return initialise(AlignmentConfiguration.from_json(config.read_text("utf-8")), seed)
    return initialise(preset(preset_name), seed)


def _source(
    csv: Path | None, tar: list[Path] | None, folder: Path | None, arrays: list[Path] | None, kept: Path
) -> PhotoSource:
    if arrays and not (csv or tar or folder):
        return WorldSource(arrays)
    if csv is not None and tar and not (folder or arrays):
        return TarSource(csv, tar, kept)
    if csv is not None and folder is not None and not (tar or arrays):
        return FolderSource(folder, csv)
    raise Rejected("Say where the photos are: --csv with --tar or with --folder, or --arrays.", field="source")


def _shape(name: str) -> Shape:
    if name == "cosine":
        return "cosine"
    if name == "exponential":
        return "exponential"
    raise Rejected("--schedule is cosine or exponential.", field="schedule")


def _kept(name: str) -> Literal["best", "last"]:
    if name == "best":
        return "best"
    if name == "last":
        return "last"
    raise Rejected("--keep is best or last.", field="keep")


def main() -> None:
    """Runs the command line of this process."""
    app(prog_name="g3-train")
