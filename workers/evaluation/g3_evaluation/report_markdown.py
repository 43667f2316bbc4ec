"""The report as Markdown."""

import math
import re
from collections.abc import Iterator, Sequence

from g3_evaluation.metrics import THRESHOLDS_KM, Accuracy, Share
from g3_evaluation.report import RetrievalReport

_EXAMPLES = 20
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~])")
HEADINGS = [f"{threshold:g} km" for threshold in THRESHOLDS_KM]


def markdown(report: RetrievalReport) -> str:
    """The whole report; ends in a newline."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: RetrievalReport) -> Iterator[str]:
    yield f"# Retrieval quality: {text(report.query_set)}"
    yield ""
    yield from _facts(report)
    yield ""
    yield f"## Accuracy, % of n = {report.n} photos (95 % Wilson intervals)"
    yield ""
    yield from table(
        ["method", *(f"< {heading}" for heading in HEADINGS), "median km"],
        [[method.words, *accuracy_cells(accuracy)] for method, accuracy in report.accuracy.items()],
    )
    yield ""
    yield "Distances are geodesic (WGS 84); a photo counts within a threshold when it is strictly nearer. Photos"
    yield "without an answer count as failures at every threshold. The ceiling and the random reference need no photo."
    yield ""
    yield "## Differences on the same photos, percentage points (95 % bootstrap, clustered by author)"
    yield ""
    yield from table(
        ["method", "against", *(f"< {heading}" for heading in HEADINGS)],
        [
            [paired.better.value, paired.worse.value, *(_points(share) for share in paired.difference.within)]
            for paired in report.differences
        ],
    )
    yield from _left_out(report)


def _facts(report: RetrievalReport) -> Iterator[str]:
    model, collection, gallery = report.model, report.collection, report.gallery
    trained = "" if model.trained else " — **untrained: places found are noise**"
    yield f"- model: {text(model.configuration)} `{model.fingerprint[:16]}`, width {model.dimension}{trained}"
    yield f"- references: {collection.count} in `{collection.name}` ({text(collection.index)})"
    yield f"- gallery: {gallery.count} different places, vectors kept as {gallery.precision}"
    if report.recall is not None:
        recall = report.recall
        yield (
            f"- recall of the index against exact search: {recall.mean:.4f} of the {recall.k} nearest on average, "
            f"{recall.worst:.4f} for the worst of {recall.sample} stored photos moved a little"
        )
    else:
        yield f"- recall of the index against exact search: not measured ({text(report.recall_absent)})"
    if report.authors:
        yield (
            f"- authors: {report.authors} among the queries, {report.shared_authors} of them with references, which "
            "were left out for their photos"
        )
    else:
        yield "- authors: not stated, so that no reference was left out"
    yield f"- photos without an answer: {len(report.failures)}; rows left out: {len(report.excluded)}"
    yield f"- photos whose file is identical to another's: {report.placeholders} in {len(report.identical)} groups"
    yield "- seconds: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.seconds.items())


def _left_out(report: RetrievalReport) -> Iterator[str]:
    listed = [(failure.id, failure.reason) for failure in report.failures]
    for title, rows in (
        ("Photos without an answer", listed),
        ("Rows left out", [(excluded.id, excluded.reason) for excluded in report.excluded]),
        ("Identical files", [(group[0], f"and {len(group) - 1} more") for group in report.identical]),
    ):
        if rows:
            yield from ("", f"## {title}", "")
            yield from table(["photo", "what"], [[text(id_), text(what)] for id_, what in rows[:_EXAMPLES]])
            if len(rows) > _EXAMPLES:
                yield f"\nand {len(rows) - _EXAMPLES} more, listed in `report.json`."


def accuracy_cells(accuracy: Accuracy) -> list[str]:
    """Five shares with their intervals, and the median."""
    return [*(_share(share) for share in accuracy.within), _km(accuracy.median_km)]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    yield "| " + " | ".join(headings) + " |"
    yield "|" + " --- |" * len(headings)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def text(words: str) -> str:
    """Words from elsewhere as plain words of Markdown."""
    return _SPECIAL.sub(r"\\\1", " ".join(words.split()))


def _share(share: Share) -> str:
    return f"{100 * share.value:.1f} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _points(share: Share) -> str:
    return f"{100 * share.value:+.1f} ({100 * share.low:+.1f} to {100 * share.high:+.1f})"


def _km(kilometres: float) -> str:
    return f"{kilometres:,.1f}" if math.isfinite(kilometres) else "none"
