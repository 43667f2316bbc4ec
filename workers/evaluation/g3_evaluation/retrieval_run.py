"""A query set against a reference collection: from photos to a report of retrieval quality."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from g3_geography import distances_km
from g3_kit.errors import Mismatch, NotYet, Unavailable

from g3_evaluation import report_files
from g3_evaluation.embedding_run import Embedded, EmbeddingRun
from g3_evaluation.embeddings import Embeddings
from g3_evaluation.methods import PAIRS, Answers, Method, Methods
from g3_evaluation.metrics import Distances, accuracy, difference
from g3_evaluation.patience import Patience
from g3_evaluation.photos import identical
from g3_evaluation.query_sets import Query, QuerySet
from g3_evaluation.reference_map import ReferenceMap
from g3_evaluation.report import Paired, RetrievalReport
from g3_evaluation.services import Collection, Embedder, GalleryState, Model, Recall, References, Verifier

Progress = Callable[[str, int, int], None]
"""Told of a step: its name, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Services:
    """What is asked."""

    embedder: Embedder
    references: References
    verifier: Verifier


@dataclass(frozen=True)
class Ways:
    """How: calls in flight, threads that read photos, the seed of chance and bootstrap, and how long to wait."""

    calls: int = 2
    workers: int = 2
    seed: int = 0
    recall_sample: int = 200
    """Stored photos that the recall is measured by; 0: it is not."""
    patience: Patience = field(default_factory=Patience)


