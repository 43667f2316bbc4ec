"""Taking photos in: cleaned, stored, bounded."""

import base64
import hashlib
import io
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from g3_kit.errors import Exhausted, NotYet, Rejected, TooLarge
from g3_orchestrator import intake
from g3_orchestrator.blobs import BlobStore
from g3_photo import Limits
from PIL import Image

TENANT = uuid4()


def encoded(size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (10, 120, 200)).save(file, kind)
    return file.getvalue()


def test_a_photo_is_stored_clean_under_its_own_hash(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path.as_uri())
    data = encoded((3000, 100))
    taken = intake.Intake(blobs, limits=Limits(max_aspect_ratio=40)).take(TENANT, data)
    stored = blobs.get(TENANT, taken.ref.sha256)
    assert stored[:2] == b"\xff\xd8"
    assert (taken.ref.width, taken.ref.size_bytes) == (2048, len(stored))
    assert taken.received_sha256 == hashlib.sha256(data).digest()


def test_a_file_over_the_limit_is_too_large_before_anything_reads_it(tmp_path: Path) -> None:
    door = intake.Intake(BlobStore(tmp_path.as_uri()), limits=Limits(max_bytes=100))
    with pytest.raises(TooLarge):
        door.take(TENANT, b"x" * 101)


class HeldBlobs:
    """Blobs whose writes wait for a word."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()

    def put(self, tenant_id: UUID, sha256: str, data: bytes) -> None:
        self.entered.release()
        assert self.go.wait(30)

    def get(self, tenant_id: UUID, sha256: str) -> bytes:
        raise AssertionError("nothing reads here")


def test_beyond_the_bound_callers_are_told_to_wait_and_the_others_get_through() -> None:
    blobs = HeldBlobs()
    door = intake.Intake(blobs, decodes=1, queue=1)
    data = encoded()
    taken: list[intake.TakenPhoto] = []
    threads = [threading.Thread(target=lambda: taken.append(door.take(TENANT, data))) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert blobs.entered.acquire(timeout=30)
    assert blobs.entered.acquire(timeout=30)
    with pytest.raises(Exhausted) as caught:
        door.take(TENANT, data)
    assert caught.value.retry_after_s
    blobs.go.set()
    for thread in threads:
        thread.join(timeout=30)
    assert len(taken) == 2
    assert door.take(TENANT, data).ref == taken[0].ref


def test_base64_is_read_strictly_and_its_size_is_judged_before_decoding() -> None:
    assert intake.from_base64(base64.b64encode(b"abc").decode(), Limits()) == b"abc"
    for wrong in ("a", "####", "YWJj\n", "YW Jj", "é" * 4):
        with pytest.raises(Rejected):
            intake.from_base64(wrong, Limits())
    with pytest.raises(TooLarge):
        intake.from_base64("#" * 1000, Limits(max_bytes=100))


def test_photos_by_url_are_not_there_yet() -> None:
    with pytest.raises(NotYet):
        intake.from_url("https://example.org/photo.jpg")
