"""The sections that say how accurate a run is: overall, differences, ablation, representation, curves."""

from collections.abc import Iterator, Sequence

from g3_evaluation import cells, plots
from g3_evaluation.blocks import Block, Heading, Paragraph, Plot, Points, Table
from g3_evaluation.entries import ABLATIONS, REPRESENTATIONS
from g3_evaluation.findings import Findings, Pair, Row
from g3_evaluation.metrics import Share
from g3_evaluation.report_markdown import HEADINGS


def overall(found: Findings) -> Iterator[Block]:
    yield Heading("Accuracy")
    rows = [_row(row) for row in found.rows if row.name not in ABLATIONS and row.name != "img_gps"]
    rows += [[f"bound: {words}", *cells.of_accuracy(accuracy)] for words, accuracy in found.bounds.items()]
    printed = [
        [f"printed: {row.method}", *cells.printed(row.within)]
        for row in found.published
        if row.table in ("overall", "newer")
    ]
    yield Table(["method", *cells.WITHIN, "median km", "failures"], rows + printed)
    clustered = [
        [row.words, *(f"{100 * share.low:.1f} to {100 * share.high:.1f}" for share in row.clustered.within)]
        for row in found.rows
        if row.name in ("default", "paper")
    ]
    if clustered:
        yield Paragraph("The same with a bootstrap clustered by author:")
        yield Table(["method", *cells.WITHIN], clustered)
    if printed:
        yield Paragraph("Printed rows: " + "; ".join(dict.fromkeys(row.source for row in found.published)) + ".")


def differences(found: Findings) -> Iterator[Block]:
    if not found.pairs:
        return
    yield Heading("Differences on the same photos, percentage points")
    yield Table(
        ["method", "minus", *cells.WITHIN],
        [
            [pair.better, pair.worse, *(cells.of_points(share) for share in pair.difference.within)]
            for pair in found.pairs
        ],
    )
    yield Paragraph("Where the interval leaves no doubt of the sign:")
    yield Points([_in_words(pair) for pair in found.pairs])


def _in_words(pair: Pair) -> str:
    ahead, behind = (_sure(pair.difference.within, sign) for sign in (1, -1))
    said = [f"ahead at {', '.join(ahead)}"] if ahead else []
    said += [f"behind at {', '.join(behind)}"] if behind else []
    return f"{pair.better} against {pair.worse}: {'; '.join(said) or 'no difference is sure'}"


def _sure(shares: Sequence[Share], sign: int) -> list[str]:
    """The thresholds at which the whole interval is above 0 (sign 1) or below it (-1)."""
    return [
        heading for heading, share in zip(HEADINGS, shares, strict=True) if min(sign * share.low, sign * share.high) > 0
    ]


def ablation(found: Findings) -> Iterator[Block]:
    rows = [row for name in ("paper", *ABLATIONS) if (row := found.row(name))]
    if len(rows) < 2:
        return
    yield Heading("Ablation of the profile paper")
    printed = {row.method: row.within for row in found.published if row.table in ("overall", "ablation")}
    lines: list[list[str]] = []
    for row in rows:
        lines.append(_row(row))
        if row.published in printed:
            lines.append([f"printed: {row.published}", *cells.printed(printed[row.published])])
    yield Table(["method", *cells.WITHIN, "median km", "failures"], lines)


def representation(found: Findings) -> Iterator[Block]:
    rows = [(words, row) for name, words in REPRESENTATIONS.items() if (row := found.row(name))]
    if len(rows) < 2:
        return
    yield Heading("Representation: what retrieval compares")
    printed = {row.method: row.within for row in found.published if row.table == "representation"}
    lines: list[list[str]] = []
    for words, row in rows:
        lines.append([words, *cells.of_accuracy(row.accuracy)])
        if words in printed:
            lines.append([f"printed: {words}", *cells.printed(printed[words])])
    yield Table(["retrieval by", *cells.WITHIN, "median km", "failures"], lines)


def curves(found: Findings) -> Iterator[Block]:
    if not found.curves:
        return
    yield Heading("Hyperparameters")
    yield Paragraph(
        "Each curve changes one of them and re-scores the answers that are there; shades are 95 % intervals."
    )
    yield Plot("hyperparameters", "accuracy over the hyperparameters", plots.hyperparameters(found.curves))
    for curve in found.curves:
        yield Table(
            [curve.name, *cells.WITHIN],
            [
                [str(value), *map(cells.of_share, shares)]
                for value, shares in zip(curve.values, curve.within, strict=True)
            ],
        )


def _row(row: Row) -> list[str]:
    return [row.words, *cells.of_accuracy(row.accuracy)]
