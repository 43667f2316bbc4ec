"""What the demo found: on the terminal, and as Markdown."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from g3_client import Job
from g3_client.map import Located
from g3_geography import Coordinates, distance_km
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from g3_local import demo_contest

THRESHOLDS_KM = (1, 25, 200, 750, 2500)
_SHOWN_JOBS = 12
ROWS = {
    "img": "nearest reference by the plain CLIP vector (IMG)",
    "img_gps": "nearest by CLIP and GPS-aligned (IMG+GPS)",
    "img_gps_text": "nearest by the three concatenated (IMG+GPS+TEXT)",
    "gallery": "image→GPS gallery of the references' coordinates",
    "chosen": "top 20 retrieved, chosen by image-GPS similarity",
    "oracle": "best of the top 20 (oracle)",
    "random": "a random reference",
    "ceiling": "nearest reference there is (ceiling)",
}


@dataclass
class Findings:
    """What each part of the demo gave."""

    evaluations: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Reports of `g3-eval retrieval` by what was asked about."""
    located: list[Located] = field(default_factory=list)
    """Photos that went the whole way of a job."""
    failed: list[str] = field(default_factory=list)
    """Those that did not, and why."""
    left_out: int = 0
    """Photos that were to go that way and did not, to keep the demo short."""
    seconds: dict[str, float] = field(default_factory=dict)
    card: str = ""
    """Where the model's card is; "" for a model without one."""

    @property
    def trained(self) -> bool:
        """Whether anybody trained the model."""
        return all(bool(said["model"]["trained"]) for said in self.evaluations.values())


def show(found: Findings, console: Console) -> None:
    """The tables and what to know about them."""
    if found.evaluations:
        for head, said in found.evaluations.items():
            console.print(_accuracy_table(head, said))
        for line in _notes(found):
            console.print(Text(line))
    console.print(_jobs_table(found.located))
    for line in (*_job_lines(found), *_time_lines(found)):
        console.print(Text(line))
    console.print(Text(_warning(found), style="yellow"))


def write(found: Findings, path: Path) -> None:
    """The same as Markdown."""
    heads = list(found.evaluations)
    lines = [
        "# The demo's report",
        "",
        _warning(found),
        "",
        f"% of photos within {' / '.join(map(str, THRESHOLDS_KM))} km:",
        "",
        "| | " + " | ".join(f"{head}, n = {found.evaluations[head]['n']}" for head in heads) + " |",
        "|" + " --- |" * (1 + len(heads)),
    ]
    for method, words in ROWS.items():
        cells = [shares(found.evaluations[head], method) for head in heads]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {line}" for line in (*_notes(found), *_job_lines(found), *_time_lines(found)))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def shares(said: Mapping[str, Any], method: str) -> str:
    """One method's accuracies in per cent."""
    return " / ".join(f"{100 * share['value']:.1f}" for share in said["accuracy"][method]["within"])


def _accuracy_table(head: str, said: Mapping[str, Any]) -> Table:
    title = f"{head}: % of {said['n']} photos, straight to the services"
    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    table.add_column("km", overflow="fold")
    for threshold in THRESHOLDS_KM:
        table.add_column(f"< {threshold}", justify="right", no_wrap=True)
    for method, words in ROWS.items():
        table.add_row(words, *(f"{100 * share['value']:.1f}" for share in said["accuracy"][method]["within"]))
    return table


def _notes(found: Findings) -> Iterator[str]:
    widest = max(
        (share["high"] - share["low"]) / 2
        for said in found.evaluations.values()
        for accuracy in said["accuracy"].values()
        for share in accuracy["within"]
    )
    yield f"95 % intervals (Wilson) are at most ±{100 * widest:.1f} points; distances are geodesic, strictly below."
    for head, said in found.evaluations.items():
        recall = said["recall"]
        measured = f", recall of the index {recall['mean']:.4f}" if recall else ""
        yield (
            f"{head}: {said['collection']['count']:,} references ({said['collection']['index']}{measured}); "
            f"{len(said['failures'])} photos without an answer"
        )


def _warning(found: Findings) -> str:
    start = "The photos are synthetic: an invented world, rendered from coordinates. "
    if not found.evaluations or found.trained:
        card = f" Its card: {found.card}" if found.card else ""
        return f"{start}The model has learnt that world alone; of a photo of the real Earth it knows nothing.{card}"
    return f"{start}The model is untrained: this shows the machinery at work; places found are luck."


def _job_lines(found: Findings) -> Iterator[str]:
    errors = [error for item in found.located if (error := item.error_km) is not None]
    if errors:
        hits = " / ".join(str(sum(error < km for error in errors)) for km in THRESHOLDS_KM)
        ways = " / ".join(map(str, THRESHOLDS_KM))
        yield (
            f"{len(errors)} photos went the whole way of a job: median error {statistics.median(errors):,.1f} km; "
            f"within {ways} km: {hits}"
        )
    yield from demo_contest.lines(found.located)
    yield from found.failed
    if found.left_out:
        yield f"{found.left_out} more photos were left out: this machine is slow, and the demo should not be"
    if degraded := sum("generation" in item.job.degraded for item in found.located):
        yield f"{degraded} jobs had no LMM: their answers come from retrieved candidates (degraded)"


def _time_lines(found: Findings) -> Iterator[str]:
    told = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in found.seconds.items())
    yield f"time: {told}; together {sum(found.seconds.values()):.0f} s"


def _jobs_table(located: Sequence[Located]) -> Table:
    table = Table(
        "photo",
        "answer",
        "from",
        "off by",
        "nearest\nreference",
        "retrieve, generate,\nverify",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in table.columns:
        column.no_wrap = column.header not in ("answer", "photo")
        column.overflow = "fold"
    own = [item for item in located if item.truth is None]
    for item in [*[item for item in located if item.truth is not None][:_SHOWN_JOBS], *own]:
        table.add_row(*_row(item))
    return table


def _row(item: Located) -> list[str]:
    job = item.job
    if job.result is None:
        reason = job.failure.message if job.failure else str(job.state)
        return [item.name, f"[red]{reason}[/red]", "", "", "", _timings(job)]
    answer = job.result
    off = f"{item.error_km:,.1f} km" if item.error_km is not None else "unknown"
    names = [name for name in (answer.place.city, answer.place.country) if name]
    place = ", ".join(names) or f"{answer.coordinates.latitude:.3f}, {answer.coordinates.longitude:.3f}"
    return [item.name, place, demo_contest.proposers(job), off, _nearest(item), _timings(job)]


def _nearest(item: Located) -> str:
    """How near the nearest retrieved reference lies: what no choice among them can beat."""
    result: Any = item.job.result
    if item.truth is None or not result.references:
        return ""
    truth = Coordinates(item.truth.latitude, item.truth.longitude)
    points = (match.reference.coordinates for match in result.references)
    nearest = min((distance_km(truth, Coordinates(p.latitude, p.longitude)) for p in points), default=math.nan)
    return f"{nearest:,.1f} km"


def _timings(job: Job) -> str:
    """What each stage worked, in milliseconds."""
    worked = {timing.stage: timing.worked_s for timing in job.timings}
    known = [worked.get(stage) for stage in ("retrieve", "generate", "verify")]
    return ", ".join("-" if seconds is None else f"{1000 * seconds:,.0f}" for seconds in known) + " ms"
