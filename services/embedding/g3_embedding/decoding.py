"""Photos to pixels, in a pool beside the model."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import g3_photo
from g3_kit import logs
from g3_kit.errors import G3Error
from PIL.Image import Image

from g3_embedding.encoder import Floats

log = logs.get(__name__)


class Decoder:
    """Threads that decode: Pillow leaves the interpreter's lock alone while it decodes and resizes.

    It holds no bound of its own: every photo here has a slot in the batcher, which is bounded.
    """

    def __init__(
        self, pixels: Callable[[Image], Floats], *, threads: int = 0, limits: g3_photo.Limits | None = None
    ) -> None:
        """`pixels` preprocesses a photo, `threads` decode (0: one for each core), `limits` are the photos'."""
        self._pixels = pixels
        self._limits = limits or g3_photo.Limits()
        self._pool = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="decoder")

    def submit(self, photo: bytes, wanted: Callable[[], bool], done: Callable[[Floats | G3Error], None]) -> None:
        """Decode `photo` (an encoded file) and call `done`, in the pool, with pixels or what is wrong with it.

        `wanted` is asked first: a photo nobody waits for any more is not decoded, and `done` not called.
        """
        self._pool.submit(self._decode, photo, wanted, done)

    def close(self) -> None:
        """Finish what was submitted, then stop the threads."""
        self._pool.shutdown()

    def _decode(self, photo: bytes, wanted: Callable[[], bool], done: Callable[[Floats | G3Error], None]) -> None:
        if not wanted():
            return
        try:
            result: Floats | G3Error = self._pixels(g3_photo.read(photo, self._limits))
        except G3Error as error:
            result = error
        except Exception:
            # A caller waits for this photo: whatever the decoder's bug, it gets an answer and the log the trace.
            log.exception("decoding failed")
            result = G3Error("The photo could not be decoded; the server's log says why.")
        done(result)
