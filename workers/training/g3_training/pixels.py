"""Photos to the tower's input, in threads beside the model: Pillow leaves the interpreter's lock alone."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from g3_alignment import PhotoPreprocessor, Preprocessing
from g3_kit.errors import Rejected
from numpy.typing import NDArray
from torch import Tensor

from g3_training.sources import PhotoSource, WorldSource

Rows = NDArray[np.int64]


class Block(NamedTuple):
    """Some photos: `rows` that could be read, `pixels` float32 [n, 3, size, size] of them, the others' reasons."""

    rows: Rows
    pixels: Tensor
    faults: dict[int, str]


class PixelLoader:
    """Reads, decodes and preprocesses photos by row."""

    def __init__(self, source: PhotoSource, preprocessing: Preprocessing, threads: int = 0) -> None:
        """`threads` decode; 0 is one for each core."""
        self._source = source
        self._preprocessor = PhotoPreprocessor(preprocessing)
        self._threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="decoder")
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="loader")
        # arrays of the tower's own size need no decoding: one look-up for a whole block
        self._fast = isinstance(source, WorldSource) and source.size == preprocessing.size
        self._table = self._preprocessor.levels

    def block(self, rows: Rows) -> Block:
        """The photos of these rows."""
        if self._fast:
            assert isinstance(self._source, WorldSource)  # noqa: S101 - what `_fast` states
            return Block(rows, self._looked_up(self._source.block(rows)), {})
        read = list(self._pool.map(self._pixels, rows.tolist()))
        kept = [index for index, pixels in enumerate(read) if isinstance(pixels, Tensor)]
        size = self._preprocessor.preprocessing.size
        pixels = [pixels for pixels in read if isinstance(pixels, Tensor)]
        stacked = torch.stack(pixels) if pixels else torch.empty((0, 3, size, size))
        faults = {int(row): why for row, why in zip(rows, read, strict=True) if isinstance(why, str)}
        return Block(rows[kept], stacked, faults)

    def blocks(self, batches: Iterable[Rows]) -> Iterator[Block]:
        """`block` of each, the next one being read while this one is used."""
        ahead: Future[Block] | None = None
        for rows in batches:
            following = self._ahead.submit(self.block, rows)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()

    def close(self) -> None:
        """Ends the threads."""
        self._ahead.shutdown(cancel_futures=True)
        self._pool.shutdown(cancel_futures=True)

    def _pixels(self, row: int) -> Tensor | str:
        try:
            return self._preprocessor.pixels(self._source.photo(row))
        except Rejected as error:
            return error.message

    def _looked_up(self, photos: NDArray[np.uint8]) -> Tensor:
        """uint8 [n, s, s, 3] → float32 [n, 3, s, s]."""
        pixels = np.empty((len(photos), 3, *photos.shape[1:3]), dtype=np.float32)
        for channel in range(3):
            np.take(self._table[channel], photos[..., channel], out=pixels[:, channel])
        return torch.from_numpy(pixels)
