"""Photos to vectors: read, strip, embed, keep; several batches at once, never more of them in memory than in flight."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from g3_kit.errors import G3Error, Mismatch, Unavailable

from g3_evaluation.embeddings import Embeddings, Key
from g3_evaluation.patience import Patience
from g3_evaluation.photos import content_of, digest_of, stripped
from g3_evaluation.query_sets import Query
from g3_evaluation.services import Embedder, Model, Vectors

BATCH = 32


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo without an answer, and why. It counts as a failure at every threshold."""

    id: str
    code: str
    reason: str


@dataclass
class Embedded:
    """What became of the photos of a query set, by id."""

    vectors: dict[str, Vectors] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file that could be read."""
    fresh: int = 0
    """How many were embedded in this run, and not in an earlier one."""


class EmbeddingRun:
    """One pass over the photos of a query set."""

    def __init__(
        self, embedder: Embedder, model: Model, kept: Embeddings, *, calls: int, workers: int, patience: Patience
    ) -> None:
        """At most `calls` calls at a time to the embedder, `workers` threads that read and strip photos."""
        self._embedder = embedder
        self._model = model
        self._kept = kept
        self._calls = calls
        self._workers = workers
        self._patience = patience

    def run(self, queries: Sequence[Query], progress: Callable[[int], None]) -> Embedded:
        """Embeds what is missing. `progress` is told how many more photos are done.

        Raises Mismatch when the served model changes meanwhile, Unavailable when the service stays away.
        """
        done = Embedded()
        with ThreadPoolExecutor(self._workers, "read") as reading, ThreadPoolExecutor(self._calls, "embed") as calling:
            flying: deque[Future[_Landed]] = deque()
            try:
                for batch in _batches(queries, min(BATCH, self._model.max_items)):
                    flying.append(calling.submit(self._land, batch, reading))
                    # One batch waits behind each call, so that no call waits for a disk.
                    if len(flying) > 2 * self._calls:
                        self._collect(flying.popleft(), done, progress)
                while flying:
                    self._collect(flying.popleft(), done, progress)
            except BaseException:
                for future in flying:
                    future.cancel()
                raise
        return done

    def _collect(self, future: "Future[_Landed]", done: Embedded, progress: Callable[[int], None]) -> None:
        landed = future.result()
        # Here and not in the threads of the calls: one writer.
        self._kept.keep(landed.fresh)
        done.fresh += len(landed.fresh)
        done.vectors |= landed.vectors
        done.digests |= landed.digests
        done.failures |= {failure.id: failure for failure in landed.failures}
        progress(len(landed.vectors) + len(landed.failures))

    def _land(self, batch: Sequence[Query], reading: ThreadPoolExecutor) -> "_Landed":
        landed = _Landed()
        prepared = [(query, reading.submit(self._prepared, query)) for query in batch]
        asked: list[tuple[Key, bytes]] = []
        for query, future in prepared:
            try:
                digest, jpeg = future.result()
            except G3Error as error:
                landed.failures.append(Failure(query.id, error.code, error.message))
                continue
            landed.digests[query.id] = digest
            held = self._kept.get((query.id, digest))
            if held is not None:
                landed.vectors[query.id] = held
            else:
                asked.append(((query.id, digest), jpeg))
        if asked:
            self._embed(asked, landed)
        return landed

    def _prepared(self, query: Query) -> tuple[str, bytes]:
        """The digest of the file and what is sent of it; nothing when it was embedded before."""
        content = content_of(query.path)
        digest = digest_of(content)
        return digest, b"" if self._kept.get((query.id, digest)) is not None else stripped(content)

    def _embed(self, asked: Sequence[tuple[Key, bytes]], landed: "_Landed") -> None:
        call = partial(self._embedder.embed, [jpeg for _, jpeg in asked], self._model.fingerprint)
        for (key, _), outcome in zip(asked, self._patience.ask(call), strict=True):
            if isinstance(outcome, Unavailable | Mismatch):
                raise outcome  # it says nothing about the photo
            if isinstance(outcome, G3Error):
                landed.failures.append(Failure(key[0], outcome.code, outcome.message))
            else:
                landed.vectors[key[0]] = landed.fresh[key] = outcome


@dataclass
class _Landed:
    vectors: dict[str, Vectors] = field(default_factory=dict)
    fresh: dict[Key, Vectors] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)


def _batches(queries: Sequence[Query], size: int) -> Iterator[Sequence[Query]]:
    yield from (queries[start : start + size] for start in range(0, len(queries), size))
