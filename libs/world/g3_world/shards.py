"""A long run in pieces: several processes, in any order, stopped by the first failure."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

from g3_kit.errors import Rejected

Shard = TypeVar("Shard")


def rendered(render: Callable[[Shard], int], shards: Sequence[Shard], jobs: int) -> Iterator[int]:
    """Runs `render` (a function of a module) on every shard with `jobs` processes and yields what each gives.

    Raises `Rejected` for less than one process, and whatever a shard raises.
    """
    if jobs < 1:
        raise Rejected("jobs must be at least 1", field="jobs")
    if min(jobs, len(shards)) <= 1:
        yield from map(render, shards)
        return
    # Spawned, not forked: the caller may hold threads and locks that a fork would copy half-way.
    with ProcessPoolExecutor(min(jobs, len(shards)), mp_context=get_context("spawn")) as pool:
        pending = [pool.submit(render, shard) for shard in shards]
        try:
            for future in as_completed(pending):
                yield future.result()
        finally:
            # One failed shard, or a caller who stops, ends the run: nothing more is begun.
            pool.shutdown(wait=True, cancel_futures=True)
