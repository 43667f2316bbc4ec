"""How much of an answer the references could have given away: by the photo's own author, or nearly the photo itself."""

from dataclasses import dataclass

import numpy as np

from g3_evaluation.asks import Ask
from g3_evaluation.metrics import Accuracy, accuracy
from g3_evaluation.run_data import RunData

NEAR = 0.95
"""The plain CLIP cosine from which two photos are taken for nearly identical."""


@dataclass(frozen=True)
class Suspected:
    """A row of the tables on the photos that something could have given away, and on the others."""

    entry: str
    suspected: Accuracy | None
    others: Accuracy | None


@dataclass(frozen=True)
class Leakage:
    """`looked`: photos whose nearest references by plain CLIP were looked at, before anything was excluded.

    `by_author`: photos with a reference by their own author among them; `near`: with one from `NEAR` on.
    """

    looked: int
    by_author: int
    near: int
    excluded_authors: bool
    excluded_near: float
    rows: list[Suspected]


def leakage(data: RunData) -> Leakage | None:
    """What was found; None when nobody looked."""
    if Ask.NEAR not in data.asks:
        return None
    looks = data.of(Ask.NEAR)
    own = np.array(
        [
            bool(query.author) and any(reference.author == query.author for reference in outcome.references)
            for query, outcome in zip(data.queries, looks, strict=True)
        ]
    )
    near = np.array([any(each.similarity >= NEAR for each in outcome.references) for outcome in looks])
    suspected = own | near
    rows = [
        Suspected(
            each.name,
            accuracy(data.distances(each.name)[suspected]) if suspected.any() else None,
            accuracy(data.distances(each.name)[~suspected]) if not suspected.all() else None,
        )
        for each in data.entries
    ]
    looked = sum(outcome.failure is None for outcome in looks)
    note = data.note
    return Leakage(looked, int(own.sum()), int(near.sum()), note.exclude_author, note.exclude_near, rows)
