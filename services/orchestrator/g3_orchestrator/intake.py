"""The door for photos: bytes as received become a clean JPEG in the blob store, and nothing else goes further."""

import base64
import binascii
import hashlib
import threading
from dataclasses import dataclass
from uuid import UUID

from g3_kit.errors import Exhausted, NotYet, Rejected, TooLarge
from g3_photo import Limits, clean

from g3_orchestrator.model import PhotoRef
from g3_orchestrator.ports import Blobs

LONGEST_SIDE_PX = 2048


@dataclass(frozen=True)
class TakenPhoto:
    """A photo in the blob store: where the cleaned JPEG lies, and the SHA-256 (32 bytes) of the bytes as they came."""

    ref: PhotoRef
    received_sha256: bytes


class Intake:
    """Cleans photos under a bound: a decoded photo of 64 megapixels takes 200 MB, so only a few may be open at once."""

    def __init__(
        self,
        blobs: Blobs,
        *,
        limits: Limits | None = None,
        decodes: int = 2,
        queue: int = 32,
        patience_s: float = 20.0,
    ) -> None:
        """`decodes` photos are open at a time and `queue` more may wait up to `patience_s`; others are turned away."""
        self.limits = limits or Limits()
        self._blobs = blobs
        self._patience_s = patience_s
        self._admitted = threading.BoundedSemaphore(decodes + queue)
        self._decoding = threading.BoundedSemaphore(decodes)

    def take(self, tenant_id: UUID, data: bytes) -> TakenPhoto:
        """Cleans and stores one photo for a tenant.

        Raises Rejected or TooLarge as `g3_photo.clean`, Exhausted when too many are waiting, Unavailable without the
        blob store.
        """
        if len(data) > self.limits.max_bytes:
            raise too_large(self.limits)
        if not self._admitted.acquire(blocking=False):
            raise _full()
        try:
            if not self._decoding.acquire(timeout=self._patience_s):
                raise _full()
            try:
                photo = clean(data, self.limits, longest_side_px=LONGEST_SIDE_PX)
            finally:
                self._decoding.release()
            self._blobs.put(tenant_id, photo.sha256, photo.jpeg)
        finally:
            self._admitted.release()
        ref = PhotoRef(photo.sha256, photo.width, photo.height, len(photo.jpeg))
        return TakenPhoto(ref, hashlib.sha256(data).digest())


def from_base64(text: str, limits: Limits) -> bytes:
    """The bytes that `text` (RFC 4648, standard alphabet, no line breaks) stands for.

    Raises Rejected when it is no base64 and TooLarge, before decoding, when the bytes would be over the limit.
    """
    if len(text) // 4 * 3 > limits.max_bytes + 3:
        raise too_large(limits)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("The photo is not base64 (RFC 4648, standard alphabet).", field="photo") from None


def from_url(url: str) -> bytes:
    """Fetching a photo. Raises NotYet: this release takes the bytes themselves."""
    raise NotYet("Photos by URL are not available yet: send the photo itself.", field="photo_url")


def too_large(limits: Limits) -> TooLarge:
    """The refusal of a photo over `limits.max_bytes`."""
    return TooLarge(f"A photo may have at most {limits.max_bytes / 2**20:.3g} MiB.", field="photo")


def _full() -> Exhausted:
    return Exhausted("Too many photos are being taken in at this moment.", retry_after_s=2)
