"""`g3-train choice`: the weights and the calibration of `g3_choice`, fitted to stored pools of candidates."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from g3_choice import ChoiceModel
from g3_choice.fitting import CLUSTER_KM, fit
from g3_choice.pool_file import PooledPhoto, read_pools

from g3_training.ending import ended


def choice(
    pools: Annotated[list[Path], typer.Option(help="Pools of photos whose places are known; again for more.")],
    out: Annotated[Path, typer.Option(help="The model of the choice, JSON.")],
    data: Annotated[str, typer.Option(help="What the photos are, in words; kept in the model.")] = "",
    cluster_km: Annotated[float, typer.Option(min=1, max=2500, help="What counts as one place.")] = CLUSTER_KM,
) -> None:
    """Fit how the answer is chosen among candidates: weights of the consensus, calibrated confidence, radius.

    The figures are of photos in places that were held out.
    """
    with ended():
        model = fit(_read(pools), data=data or _named(pools), cluster_km=cluster_km, told=_told)
        model.save(out)
        typer.echo(table(model))


def table(model: ChoiceModel) -> str:
    """The figures of a fitted model as Markdown, one table for each set of photos."""
    if model.fitted is None:
        return ""
    return "\n\n".join(_of_set(name, told) for name, told in model.fitted.figures.items())


def _of_set(name: str, told: dict[str, Any]) -> str:
    lines = [
        f"| {name}, n = {told['photos']} | within 1 / 25 / 200 / 750 / 2500 km | Brier | calibration error | covered |",
        "| --- | --- | --- | --- | --- |",
    ]
    for method, figures in told.items():
        if isinstance(figures, dict):
            within = " / ".join(f"{share:.1f}" for share in figures["within_percent"])
            judged = [
                " / ".join(f"{one:.3f}" for one in figures.get(key, ())) for key in ("brier", "calibration_error")
            ]
            covered = f"{figures['covered_percent']:.1f} %" if "covered_percent" in figures else ""
            lines.append(f"| {method.replace('_', ' ')} | {within} | {judged[0]} | {judged[1]} | {covered} |")
    return "\n".join(lines)


def _read(files: list[Path]) -> Iterator[PooledPhoto]:
    return chain.from_iterable(read_pools(file) for file in files)


def _named(files: list[Path]) -> str:
    return ", ".join(file.name for file in files)


def _told(message: str) -> None:
    typer.echo(message, err=True)
