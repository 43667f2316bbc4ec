"""What an evaluation found, as data: the source of every table and file."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from g3_evaluation.embedding_run import Failure
from g3_evaluation.methods import Method
from g3_evaluation.metrics import THRESHOLDS_KM, Accuracy, Difference, Share
from g3_evaluation.query_sets import Excluded
from g3_evaluation.services import Collection, GalleryState, Model, Recall


@dataclass(frozen=True)
class Paired:
    """One method against another on the same photos."""

    better: Method
    worse: Method
    difference: Difference


@dataclass
class RetrievalReport:
    """How well retrieval places a query set."""

    query_set: str
    n: int
    """Photos with a known place; every accuracy is a share of them."""
    model: Model
    collection: Collection
    gallery: GalleryState
    accuracy: dict[Method, Accuracy]
    differences: list[Paired]
    recall: Recall | None
    recall_absent: str
    """Why recall was not measured; "" when it was."""
    failures: list[Failure]
    excluded: list[Excluded]
    identical: list[list[str]]
    """Groups of photos whose files are the same."""
    authors: int
    """Different authors among the queries; 0 when none is stated."""
    shared_authors: int
    """Those of them who also have references, which were left out for their photos."""
    seed: int
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def placeholders(self) -> int:
        """Photos whose file is identical to that of another."""
        return sum(len(group) for group in self.identical)


def document(report: RetrievalReport) -> dict[str, Any]:
    """The report as JSON: shares in [0, 1], kilometres, null for a median that is no distance."""
    fields = {name: value for name, value in vars(report).items() if name not in ("accuracy", "differences")}
    return {
        **{name: _plain(value) for name, value in fields.items()},
        "distance": "geodesic on WGS 84, km; within a threshold means strictly below it",
        "intervals": "95 %: Wilson for shares, paired bootstrap clustered by author for differences",
        "thresholds_km": list(THRESHOLDS_KM),
        "accuracy": {
            method.value: {
                "n": accuracy.n,
                "within": [_share(share) for share in accuracy.within],
                "median_km": accuracy.median_km if math.isfinite(accuracy.median_km) else None,
                "failures": accuracy.failures,
            }
            for method, accuracy in report.accuracy.items()
        },
        "differences": [
            {
                "better": paired.better.value,
                "worse": paired.worse.value,
                "within": [_share(share) for share in paired.difference.within],
            }
            for paired in report.differences
        ],
        "placeholders": report.placeholders,
    }


def _share(share: Share) -> dict[str, float]:
    return {name: round(value, 6) for name, value in asdict(share).items()}


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
