"""From a photo's vectors to an answer, by each of the methods that are compared.

Retrieval by one, two or three vectors (the poster's IMG, IMG+GPS, IMG+GPS+TEXT), image→GPS search as GeoCLIP does it,
G3's verification of what was retrieved, and the bounds between which all of them lie.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TypeVar

from g3_kit.errors import G3Error, Mismatch, Unavailable

from g3_evaluation.patience import Patience
from g3_evaluation.query_sets import Query
from g3_evaluation.reference_map import ReferenceMap
from g3_evaluation.services import (
    MAX_TOGETHER,
    Collection,
    Compared,
    Neighbour,
    References,
    Vectors,
    Verifier,
)

RETRIEVED = 20
"""How many references the verification chooses among, and the oracle too."""
_MOST_PLACES = 1_000  # SearchGalleryRequest.k
T = TypeVar("T")


class Method(StrEnum):
    """How a photo is placed. The value names it in JSON; `words` in tables."""

    IMG = "img"
    IMG_GPS = "img_gps"
    IMG_GPS_TEXT = "img_gps_text"
    GALLERY = "gallery"
    CHOSEN = "chosen"
    ORACLE = "oracle"
    RANDOM = "random"
    CEILING = "ceiling"

    @property
    def words(self) -> str:
        """A few words."""
        return _TITLES[self]


_TITLES = {
    Method.IMG: "nearest reference, plain CLIP vector (IMG)",
    Method.IMG_GPS: "nearest reference, CLIP and GPS-aligned (IMG+GPS)",
    Method.IMG_GPS_TEXT: "nearest reference, all three vectors (IMG+GPS+TEXT)",
    Method.GALLERY: "image→GPS search of the references' places",
    Method.CHOSEN: f"best image-GPS similarity among the top {RETRIEVED}",
    Method.ORACLE: f"best of the top {RETRIEVED} (oracle)",
    Method.RANDOM: "a random reference",
    Method.CEILING: "the nearest reference there is (ceiling)",
}
PAIRS = (
    (Method.IMG_GPS, Method.IMG),
    (Method.IMG_GPS_TEXT, Method.IMG_GPS),
    (Method.IMG_GPS_TEXT, Method.IMG),
    (Method.GALLERY, Method.IMG_GPS_TEXT),
    (Method.CHOSEN, Method.IMG_GPS_TEXT),
    (Method.CHOSEN, Method.GALLERY),
)
"""Which methods are compared on the same photos."""

Place = tuple[float, float]
"""Latitude, longitude."""
_COMPARED = {Method.IMG: Compared.CLIP, Method.IMG_GPS: Compared.CLIP_GPS, Method.IMG_GPS_TEXT: Compared.ALL}


@dataclass
class Answers:
    """What each method answered, by photo id; a photo that is not there has no answer."""

    places: dict[Method, dict[str, Place]] = field(default_factory=lambda: {method: {} for method in Method})
    retrieved: dict[str, list[Place]] = field(default_factory=dict)
    """The places of the top 20 by all three vectors."""


class Methods:
    """Asks the services for the answers of every method."""

    def __init__(
        self,
        references: References,
        verifier: Verifier,
        collection: Collection,
        gallery: str,
        known: ReferenceMap,
        *,
        calls: int,
        patience: Patience,
    ) -> None:
        """`known` are the references of `collection`, `gallery` the name of their places' gallery."""
        self._references = references
        self._verifier = verifier
        self._collection = collection
        self._gallery = gallery
        self._known = known
        self._calls = calls
        self._patience = patience

    def answers(
        self, queries: Sequence[Query], vectors: Mapping[str, Vectors], progress: Callable[[int], None]
    ) -> Answers:
        """The answers for the queries that have vectors. `progress` is told of each photo and method done.

        Raises Mismatch, Missing, and Unavailable when a service stays away.
        """
        found = Answers()
        asked = [query for query in queries if query.id in vectors]
        self._retrieve(asked, vectors, found, progress)
        self._search_gallery(asked, vectors, found, progress)
        self._choose(asked, vectors, found, progress)
        return found

    def _retrieve(
        self, asked: Sequence[Query], vectors: Mapping[str, Vectors], found: Answers, progress: Callable[[int], None]
    ) -> None:
        tasks = [
            (method, author, part)
            for method in _COMPARED
            for author, group in self._by_author(asked).items()
            for part in _parts(group)
        ]

        def ask(task: tuple[Method, str, Sequence[Query]]) -> list[list[Neighbour] | G3Error]:
            method, author, part = task
            count = RETRIEVED if method is Method.IMG_GPS_TEXT else 1
            photos = [vectors[query.id] for query in part]
            return self._references.nearest(self._collection, photos, _COMPARED[method], count, author)

        for (method, _, part), outcomes in self._all(tasks, ask):
            for query, outcome in zip(part, _sound(outcomes), strict=True):
                places = [(neighbour.latitude, neighbour.longitude) for neighbour in outcome]
                if places:
                    found.places[method][query.id] = places[0]
                if method is Method.IMG_GPS_TEXT:
                    found.retrieved[query.id] = places
            progress(len(part))

    def _search_gallery(
        self, asked: Sequence[Query], vectors: Mapping[str, Vectors], found: Answers, progress: Callable[[int], None]
    ) -> None:
        barred = {author: self._known.places_of(author) for author in self._by_author(asked)}
        tasks = [(author, part) for author, group in self._by_author(asked).items() for part in _parts(group)]

        def ask(task: tuple[str, Sequence[Query]]) -> list[list[Neighbour] | G3Error]:
            author, part = task
            # One more than may have to be left out: the first that is left is then the best of the others.
            count = min(1 + len(barred[author]), _MOST_PLACES)
            photos = [vectors[query.id] for query in part]
            return self._verifier.search_gallery(self._gallery, photos, count, self._collection.model)

        for (author, part), outcomes in self._all(tasks, ask):
            for query, outcome in zip(part, _sound(outcomes), strict=True):
                places = [(neighbour.latitude, neighbour.longitude) for neighbour in outcome]
                allowed = [place for place in places if place not in barred[author]]
                if allowed:
                    found.places[Method.GALLERY][query.id] = allowed[0]
            progress(len(part))

    def _choose(
        self, asked: Sequence[Query], vectors: Mapping[str, Vectors], found: Answers, progress: Callable[[int], None]
    ) -> None:
        tasks = [query for query in asked if found.retrieved.get(query.id)]

        def ask(query: Query) -> list[float | G3Error]:
            places = found.retrieved[query.id]
            return self._verifier.similarities(vectors[query.id], places, self._collection.model)

        for query, outcomes in self._all(tasks, ask):
            scored = [
                (similarity, -rank, place)
                for rank, (similarity, place) in enumerate(zip(outcomes, found.retrieved[query.id], strict=True))
                if not isinstance(similarity, G3Error)
            ]
            if scored:
                found.places[Method.CHOSEN][query.id] = max(scored)[2]
            progress(1)
        progress(len(asked) - len(tasks))

    def _by_author(self, asked: Sequence[Query]) -> dict[str, list[Query]]:
        """The queries by the author to leave out; "" for those whose author has no reference."""
        groups: dict[str, list[Query]] = defaultdict(list)
        for query in asked:
            groups[query.author if self._known.has_author(query.author) else ""].append(query)
        return groups

    def _all(self, tasks: Sequence[T], ask: "Callable[[T], Outcome]") -> "Iterator[tuple[T, Outcome]]":
        """Each task with its outcome, in the order of the tasks, `calls` of them at a time."""
        with ThreadPoolExecutor(self._calls, "ask") as pool:
            try:
                yield from zip(tasks, pool.map(lambda task: self._patience.ask(partial(ask, task)), tasks), strict=True)
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


Outcome = TypeVar("Outcome")


def _parts(group: Sequence[Query]) -> Iterator[Sequence[Query]]:
    yield from (group[start : start + MAX_TOGETHER] for start in range(0, len(group), MAX_TOGETHER))


def _sound(outcomes: Sequence[list[Neighbour] | G3Error]) -> list[list[Neighbour]]:
    """The neighbours; a photo that could not be asked about has none. Raises what says nothing about the photo."""
    for outcome in outcomes:
        if isinstance(outcome, Unavailable | Mismatch):
            raise outcome
    return [[] if isinstance(outcome, G3Error) else outcome for outcome in outcomes]
