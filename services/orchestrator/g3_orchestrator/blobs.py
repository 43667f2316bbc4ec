"""Where cleaned photos lie: any fsspec URL, one object `tenant/sha256` for each photo of a tenant."""

import hashlib
import os
import re
import tempfile
from pathlib import Path
from uuid import UUID

import fsspec
from g3_kit.errors import Missing, Rejected, Unavailable

_SHA256 = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Photos by tenant and SHA-256. Safe to use from many threads; an object is whole or absent, never half there."""

    def __init__(self, url: str) -> None:
        """`url` names a folder or bucket: `file:///var/lib/g3/blobs`, `s3://bucket/prefix`, `memory://blobs`.

        Raises Unavailable when the place cannot be opened or made.
        """
        try:
            self._files, root = fsspec.core.url_to_fs(url)
            self._local = "file" in _protocols(self._files)
            self._root = str(root).rstrip("/")
            if self._local:
                Path(self._root).mkdir(parents=True, exist_ok=True)
        except Exception as error:  # every backend has exceptions of its own
            raise Unavailable("The blob store cannot be opened: is G3_BLOB_URL right?") from error

    def put(self, tenant_id: UUID, sha256: str, data: bytes) -> None:
        """Stores `data`, whose SHA-256 is `sha256`; a repeat is harmless.

        Raises Rejected for a key that is none and Unavailable when the store is away or full.
        """
        path = self._path(tenant_id, sha256)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Rejected("The blob's key must be the SHA-256 of its bytes.")
        try:
            if self._local:
                _write_whole(Path(path), data)
            else:
                # object stores make an object visible only once it is whole
                self._files.pipe_file(path, data)
        except Exception as error:
            raise Unavailable("The blob store cannot be written.", retry_after_s=5) from error

    def get(self, tenant_id: UUID, sha256: str) -> bytes:
        """The bytes stored under the key.

        Raises Missing when there are none and Unavailable when the store is away or gives back other bytes.
        """
        path = self._path(tenant_id, sha256)
        try:
            data = bytes(self._files.cat_file(path))
        except FileNotFoundError:
            raise Missing("The photo is not stored (any more).") from None
        except Exception as error:
            raise Unavailable("The blob store cannot be read.", retry_after_s=5) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Unavailable("The stored photo is damaged.")
        return data

    def delete(self, tenant_id: UUID, sha256: str) -> None:
        """Removes the object; one that is gone already is fine. Raises Unavailable when the store is away."""
        path = self._path(tenant_id, sha256)
        try:
            self._files.rm_file(path)
        except FileNotFoundError:
            return
        except Exception as error:
            raise Unavailable("The blob store cannot be written.", retry_after_s=5) from error

    def check(self) -> None:
        """One look at the store. Raises Unavailable when photos could not be stored now."""
        try:
            well = os.access(self._root, os.W_OK | os.X_OK) if self._local else self._files.exists(self._root) in (0, 1)
        except Exception as error:
            raise Unavailable("The blob store is away.") from error
        if not well:
            raise Unavailable("The blob folder cannot be written.")

    def _path(self, tenant_id: UUID, sha256: str) -> str:
        # whatever else is put here cannot leave the tenant's folder
        if not _SHA256.fullmatch(sha256):
            raise Rejected("A blob is named by a SHA-256 in lower-case hexadecimal.")
        return f"{self._root}/{UUID(str(tenant_id))}/{sha256}"


def _protocols(files: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _write_whole(path: Path, data: bytes) -> None:
    """Written beside its place, synced, then renamed: a crash leaves the old state or the new one."""
    if path.exists() and path.stat().st_size == len(data):
        return
    path.parent.mkdir(exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
