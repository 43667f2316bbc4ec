"""What a run ends with: `report.json`, `report.md` and the curves as a picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from g3_training.state import State
from g3_training.writing import replacing, write_json, write_text

_SMOOTHED = 200
"""Points of a curve: more than a picture shows."""


def write_report(folder: Path, title: str, stated: dict[str, Any], state: State) -> None:
    """Writes the three files. `stated` is what the run was told and what it used, by name."""
    numbers = {
        "ended_because": state.finished,
        "epochs": state.epoch,
        "batches": max((len(losses) for losses in state.losses.values()), default=0),
        "photos_seen": state.photos,
        "minutes": round(state.elapsed_s / 60, 2),
        "best_epoch": state.best_epoch if state.best_epoch >= 0 else None,
        "final_loss": {name: float(np.mean(losses[-50:])) for name, losses in state.losses.items()},
        "validations": state.validations,
    }
    write_json(folder / "report.json", {"title": title, "stated": stated, "numbers": numbers})
    _draw(folder / "curves.png", title, state)
    write_text(folder / "report.md", _markdown(title, stated, numbers))


def summary(run: Path) -> str:
    """One line of Markdown about a finished run in `run`, for a model card."""
    report: dict[str, Any] = json.loads((run / "report.json").read_text())
    stated, numbers, recipe = report["stated"], report["numbers"], report["stated"]["recipe"]
    losses = ", ".join(f"{name.replace('_', '-')} {loss:.3f}" for name, loss in numbers["final_loss"].items())
    return (
        f"- `{stated['phase']}`: {report['title'].split(': ')[1]}, {numbers['minutes']} minutes, "
        f"{numbers['photos_seen']:,} photos seen in {numbers['batches']:,} batches of {recipe['batch']}; "
        f"learning rate {recipe['learning_rate']:g}, {recipe['schedule']}, weight decay {recipe['weight_decay']:g}, "
        f"seed {recipe['seed']}; last loss: {losses}."
    )


def _markdown(title: str, stated: dict[str, Any], numbers: dict[str, Any]) -> str:
    lines = [f"# {title}", "", "![curves](curves.png)", "", "| what | value |", "| --- | --- |"]
    told = {**numbers, **stated}
    validations = told.pop("validations")
    lines += [f"| {name.replace('_', ' ')} | {value} |" for name, value in told.items()]
    if validations:
        names = list(validations[0])
        lines += ["", "Held-out places:", "", f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
        lines += [f"| {' | '.join(f'{entry[name]:.4g}' for name in names)} |" for entry in validations]
    return "\n".join(lines) + "\n"


def _draw(path: Path, title: str, state: State) -> None:
    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    batches = 0
    for name, losses in state.losses.items():
        batches = max(batches, len(losses))
        steps, curve = smoothed(losses)
        axes.plot(steps, curve, label=name.replace("_", "-"), linewidth=1)
    if state.validations:
        share = batches / max(state.epoch, 1)
        axes.plot(
            [entry["epoch"] * share for entry in state.validations],
            [entry["loss"] for entry in state.validations],
            "o--",
            label="held-out places, all",
            linewidth=1,
            markersize=3,
        )
    axes.set(title=title, xlabel="batches", ylabel="loss")
    axes.grid(alpha=0.3)
    if batches:
        axes.legend()
    with replacing(path) as draft:
        figure.savefig(draft, format="png")


def smoothed(losses: list[float]) -> tuple[list[float], list[float]]:
    """Means over equal stretches: their middles, in batches, and their losses; at most `_SMOOTHED` of them."""
    parts = np.array_split(np.asarray(losses, dtype=np.float64), min(_SMOOTHED, max(len(losses), 1)))
    ends = np.cumsum([len(part) for part in parts])
    middles = [float(end - len(part) / 2) for end, part in zip(ends, parts, strict=True)]
    return middles, [float(part.mean()) for part in parts if len(part)]
