"""Rows that go through a shard together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from g3_kit.errors import G3Error

from g3_ingest.embedder import PhotoVectors
from g3_ingest.photos import Named
from g3_ingest.rows import Row

_REQUEST_BYTES = 32 * 1024 * 1024  # half of what a gRPC message may have


@dataclass
class Batch:
    """Rows on their way and what became of each, by its place."""

    rows: list[Row]
    refused: dict[int, G3Error] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    named: dict[int, Named] = field(default_factory=dict)
    vectors: dict[int, PhotoVectors] = field(default_factory=dict)

    def open(self) -> list[int]:
        """Places of rows of which nothing is decided."""
        return [place for place in range(len(self.rows)) if place not in self.refused and place not in self.held]


def slices(places: Sequence[int], count: int) -> list[Sequence[int]]:
    """About `count` runs of them: a task of its own for each photo would cost more than small photos take."""
    length = max(1, -(-len(places) // count))
    return [places[start : start + length] for start in range(0, len(places), length)]


def parts(places: Sequence[int], batch: Batch) -> Iterator[list[int]]:
    """The photos in calls of at most `_REQUEST_BYTES`."""
    part: list[int] = []
    size = 0
    for place in places:
        length = len(batch.named[place].jpeg)
        if part and size + length > _REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(place)
        size += length
    if part:
        yield part
