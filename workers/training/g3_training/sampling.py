"""Which photos are in which batch: a function of seed, epoch and number, so that a resumed run needs no memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sampler:
    """Shuffled epochs over `rows`; a batch is `batch` rows over all processes, what is left at the end is dropped."""

    rows: Rows
    batch: int
    seed: int

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise Rejected("A batch needs at least two photos: a contrast has two sides.", field="batch")
        if len(self.rows) < self.batch:
            raise Rejected(
                f"{len(self.rows)} photos are fewer than one batch of {self.batch}: use a smaller one.", field="batch"
            )

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        return len(self.rows) // self.batch

    def epoch(self, epoch: int) -> Rows:
        """int64 [batches, batch], the epoch's batches in their order."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.rows))
        return self.rows[order[: self.batches * self.batch]].reshape(self.batches, self.batch)


def held_out(place: NDArray[np.int64], keys: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """bool [n]: photos of places kept for validation. `place` int64 [n] into `keys`.

    A place is held out by a hash of its key, so that it is so in every data set and for every number of rows.
    """
    bound = int(share * 2**32)
    out = [int.from_bytes(hashlib.sha256(f"{seed}\0{key}".encode()).digest()[:4], "big") < bound for key in keys]
    chosen: NDArray[np.bool_] = np.array(out, dtype=np.bool_)[place]
    return chosen


def share_of(batch: Rows, rank: int, size: int) -> Rows:
    """This process's part of a batch. Raises Rejected when it cannot be shared evenly."""
    if len(batch) % size:
        raise Rejected(f"A batch of {len(batch)} cannot be shared by {size} processes.", field="batch")
    part = len(batch) // size
    return batch[rank * part : (rank + 1) * part]
