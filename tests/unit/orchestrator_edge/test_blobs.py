"""The blob store over folders and over another fsspec backend."""

import hashlib
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from g3_kit.errors import Missing, Rejected, Unavailable
from g3_orchestrator.blobs import BlobStore

TENANT = UUID("0190b5a0-0000-7000-8000-000000000001")
DATA = b"a photo" * 1000
KEY = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["file", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return BlobStore(f"file://{tmp_path}/blobs" if request.param == "file" else f"memory://{uuid4()}")


def test_what_was_put_is_got_back_and_putting_twice_is_harmless(blobs: BlobStore) -> None:
    blobs.put(TENANT, KEY, DATA)
    blobs.put(TENANT, KEY, DATA)
    assert blobs.get(TENANT, KEY) == DATA
    blobs.check()


def test_another_tenant_does_not_see_it(blobs: BlobStore) -> None:
    blobs.put(TENANT, KEY, DATA)
    with pytest.raises(Missing):
        blobs.get(uuid4(), KEY)


def test_deleting_removes_and_may_be_repeated(blobs: BlobStore) -> None:
    blobs.put(TENANT, KEY, DATA)
    blobs.delete(TENANT, KEY)
    blobs.delete(TENANT, KEY)
    with pytest.raises(Missing):
        blobs.get(TENANT, KEY)


@pytest.mark.parametrize("key", ["", "../../etc/passwd", KEY.upper(), KEY[:-1], KEY + "0", KEY[:-1] + "/"])
def test_only_a_sha256_names_a_blob(blobs: BlobStore, key: str) -> None:
    with pytest.raises(Rejected):
        blobs.get(TENANT, key)
    with pytest.raises(Rejected):
        blobs.put(TENANT, key, DATA)


def test_bytes_that_do_not_fit_their_key_are_refused(blobs: BlobStore) -> None:
    with pytest.raises(Rejected):
        blobs.put(TENANT, KEY, DATA + b"!")


def test_damage_is_noticed(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path.as_uri())
    blobs.put(TENANT, KEY, DATA)
    (tmp_path / str(TENANT) / KEY).write_bytes(b"something else")
    with pytest.raises(Unavailable):
        blobs.get(TENANT, KEY)
    # the next submission of the same photo repairs it
    blobs.put(TENANT, KEY, DATA)
    assert blobs.get(TENANT, KEY) == DATA


def test_a_reader_never_sees_half_a_blob(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path.as_uri())
    data = b"x" * 4_000_000
    key = hashlib.sha256(data).hexdigest()
    seen: list[bytes] = []

    def read() -> None:
        while not seen:
            try:
                seen.append(blobs.get(TENANT, key))
            except Missing:
                continue

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    blobs.put(TENANT, key, data)
    for reader in readers:
        reader.join(timeout=30)
    assert seen
    assert all(each == data for each in seen)
    assert [path.name for path in (tmp_path / str(TENANT)).iterdir()] == [key]


def test_a_store_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path.as_uri())
    (tmp_path / str(TENANT)).write_text("a file where a folder must be")
    with pytest.raises(Unavailable) as caught:
        blobs.put(TENANT, KEY, DATA)
    assert str(tmp_path) not in caught.value.message


def test_an_unknown_backend_is_said_at_once() -> None:
    with pytest.raises(Unavailable):
        BlobStore("nonsense://bucket")
