"""What the terminal shows. Answers go to stdout, everything about them (progress, warnings, errors) to stderr."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from g3_client.errors import G3ClientError
from g3_client.map.scene import voices
from g3_client.models import Coordinates, Job, Match, Place, Release, Result, StageTiming

ROWS = 5
"""Candidates and references shown; the JSON has all of them."""

TEXT = 200
"""Characters of an answer of the LMM shown."""

NOT_A_PROBABILITY = "cosine, not a probability"


def out() -> Console:
    """Standard output as it is now."""
    return Console(highlight=False, soft_wrap=False)


def err() -> Console:
    """Standard error as it is now."""
    return Console(stderr=True, highlight=False)


def plain(text: str) -> Text:
    """Text from elsewhere: neither markup nor control characters of it reach the terminal."""
    return Text("".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text))


def error(message: str, kind: str = "error") -> None:
    """One line on stderr."""
    style = {"error": "bold red", "warning": "yellow"}.get(kind, "")
    err().print(Text.assemble((f"{kind}: ", style), plain(message)), soft_wrap=True)


@contextmanager
def errors_told() -> Iterator[None]:
    """Turns an error of the client into one line and exit code 1."""
    try:
        yield
    except G3ClientError as failure:
        error(str(failure))
        raise typer.Exit(1) from failure


def degrees(coordinates: Coordinates) -> str:
    """A point for people: `48.85837° N, 2.29448° E`."""
    north, east = coordinates.latitude, coordinates.longitude
    return f"{abs(north):.5f}° {'N' if north >= 0 else 'S'}, {abs(east):.5f}° {'E' if east >= 0 else 'W'}"


def cosine(similarity: float | None) -> str:
    """A similarity for people."""
    return "-" if similarity is None else f"{similarity:.4f}"


def share(probability: float | None) -> str:
    """A probability for people."""
    return "-" if probability is None else f"{probability:.0%}"


def confidence(result: Result) -> str:
    """How sure the answer is, by distance; empty where nothing is calibrated."""
    return ", ".join(f"{each.probability:.0%} within {each.km:,} km" for each in result.confidence)


def named(place: Place) -> str:
    """The place's names, or that there are none."""
    return str(place) or "no named place near"


def outcome(job: Job) -> str:
    """One line on how a job stands."""
    if job.result is not None:
        return f"{named(job.result.place)} ({degrees(job.result.coordinates)})"
    if job.failure is not None:
        return f"{job.failure.message.rstrip('.') or 'failed'} ({job.failure.code})"
    return str(job.state)


def job_view(job: Job, title: str = "") -> RenderableType:
    """A job with its answer and evidence."""
    parts: list[RenderableType] = [_summary(job)]
    if job.result is not None:
        result = job.result
        parts += [*_places(result), *_candidates(result), *_references(result.references), *_answers(result)]
    if job.timings:
        parts.append(_timings(job.timings))
    return Panel(Group(*parts), title=plain(title or job.label or job.job_id), title_align="left")


def _summary(job: Job) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    result = job.result
    if result is not None:
        grid.add_row("place", plain(named(result.place)).copy())
        grid.add_row("coordinates", degrees(result.coordinates))
        if result.abstained:
            grid.add_row("abstained", Text("the answer is less sure than was asked for", style="yellow"))
        if sure := confidence(result):
            grid.add_row("confidence", sure)
        if result.radius_km is not None and result.coverage is not None:
            grid.add_row("radius", f"{result.radius_km:,.1f} km holds the truth for {result.coverage:.0%} of photos")
        if result.similarity is not None:
            grid.add_row("similarity", f"{cosine(result.similarity)} ({NOT_A_PROBABILITY})")
    else:
        grid.add_row("state", plain(outcome(job)))
    if job.degraded:
        grid.add_row("degraded", Text.assemble((", ".join(job.degraded), "yellow"), " left out"))
    if result is not None and result.dropped:
        reasons = [dropped.reason for dropped in result.dropped]
        counts = ", ".join(f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons)))
        grid.add_row("dropped answers", plain(counts))
    if result is not None and result.tokens is not None and (result.tokens.prompt or result.tokens.answer):
        grid.add_row("tokens", f"{result.tokens.prompt} of prompts, {result.tokens.answer} of answers")
    if result is not None and result.release is not None:
        grid.add_row("release", plain(_release(result.release)))
    grid.add_row("job", plain(job.job_id))
    return grid


def _release(release: Release) -> str:
    parts = [f"model {release.model}", f"collection {release.collection}"]
    parts += [f"choice {release.choice[:12]}"] if release.choice else []
    parts += [f"gallery {release.gallery[:12]}"] if release.gallery else []
    return ", ".join(parts + [f"LMM {name}" for name in release.lmm])


def _places(result: Result) -> Iterator[Table]:
    shown = result.places[:ROWS]
    if not shown:
        return
    table = _table(f"places ({len(shown)} of {len(result.places)})")
    for name in ("probability", "place", "coordinates", "radius", "candidates"):
        table.add_column(name, justify="left" if name in {"place", "coordinates"} else "right")
    for likely in shown:
        where = (plain(named(likely.place)), degrees(likely.coordinates))
        table.add_row(share(likely.probability), *where, f"{likely.radius_km:,.1f} km", str(likely.candidates))
    yield table


def _answers(result: Result) -> Iterator[Table]:
    """What the LMM said for the answer's place, else what it said at all."""
    behind = {candidate.rank for candidate in result.candidates if candidate.in_place == 1}
    told = [answer for answer in result.answers if answer.candidate in behind] or list(result.answers)
    if not told:
        return
    table = _table(f"answers of the LMM ({len(told[:ROWS])} of {len(result.answers)})")
    for name in ("prompt", "sample", "candidate", "text"):
        table.add_column(name, justify="left" if name == "text" else "right", overflow="fold")
    for answer in told[:ROWS]:
        text = answer.text if len(answer.text) <= TEXT else answer.text[:TEXT] + "…"
        table.add_row(str(answer.prompt), str(answer.sample), str(answer.candidate or "dropped"), plain(text))
    yield table


def _candidates(result: Result) -> Iterator[Table]:
    shown = result.candidates[:ROWS]
    if not shown:
        return
    table = _table(f"candidates ({len(shown)} of {len(result.candidates)})")
    for name in ("rank", "place", "coordinates", "similarity", "origin"):
        table.add_column(name, justify="right" if name in {"rank", "similarity"} else "left")
    for candidate in shown:
        where = (plain(named(candidate.place)), degrees(candidate.coordinates))
        table.add_row(str(candidate.rank), *where, cosine(candidate.similarity), plain(voices(candidate)))
    yield table


def _references(references: tuple[Match, ...]) -> Iterator[Table]:
    shown = references[:ROWS]
    if not shown:
        return
    table = _table(f"references ({len(shown)} of {len(references)})")
    for name in ("similarity", "place", "coordinates", "reference"):
        table.add_column(name, justify="right" if name == "similarity" else "left", overflow="fold")
    for match in shown:
        reference = match.reference
        where = (plain(named(reference.place)), degrees(reference.coordinates))
        table.add_row(cosine(match.similarity), *where, plain(reference.id))
    yield table


def _timings(timings: tuple[StageTiming, ...]) -> Table:
    table = _table("stages")
    for name in ("stage", "waited", "worked", "attempts"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for timing in timings:
        table.add_row(plain(timing.stage), _seconds(timing.waited_s), _seconds(timing.worked_s), str(timing.attempts))
    return table


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f} s"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
