"""Scores as JSON, as Markdown and on a terminal."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from g3_evaluation.metrics import THRESHOLDS_KM, Difference, Share
from g3_evaluation.published import PublishedRow
from g3_evaluation.report_markdown import HEADINGS, table, text
from g3_evaluation.report_table import plain
from g3_evaluation.scoring import Score

_SHOWN = 20


def document(scores: Sequence[Score], differences: Sequence[Difference | None]) -> dict[str, Any]:
    """The scores as JSON: shares in [0, 1], kilometres; `differences[i]` is of file i + 1 against the first."""
    return {
        "distance": f"{scores[0].measure.words}, km; within a threshold means strictly below it",
        "intervals": "95 %: Wilson; bootstrap clustered by author where authors are known",
        "thresholds_km": list(THRESHOLDS_KM),
        "files": [_file(score) for score in scores],
        "against_the_first": [
            None if found is None else [_share(share) for share in found.within] for found in differences
        ],
    }


def _file(score: Score) -> dict[str, Any]:
    median = score.accuracy.median_km
    return {
        "name": score.name,
        "n": score.accuracy.n,
        "within": [_share(share) for share in score.accuracy.within],
        "clustered_by_author": [_share(share) for share in score.clustered.within]
        if any(score.authors.values())
        else None,
        "median_km": median if math.isfinite(median) else None,
        "failures": score.accuracy.failures,
        "faults": [{"id": fault.id, "what": fault.what, "failure": fault.failure} for fault in score.faults],
        "summary_lines": score.summary,
        "predictions_at_0_0": score.zeros,
        "distances_stated_otherwise": score.stated_otherwise,
    }


def markdown(
    scores: Sequence[Score], differences: Sequence[Difference | None], published: Sequence[PublishedRow]
) -> str:
    """The scores as Markdown; ends in a newline."""
    return "\n".join(_lines(scores, differences, published)) + "\n"


def _lines(
    scores: Sequence[Score], differences: Sequence[Difference | None], published: Sequence[PublishedRow]
) -> Iterator[str]:
    yield "# Scores"
    yield ""
    yield f"Accuracy in % with 95 % Wilson intervals. Distances: {scores[0].measure.words}; a photo counts within a"
    yield "threshold when it is strictly nearer. Photos without a usable prediction are failures at every threshold."
    yield ""
    ours = [
        [text(score.name), str(score.accuracy.n), *map(_percent, score.accuracy.within), _km(score.accuracy.median_km)]
        for score in scores
    ]
    theirs = [[text(row.method), "", *(f"{value:.2f}" for value in row.within), ""] for row in published]
    yield from table(["method", "n", *(f"< {heading}" for heading in HEADINGS), "median km"], ours + theirs)
    if published:
        sources = "; ".join(dict.fromkeys(row.source for row in published))
        yield ""
        yield f"Rows without n are printed ones, for {published[0].query_set}: {sources}."
    for score, found in zip(scores[1:], differences, strict=True):
        if found is not None:
            yield ""
            yield f"{text(score.name)} minus {text(scores[0].name)} on the photos of both, points: " + ", ".join(
                f"{heading} {_points(share)}" for heading, share in zip(HEADINGS, found.within, strict=True)
            )
    for score in scores:
        yield from ("", f"## {text(score.name)}", "")
        yield from (f"- {text(line)}" for line in _notes(score))


def show(
    scores: Sequence[Score],
    differences: Sequence[Difference | None],
    published: Sequence[PublishedRow],
    console: Console,
) -> None:
    """Prints the table, and what was wrong with the files."""
    drawn = Table(title=f"% within, {scores[0].measure.words}, strictly below", title_justify="left", box=None)
    drawn.add_column("file", overflow="fold")
    for heading in ("n", *HEADINGS, "median km"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for score in scores:
        within = score.accuracy.within
        shares = [f"{100 * share.value:.2f}" for share in within]
        drawn.add_row(plain(score.name), str(score.accuracy.n), *shares, _km(score.accuracy.median_km))
        drawn.add_row("  95 %", "", *(f"{100 * share.low:.1f}-{100 * share.high:.1f}" for share in within), "")
    for row in published:
        drawn.add_row(f"printed: {row.method}", "", *(f"{value:.2f}" for value in row.within), "", style="dim")
    console.print(drawn)
    for score, found in zip(scores[1:], differences, strict=True):
        if found is not None:
            line = ", ".join(_points(share) for share in found.within)
            console.print(plain(f"{score.name} minus {scores[0].name}, points: {line}"), soft_wrap=True)
    for score in scores:
        for line in _notes(score):
            console.print(plain(f"{score.name}: {line}"), soft_wrap=True)


def _notes(score: Score) -> Iterator[str]:
    yield f"{score.accuracy.failures} of {score.accuracy.n} photos without a usable prediction, counted as failures"
    if any(score.authors.values()):
        clustered = ", ".join(f"{100 * share.low:.1f}-{100 * share.high:.1f}" for share in score.clustered.within)
        yield f"bootstrap clustered by {len(set(score.authors.values()))} authors, 95 %: {clustered}"
    if score.summary:
        yield f"{len(score.summary)} lines behind the last row are no data: {' / '.join(score.summary)[:200]}"
    if score.zeros:
        yield f"{score.zeros} predictions are exactly 0, 0, as failures were once stored; they count as they stand"
    if score.stated_otherwise:
        yield f"{score.stated_otherwise} rows state a distance more than 1 % from ours; ours count"
    for fault in score.faults[:_SHOWN]:
        yield f"{fault.id}: {fault.what}"
    if len(score.faults) > _SHOWN:
        yield f"and {len(score.faults) - _SHOWN} more faults, all in --json"


def _share(share: Share) -> dict[str, float]:
    return {"value": round(share.value, 6), "low": round(share.low, 6), "high": round(share.high, 6)}


def _percent(share: Share) -> str:
    return f"{100 * share.value:.2f} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _points(share: Share) -> str:
    return f"{100 * share.value:+.2f} ({100 * share.low:+.1f} to {100 * share.high:+.1f})"


def _km(kilometres: float) -> str:
    return f"{kilometres:,.1f}" if math.isfinite(kilometres) else "none"
