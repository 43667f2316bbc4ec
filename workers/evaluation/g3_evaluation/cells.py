"""Figures as the words of a table's cells."""

import math
from collections.abc import Sequence

from g3_evaluation.metrics import Accuracy, Share
from g3_evaluation.report_markdown import HEADINGS

WITHIN = [f"< {heading}" for heading in HEADINGS]
"""The headings of the five thresholds."""


def of_accuracy(accuracy: Accuracy) -> list[str]:
    """Five shares with their intervals, the median, and the photos without an answer."""
    median = accuracy.median_km if math.isfinite(accuracy.median_km) else None
    return [*map(of_share, accuracy.within), of_km(median), str(accuracy.failures)]


def printed(within: Sequence[float]) -> list[str]:
    """The same of a printed row, which states the shares alone."""
    return [*(f"{value:.2f}" for value in within), "", ""]


def of_share(share: Share) -> str:
    """In %, with the interval."""
    return f"{100 * share.value:.2f} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def of_points(share: Share) -> str:
    """A difference in percentage points, with the interval."""
    return f"{100 * share.value:+.2f} ({100 * share.low:+.1f} to {100 * share.high:+.1f})"


def of_km(kilometres: float | None) -> str:
    """Kilometres, or "none"."""
    return "none" if kilometres is None else f"{kilometres:,.1f}"


def of_counts(counted: dict[str, int]) -> str:
    """Names with their counts, the most frequent first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items(), key=lambda pair: -pair[1])) or "none"