class RetrievalRun:
    """One evaluation. Run it again in the same folder to go on: photos embedded before are not embedded again."""

    def __init__(self, services: Services, folder: Path, ways: Ways, progress: Progress) -> None:
        """Keeps vectors and report in `folder`."""
        self._services = services
        self._folder = folder
        self._ways = ways
        self._progress = progress
        self._seconds: dict[str, float] = {}

    def run(self, queries: QuerySet, collection: str) -> RetrievalReport:
        """Evaluates and writes the report.

        Raises Mismatch when collection and embedding service are of different models, Missing for no such collection,
        Rejected for an empty one, Unavailable when a service stays away.
        """
        services, ask = self._services, self._ways.patience.ask
        model = ask(services.embedder.model)
        version = ask(lambda: services.references.describe(collection))
        if version.model != model.fingerprint:
            raise Mismatch(
                f"Collection {version.name} holds vectors of model {version.model[:12]} and the embedding service "
                f"serves {model.fingerprint[:12]}: name a collection of that model with --collection.",
                field="collection",
            )
        with self._timed("references"):
            known = ask(lambda: self.known(version))
        with self._timed("gallery"):
            gallery = self.gallery(version, known)
        with self._timed("embedding"):
            embedded = self._embed(queries.queries, model)
        with self._timed("methods"):
            answers = self._answers(queries.queries, version, known, embedded)
        with self._timed("recall"):
            recall, absent = self._recall(version)
        distances = self._distances(queries.queries, known, answers)
        report = RetrievalReport(
            query_set=queries.name,
            n=len(queries.queries),
            model=model,
            collection=version,
            gallery=gallery,
            accuracy={method: accuracy(distances[method]) for method in Method},
            differences=self._differences(queries.queries, distances),
            recall=recall,
            recall_absent=absent,
            failures=[embedded.failures[query.id] for query in queries.queries if query.id in embedded.failures],
            excluded=queries.excluded,
            identical=identical(embedded.digests),
            authors=len({query.author for query in queries.queries} - {""}),
            shared_authors=len({query.author for query in queries.queries if known.has_author(query.author)}),
            seed=self._ways.seed,
            seconds=self._seconds,
        )
        report_files.write(self._folder, report, queries.queries, answers, distances)
        return report

    def known(self, version: Collection) -> ReferenceMap:
        """Where the references of a version lie. Raises Rejected when there are none."""
        done = 0

        def pages() -> Iterator[object]:
            nonlocal done
            for page in self._services.references.listed(version.name):
                done += len(page.authors)
                self._progress("references", done, version.count)
                yield page

        return ReferenceMap.of(pages())  # type: ignore[arg-type]

    def gallery(self, version: Collection, known: ReferenceMap) -> GalleryState:
        """Puts the places of a version into the gallery of its name and waits until it can be searched.

        Raises Unavailable when its vectors make no progress for as long as patience lasts.
        """
        verifier, ask = self._services.verifier, self._ways.patience.ask
        standing = ask(lambda: verifier.put_gallery(version.name, [(known.latitudes, known.longitudes)]))
        moved, ends = standing.embedded, time.monotonic() + self._ways.patience.total_s
        while standing.embedded < standing.count:
            self._progress("gallery", standing.embedded, standing.count)
            time.sleep(0.1)
            standing = ask(lambda: verifier.gallery(version.name))
            if standing.embedded > moved:
                moved, ends = standing.embedded, time.monotonic() + self._ways.patience.total_s
            elif time.monotonic() > ends:
                raise Unavailable(f"The gallery {version.name} makes no progress. {standing.problem}".strip())
        self._progress("gallery", standing.count, standing.count)
        return standing

    def _embed(self, queries: Sequence[Query], model: Model) -> Embedded:
        kept = Embeddings(self._folder / "embeddings", model.fingerprint)
        run = EmbeddingRun(
            self._services.embedder,
            model,
            kept,
            calls=self._ways.calls,
            workers=self._ways.workers,
            patience=self._ways.patience,
        )
        done = 0

        def more(photos: int) -> None:
            nonlocal done
            done += photos
            self._progress("embedding", done, len(queries))

        return run.run(queries, more)

    def _answers(
        self, queries: Sequence[Query], version: Collection, known: ReferenceMap, embedded: Embedded
    ) -> Answers:
        methods = Methods(
            self._services.references,
            self._services.verifier,
            version,
            version.name,
            known,
            calls=self._ways.calls,
            patience=self._ways.patience,
        )
        done, total = 0, 5 * len(embedded.vectors)

        def more(photos: int) -> None:
            nonlocal done
            done += photos
            self._progress("methods", done, total)

        answers = methods.answers(queries, embedded.vectors, more)
        drawn = zip(queries, known.random_places(queries, self._ways.seed), strict=True)
        answers.places[Method.RANDOM] = {query.id: place for query, place in drawn if place is not None}
        return answers

    def _distances(self, queries: Sequence[Query], known: ReferenceMap, answers: Answers) -> dict[Method, Distances]:
        distances = {method: _km(queries, answers.places[method]) for method in Method}
        distances[Method.ORACLE] = _best_km(queries, answers.retrieved)
        distances[Method.CEILING] = known.nearest_km(queries)
        return distances

    def _differences(self, queries: Sequence[Query], distances: dict[Method, Distances]) -> list[Paired]:
        authors = [query.author for query in queries]
        return [
            Paired(
                better,
                worse,
                difference(distances[better], distances[worse], authors, seed=self._ways.seed),
            )
            for better, worse in PAIRS
        ]

    def _recall(self, version: Collection) -> tuple[Recall | None, str]:
        if not self._ways.recall_sample:
            return None, "not asked for"
        self._progress("recall", 0, 1)
        try:
            recall = self._ways.patience.ask(
                lambda: self._services.references.recall(version, self._ways.seed, self._ways.recall_sample)
            )
        except NotYet as error:
            return None, error.message
        self._progress("recall", 1, 1)
        return recall, ""

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._seconds[step] = round(time.monotonic() - began, 2)


def _km(queries: Sequence[Query], places: dict[str, tuple[float, float]]) -> Distances:
    """How far each answer is off, infinity where there is none."""
    km = np.full(len(queries), np.inf)
    rows = [row for row, query in enumerate(queries) if query.id in places]
    if rows:
        truth = np.array([(queries[row].coordinates.latitude, queries[row].coordinates.longitude) for row in rows])
        found = np.array([places[queries[row].id] for row in rows])
        km[rows] = distances_km(truth[:, 0], truth[:, 1], found[:, 0], found[:, 1])
    return km


def _best_km(queries: Sequence[Query], retrieved: dict[str, list[tuple[float, float]]]) -> Distances:
    """How far the best of what was retrieved is off."""
    km = np.full(len(queries), np.inf)
    for row, query in enumerate(queries):
        if places := retrieved.get(query.id):
            found, where = np.array(places), query.coordinates
            km[row] = distances_km(where.latitude, where.longitude, found[:, 0], found[:, 1]).min()
    return km
