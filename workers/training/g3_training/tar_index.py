"""Where the files of a tar archive lie in it, so that each is read in place. Reads the headers once, in order."""

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from g3_kit.errors import Missing, Rejected
from numpy.typing import NDArray

from g3_training.writing import replacing


@dataclass(frozen=True)
class TarIndex:
    """The regular files of an archive: `names`, `offsets` and `sizes` int64 [n] in bytes, in the archive's order."""

    names: list[str]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, archive: Path, folder: Path | None = None) -> "TarIndex":
        """The index of `archive`, from `folder` if it was kept there and the archive is still the same.

        Raises Missing for no such file, Rejected for one that is no plain tar archive (a compressed one cannot be
        read in place) or is cut short.
        """
        try:
            stat = archive.stat()
        except FileNotFoundError:
            raise Missing(f"There is no archive {archive.name}.", field="tar") from None
        state = f"{archive.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
        kept = folder / f"tar-{hashlib.sha256(state.encode()).hexdigest()[:16]}.npz" if folder else None
        if kept is not None and kept.exists():
            with np.load(kept, allow_pickle=False) as arrays:
                names = bytes(arrays["names"]).decode().split("\0") if len(arrays["offsets"]) else []
                return cls(names, arrays["offsets"], arrays["sizes"])
        index = cls._read(archive, stat.st_size)
        if kept is not None:
            names_bytes = np.frombuffer("\0".join(index.names).encode(), dtype=np.uint8)
            with replacing(kept) as draft, draft.open("wb") as file:
                np.savez(file, names=names_bytes, offsets=index.offsets, sizes=index.sizes)
        return index

    @classmethod
    def _read(cls, archive: Path, size: int) -> "TarIndex":
        names, places = list[str](), list[tuple[int, int]]()
        try:
            with tarfile.open(archive, mode="r:") as tar:
                while (member := tar.next()) is not None:
                    # tarfile remembers every member it has seen, gigabytes for millions
                    tar.members.clear()  # type: ignore[attr-defined]
                    if member.isfile():
                        names.append(member.name)
                        places.append((member.offset_data, member.size))
        except tarfile.TarError as error:
            raise Rejected(f"{archive.name} is no plain tar archive: {error}.", field="tar") from None
        if places and places[-1][0] + places[-1][1] > size:
            raise Rejected(f"{archive.name} is cut short: fetch it again.", field="tar")
        table = np.array(places, dtype=np.int64).reshape(-1, 2)
        return cls(names, table[:, 0], table[:, 1])
