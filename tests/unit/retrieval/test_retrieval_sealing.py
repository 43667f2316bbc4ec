"""When milvus-lite is sealed by itself: after a pause, or when many rows are fresh, and again if that fails."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from g3_kit.errors import Unavailable
from g3_retrieval.milvus_sealing import QUIET_S, ROWS, MilvusSealing
from g3_retrieval.references import Version

ONE, OTHER = Version("one", "a" * 64, 8), Version("other", "a" * 64, 8)


class Sealer:
    """Notes what is sealed; fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.sealed: list[Version] = []
        self.called = threading.Semaphore(0)

    def __call__(self, version: Version) -> None:
        try:
            if self.failures:
                self.failures -= 1
                raise Unavailable("the vector store is away")
            self.sealed.append(version)
        finally:
            self.called.release()


@contextmanager
def sealing(sealer: Sealer) -> Iterator[MilvusSealing]:
    with closing(MilvusSealing(sealer)) as made:
        yield made


def test_many_fresh_rows_are_sealed_without_a_pause() -> None:
    sealer = Sealer()
    with sealing(sealer) as made:
        made.written(ONE, ROWS - 1)
        made.written(OTHER, 1)
        made.written(ONE, 1)
        assert sealer.called.acquire(timeout=QUIET_S)
        assert sealer.sealed == [ONE]


def test_a_few_are_sealed_after_a_pause_and_only_once() -> None:
    sealer = Sealer()
    with sealing(sealer) as made:
        made.written(ONE, 1)
        assert sealer.called.acquire(timeout=4 * QUIET_S)
        assert not sealer.called.acquire(timeout=QUIET_S + 1.0)
    assert sealer.sealed == [ONE]


def test_what_was_sealed_or_dropped_meanwhile_is_left_alone() -> None:
    sealer = Sealer()
    with sealing(sealer) as made:
        made.written(ONE, 1)
        made.sealed(ONE)
        assert not sealer.called.acquire(timeout=QUIET_S + 1.0)


def test_a_seal_that_failed_is_tried_again() -> None:
    sealer = Sealer(failures=1)
    with sealing(sealer) as made:
        made.written(ONE, ROWS)
        assert sealer.called.acquire(timeout=4 * QUIET_S)
        assert sealer.called.acquire(timeout=4 * QUIET_S)
        assert sealer.sealed == [ONE]
