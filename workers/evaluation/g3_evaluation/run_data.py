"""A stored run in memory: photos, truths and outcomes, and how far every row of the tables is off."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from g3_geography import Gazetteer, distances_km
from g3_geography import Place as Named
from g3_kit.errors import Missing
from numpy.typing import NDArray

from g3_evaluation.asks import SUPERSETS, Ask
from g3_evaluation.entries import ENTRIES, Entry, entry
from g3_evaluation.metrics import Distances
from g3_evaluation.outcomes import Outcome, Place
from g3_evaluation.query_sets import Query
from g3_evaluation.rescoring import as_paper
from g3_evaluation.run_folder import RunFolder, RunNote


@dataclass
class RunData:
    """One run. A photo counts once every way of asking that is reported has an outcome for it.

    Outcomes of a superset answer what the profile `paper` answers; their proposals are all there.
    """

    note: RunNote
    queries: list[Query]
    outcomes: dict[tuple[str, str], Outcome]
    unfinished: int = 0
    """Photos left out because something was not asked yet."""
    _distances: dict[str, Distances] = field(default_factory=dict)

    @cached_property
    def asks(self) -> list[Ask]:
        """The ways of asking that the server knew."""
        return [Ask(ask) for ask in self.note.asks if ask not in self.note.refused]

    @cached_property
    def entries(self) -> list[Entry]:
        """The rows that can be told."""
        return [each for each in ENTRIES if each.ask in self.asks]

    @cached_property
    def truths(self) -> NDArray[np.float64]:
        """float64 [n, 2]: latitude, longitude."""
        return np.array([(query.coordinates.latitude, query.coordinates.longitude) for query in self.queries])

    @cached_property
    def authors(self) -> list[str]:
        """By photo; "" where it is unknown."""
        return [query.author for query in self.queries]

    @cached_property
    def named(self) -> list[Named]:
        """The place of each truth by name."""
        return Gazetteer().nearest_many(self.truths[:, 0], self.truths[:, 1])

    def of(self, ask: Ask) -> list[Outcome]:
        """The outcomes of a way of asking, by photo."""
        return [self.outcomes[ask, query.id] for query in self.queries]

    def distances(self, name: str) -> Distances:
        """How far a row of the tables is off, km by photo; infinity without an answer."""
        if name not in self._distances:
            row = entry(name)
            self._distances[name] = self.off(row.ask, row.place)
        return self._distances[name]

    def off(self, ask: Ask, place: Callable[[Outcome], Place | None]) -> Distances:
        """The same for any reading of the outcomes of a way of asking."""
        return self.kilometres([place(outcome) for outcome in self.of(ask)])

    def kilometres(self, places: list[Place | None]) -> Distances:
        """Geodesic distances to the truths, km by photo; infinity for None."""
        km: Distances = np.full(len(self.queries), np.inf)
        rows = [row for row, place in enumerate(places) if place is not None]
        if rows:
            said = np.array([places[row] for row in rows], dtype=np.float64)
            km[rows] = distances_km(self.truths[rows, 0], self.truths[rows, 1], said[:, 0], said[:, 1])
        return km

    def best(self, ask: Ask, places: Callable[[Outcome], list[Place]]) -> Distances:
        """How far the best of several places is off, known only to who knows the truth."""
        km: Distances = np.full(len(self.queries), np.inf)
        for row, outcome in enumerate(self.of(ask)):
            if found := places(outcome):
                said, (north, east) = np.array(found), self.truths[row]
                km[row] = distances_km(north, east, said[:, 0], said[:, 1]).min()
        return km


def load(path: Path) -> RunData:
    """The run in a folder. Raises Missing where there is none, or no photo is done; Rejected for damaged files."""
    folder = RunFolder(path)
    note = folder.note()
    if note is None:
        raise Missing(f"{path} holds no run: g3-eval run --out {path} makes one.", field="run")
    queries, outcomes = folder.queries(), folder.outcomes()
    asks = [ask for ask in note.asks if ask not in note.refused]
    outcomes |= {key: as_paper(outcome) for key, outcome in outcomes.items() if key[0] in SUPERSETS}
    done = [query for query in queries if all((ask, query.id) in outcomes for ask in asks)]
    if not done or not asks:
        raise Missing(f"{path} has no photo that is done yet: g3-eval run --out {path} goes on.", field="run")
    return RunData(note, done, outcomes, unfinished=len(queries) - len(done))
