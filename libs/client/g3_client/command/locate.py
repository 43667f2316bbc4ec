"""`g3 locate`: photos in, places and their evidence out."""

import asyncio
import json
import time
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from g3_client import map as maps
from g3_client.async_client import AsyncG3
from g3_client.command import jobs, show
from g3_client.errors import G3ClientError, TimedOut
from g3_client.models import Job

MAX_LABEL = 255


@dataclass(frozen=True)
class Answer:
    """What came of one photo: a job, an error, or both when the time was over."""

    photo: Path
    job: Job | None = None
    error: str = ""

    def line(self) -> str:
        """One line of JSON."""
        job = None if self.job is None else self.job.model_dump(mode="json")
        return json.dumps({"photo": str(self.photo), "job": job, "error": self.error or None})


def locate(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO", help="Photos to locate.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a photo: photo, job, error; as they are done.")
    ] = False,
    map_file: Annotated[Path | None, typer.Option("--map", help="Write a map: FILE.html and FILE.png.")] = None,
    profile: Annotated[
        Literal["paper", "default"] | None, typer.Option(help="Named set of parameters; the server's own if left out.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="KEY=VALUE", help="A parameter; JSON values, dots for parts: top_k=3"),
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for each answer; 0 only submits.")
    ] = 300.0,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Photos under way at once.")] = 4,
) -> None:
    """Says where photos were taken, with the evidence. Exit 1 when any of them has no answer."""
    parameters = parameters_of(param or [])
    if profile is not None:
        parameters["profile"] = profile
    with show.errors_told():
        answers = asyncio.run(_all(photos, parameters or None, wait_s, at_once, as_json))
    if map_file is not None:
        located = [maps.Located(job=a.job, photo=a.photo, name=a.photo.name) for a in answers if a.job is not None]
        jobs.written(map_file, located)
    if any(answer.error for answer in answers):
        raise typer.Exit(1)


def parameters_of(pairs: list[str]) -> dict[str, Any]:
    """`["top_k=3", "hints.country_codes=[\\"IT\\"]"]` as a document. What is not JSON is a string."""
    parameters: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        *parents, name = key.split(".")
        inner: Any = parameters
        for parent in parents:
            inner = inner.setdefault(parent, {}) if isinstance(inner, dict) else None
        if not equals or not all([*parents, name]) or not isinstance(inner, dict):
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE.", param_hint="--param")
        inner[name] = _value(text)
    return parameters


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except ValueError:
        return text


async def _all(
    photos: list[Path], parameters: dict[str, Any] | None, wait_s: float, at_once: int, as_json: bool
) -> list[Answer]:
    turns = asyncio.Semaphore(at_once)
    async with AsyncG3() as g3:
        with _progress(len(photos)) as progress:
            overall = progress.add_task("photos", total=len(photos), visible=len(photos) > 1)

            async def one(photo: Path) -> Answer:
                async with turns:
                    answer = await _one(g3, photo, parameters, wait_s, progress)
                progress.advance(overall)
                _print(answer, as_json, progress)
                return answer

            return list(await asyncio.gather(*(one(photo) for photo in photos)))


async def _one(
    g3: AsyncG3, photo: Path, parameters: dict[str, Any] | None, wait_s: float, progress: Progress
) -> Answer:
    task = progress.add_task(show.plain(photo.name).plain, total=None)
    job: Job | None = None
    started = time.monotonic()
    try:
        job = await g3.submit(photo, parameters=parameters, label=photo.name[:MAX_LABEL])
        if wait_s == 0:
            return Answer(photo, job)
        left_s = wait_s - (time.monotonic() - started)
        async with aclosing(g3.watch(job, timeout_s=left_s)) as events:
            async for event in events:
                job = event.job
                progress.update(task, description=show.plain(f"{photo.name}: {job.state}").plain)
        if not job.ended:
            job = await g3.get(job)
    except TimedOut as failure:
        return Answer(photo, job, str(failure) + (f" It goes on: g3 jobs watch {job.job_id}" if job else ""))
    except G3ClientError as failure:
        return Answer(photo, job, str(failure))
    finally:
        progress.remove_task(task)
    return Answer(photo, job, "" if job.succeeded else show.outcome(job))


def _progress(photos: int) -> Progress:
    columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
    if photos > 1:
        columns += [BarColumn(), MofNCompleteColumn()]
    return Progress(*columns, TimeElapsedColumn(), console=show.err(), transient=True)


def _print(answer: Answer, as_json: bool, progress: Progress) -> None:
    if as_json:
        typer.echo(answer.line())
    elif answer.job is not None and (answer.job.succeeded or not answer.error):
        # above the bars when both go to one terminal
        console = progress.console if show.out().is_terminal and progress.console.is_terminal else show.out()
        console.print(show.job_view(answer.job, str(answer.photo)))
    if answer.error:
        progress.console.print(show.plain(f"{answer.photo}: {answer.error}"), style="red", soft_wrap=True)
