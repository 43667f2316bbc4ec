"""Predictions to figures: accuracy with intervals, and what was wrong with the file."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from g3_geography import distances_km, haversine_km
from g3_kit.errors import Rejected
from numpy.typing import NDArray

from g3_evaluation.metrics import Accuracy, Difference, Distances, accuracy, difference
from g3_evaluation.prediction_file import Fault, Predictions
from g3_evaluation.published import PublishedRow, query_set_of, rows
from g3_evaluation.swapping import require_unswapped

_ENOUGH, _FARTHER = 20, 4.0
_OFF_SHARE, _OFF_KM = 0.01, 0.1


class Measure(StrEnum):
    """How distances are taken; the two differ by up to 0.6 %."""

    GEODESIC = "geodesic"
    HAVERSINE = "haversine"

    @property
    def words(self) -> str:
        """What it is."""
        return "geodesic on WGS 84" if self is Measure.GEODESIC else "haversine, R = 6371.0088 km"


@dataclass
class Score:
    """What a file of predictions is worth."""

    name: str
    measure: Measure
    accuracy: Accuracy
    faults: list[Fault]
    summary: list[str]
    zeros: int
    """Predictions of exactly 0, 0: what failures were once stored as."""
    stated_otherwise: int
    """Rows whose own distance differs from ours by more than 1 % and 100 m."""
    distances: dict[str, float]
    """Kilometres by photo, infinity without an answer."""
    authors: dict[str, str]

    @property
    def failed_rows(self) -> int:
        """Faults that count as photos without an answer."""
        return sum(fault.failure for fault in self.faults)

    @property
    def clustered(self) -> Difference:
        """The accuracy again, with the interval of a bootstrap clustered by author."""
        km = np.array(list(self.distances.values()))
        return difference(km, np.full(len(km), np.inf), list(self.authors.values()))


def score(predictions: Predictions, measure: Measure = Measure.GEODESIC) -> Score:
    """The figures of a file. Raises Rejected when its truths or its predictions are swapped."""
    ids = list(predictions.truths)
    truth = np.array([predictions.truths[id_] for id_ in ids])
    require_unswapped(f"the truth of {predictions.name}", truth[:, 0], truth[:, 1])
    answered = [row for row, id_ in enumerate(ids) if id_ in predictions.places]
    km: Distances = np.full(len(ids), np.inf)
    if answered:
        said = np.array([predictions.places[ids[row]] for row in answered])
        between = distances_km if measure is Measure.GEODESIC else haversine_km
        km[answered] = between(truth[answered, 0], truth[answered, 1], said[:, 0], said[:, 1])
        _require_like_the_truth(predictions.name, truth[answered], said, km[answered])
    stated = [(predictions.stated_km[ids[row]], km[row]) for row in answered if ids[row] in predictions.stated_km]
    return Score(
        name=predictions.name,
        measure=measure,
        accuracy=accuracy(km),
        faults=predictions.faults,
        summary=predictions.summary,
        zeros=sum(place == (0.0, 0.0) for place in predictions.places.values()),
        stated_otherwise=int(sum(abs(one - other) > max(_OFF_KM, _OFF_SHARE * other) for one, other in stated)),
        distances=dict(zip(ids, km.tolist(), strict=True)),
        authors={id_: predictions.authors.get(id_, "") for id_ in ids},
    )


def compared(first: Score, second: Score, seed: int = 0) -> Difference | None:
    """The second's accuracy minus the first's on the photos that both list; None when there is none."""
    shared = [id_ for id_ in first.distances if id_ in second.distances]
    if not shared:
        return None
    one, other = (np.array([each.distances[id_] for id_ in shared]) for each in (first, second))
    authors = [first.authors[id_] or second.authors[id_] for id_ in shared]
    return difference(other, one, authors, seed=seed)


def published_beside(score_: Score, against: str) -> list[PublishedRow]:
    """The printed rows of the query set that was named, or that the file's name or size tells."""
    query_set = query_set_of(score_.name, score_.accuracy.n) if against == "auto" else against
    return rows(query_set, "overall", "newer")


def _require_like_the_truth(name: str, truth: NDArray[np.float64], said: NDArray[np.float64], km: Distances) -> None:
    """Raises Rejected when predictions exchanged in their columns would lie several times nearer to the truth."""
    if len(km) < _ENOUGH or (np.abs(said[:, 1]) > 90).any():
        return
    swapped_km = float(np.median(distances_km(truth[:, 0], truth[:, 1], said[:, 1], said[:, 0])))
    given_km = float(np.median(km))
    if given_km > _FARTHER * max(swapped_km, 25.0):
        raise Rejected(
            f"The predictions of {name} look swapped: half of them lie more than {given_km:.0f} km from the truth as "
            f"they are, and {swapped_km:.0f} km the other way round: swap the headings of their two columns.",
            field="predictions",
        )
