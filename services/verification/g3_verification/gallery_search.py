"""The k nearest of many vectors by inner product: every one is compared, a block at a time."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

# Of float32 that one step works on: 10,922 vectors of width 768. It bounds the memory of a search of any gallery.
_STEP_BYTES = 32 * 1024 * 1024
# float32's worth, as retrieval rounds: places that only rounding tells apart tie, and ties go by row.
_DIGITS = 6


def nearest(
    vectors: NDArray[np.floating], queries: NDArray[np.float32], k: int, check: Callable[[], None] = lambda: None
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """For each query the rows [k] of its most similar vectors and their cosines [k], best first, ties by row.

    `vectors` [n, d] float32 or float16, memory-mapped or not; `queries` [q, d] float32; both of unit length. Products
    are float32. Fewer than k when n < k. `check` is called before each step: what it raises ends the search.
    """
    rows_a_step = max(1, _STEP_BYTES // (4 * vectors.shape[1]))
    best = [_Best(k) for _ in queries]
    for start in range(0, len(vectors), rows_a_step):
        check()
        block = np.asarray(vectors[start : start + rows_a_step], dtype=np.float32)  # [rows, d]
        cosines = np.round(queries @ block.T, _DIGITS)  # [q, rows]
        for one, row in zip(best, cosines, strict=True):
            one.offer(row, start)
    return [(one.rows, np.clip(one.cosines.astype(np.float64), -1.0, 1.0)) for one in best]


class _Best:
    """The best k of what was offered so far, in order."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.rows = np.empty(0, dtype=np.int64)
        self.cosines = np.empty(0, dtype=np.float32)

    def offer(self, cosines: NDArray[np.float32], start: int) -> None:
        """Cosines [n] of the rows from `start`, which come after every row offered before."""
        least = np.float32(-np.inf)
        if len(cosines) > self._k:
            least = np.partition(cosines, -self._k)[-self._k]
        if len(self.rows) == self._k:
            least = max(least, self.cosines[-1])
        found = np.flatnonzero(cosines >= least)
        rows = np.concatenate([self.rows, found + start])
        together = np.concatenate([self.cosines, cosines[found]])
        # Rows come in ascending order within equal cosines, so that a stable sort keeps ties by row.
        order = np.argsort(-together, kind="stable")[: self._k]
        self.rows, self.cosines = rows[order], together[order]
