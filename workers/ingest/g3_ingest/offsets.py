"""Where each row of a source lies: made once for a source, kept beside others in a folder, mapped into memory.

Making it also finds what only the whole source shows: ids that repeat, photos that are missing, and photos that are
the same byte for byte. For the last, 64 bytes from the middle of each photo are read, and whole photos only where two
agree in these and in their length.
"""

import fcntl
import hashlib
import os
import shutil
import tarfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import NDArray

_PROBE = 64
PLACEHOLDER_SEEN = 3
"""So many identical photos are no photographs but what stands in their place."""
PLACEHOLDER_BYTES = 5_120
"""Of photos this small two are enough: those of Flickr's "no longer available" picture."""

ROW = np.dtype(
    [("at", "<u8"), ("size", "<u4"), ("archive", "<i4"), ("offset", "<u8"), ("bytes", "<u4"), ("flaw", "u1")]
)
"""A row of the table: its bytes there, its photo's bytes in an archive (or the length of its file), its flaw."""


class Flaw(IntEnum):
    """What the whole source shows of a row."""

    NONE = 0
    REPEATED = 1
    MISSING = 2
    DUPLICATE = 3
    PLACEHOLDER = 4


@dataclass(frozen=True)
class Photos:
    """Photos by a key of their name: `key` uint64 ascending, and where each lies."""

    key: NDArray[np.uint64]
    archive: NDArray[np.int32]
    offset: NDArray[np.uint64]
    bytes: NDArray[np.uint32]


def key_of(name: str) -> int:
    """64 bits of a name."""
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def archive_key(name: str) -> int:
    """The key of an id or a member: MP16-Pro writes the slashes of ids as underscores in names of files."""
    return key_of(name.strip("/").replace("/", "_"))


def photos_in(archives: Sequence[Path], check: Callable[[], None]) -> Photos:
    """Every file of the tar archives, under its name and under its whole path. Raises Rejected for a broken one."""
    key, archive, offset, size = array("Q"), array("i"), array("Q"), array("I")
    for number, path in enumerate(archives):
        try:
            with tarfile.open(path, "r:") as tar:
                while (member := tar.next()) is not None:
                    if member.isfile():
                        names = {archive_key(member.name), archive_key(member.name.rpartition("/")[2])}
                        for found in names:
                            key.append(found)
                            archive.append(number)
                            offset.append(member.offset_data)
                            size.append(member.size)
                    if len(tar.members) >= 1000:  # type: ignore[attr-defined] # not in the stubs
                        # The list of all members is not needed and would fill the memory.
                        tar.members.clear()  # type: ignore[attr-defined]
                        check()
        except (tarfile.TarError, OSError):
            raise Rejected(f"{path.name} is no whole, uncompressed tar archive", field="source") from None
    keys = np.frombuffer(key, np.uint64) if key else np.zeros(0, np.uint64)
    order = np.argsort(keys, kind="stable")

    def taken(column: "array[int]", kind: Any) -> Any:
        return np.frombuffer(column, kind)[order] if column else np.zeros(0, kind)

    return Photos(keys[order], taken(archive, np.int32), taken(offset, np.uint64), taken(size, np.uint32))


def flag_repeated(rows: NDArray[np.void], ids: NDArray[np.uint64]) -> None:
    """Flags every row whose id stands in an earlier one."""
    order = np.argsort(ids, kind="stable")
    again = order[1:][ids[order[1:]] == ids[order[:-1]]]
    rows["flaw"][again] = Flaw.REPEATED


def flag_identical(rows: NDArray[np.void], part: Callable[[int, int, int], bytes], check: Callable[[], None]) -> None:
    """Flags photos that are the same as an earlier one, and placeholders. `part(row, at, size)` reads a photo."""
    sound = np.flatnonzero((rows["flaw"] == Flaw.NONE) & (rows["bytes"] > 0))
    probes = np.zeros(len(sound), np.uint64)
    for place, row in enumerate(sound.tolist()):
        size = int(rows["bytes"][row])
        probe = part(row, max(0, size // 2 - _PROBE // 2), min(_PROBE, size))
        probes[place] = int.from_bytes(hashlib.blake2b(probe + size.to_bytes(8, "little"), digest_size=8).digest())
        if place % 1000 == 0:
            check()
    for alike in _groups(probes, sound):
        whole: dict[bytes, list[int]] = {}
        for row in alike:
            digest = hashlib.sha256(part(row, 0, int(rows["bytes"][row]))).digest()
            whole.setdefault(digest, []).append(row)
        for same in whole.values():
            _flag(rows, sorted(same))


def _groups(probes: NDArray[np.uint64], rows: NDArray[np.int64]) -> Iterator[list[int]]:
    """Rows whose probes agree, where at least two do."""
    order = np.argsort(probes, kind="stable")
    bounds = np.flatnonzero(np.diff(probes[order])) + 1
    for group in np.split(order, bounds):
        if len(group) > 1:
            yield rows[group].tolist()


def _flag(rows: NDArray[np.void], same: list[int]) -> None:
    if len(same) < 2:
        return
    small = int(rows["bytes"][same[0]]) <= PLACEHOLDER_BYTES
    if small or len(same) >= PLACEHOLDER_SEEN:
        rows["flaw"][same] = Flaw.PLACEHOLDER
    else:
        rows["flaw"][same[1:]] = Flaw.DUPLICATE


def fingerprint(paths: Sequence[Path], *more: str) -> str:
    """SHA-256 (hex) over names, sizes and times of change of files. Raises Rejected for one that cannot be seen."""
    digest = hashlib.sha256(b"g3 ingest source 1")
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            raise Rejected(f"{path} cannot be read", field="source") from None
        digest.update(f"{path.name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="surrogatepass"))
    for text in more:
        digest.update(f"{text}\0".encode(errors="surrogatepass"))
    return digest.hexdigest()


def kept(cache: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; what `make` writes into it appears at once or not at all, and is made once."""
    cache.mkdir(parents=True, exist_ok=True)
    done = cache / name
    with _alone(cache / f"{name}.lock"):
        if not done.is_dir():
            part = cache / f".{name}.{os.getpid()}.part"
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            try:
                make(part)
                part.replace(done)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return done


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
