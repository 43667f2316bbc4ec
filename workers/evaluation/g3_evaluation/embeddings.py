"""Vectors of photos, kept as they come: a run that was killed embeds only what is missing.

A folder for each model; in it a file for each batch, written whole or not at all. A photo is known by its id and the
SHA-256 of its bytes, so that one that was replaced is embedded again.
"""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from g3_evaluation.services import Vectors

Key = tuple[str, str]
"""A photo's id and the SHA-256 (hex) of its file."""


class Embeddings:
    """The vectors by one model in one folder."""

    def __init__(self, folder: Path, model: str) -> None:
        """Reads what is there; a damaged file counts as absent and is removed."""
        self._folder = folder / model[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._vectors: dict[Key, Vectors] = {}
        for part in self._folder.glob(".*.part"):
            part.unlink(missing_ok=True)
        for file in sorted(self._folder.glob("*.npz")):
            try:
                self._vectors |= _read(file)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                file.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._vectors)

    def get(self, key: Key) -> Vectors | None:
        """The vectors of a photo, float32 [3, d]; None when they are not there."""
        return self._vectors.get(key)

    def keep(self, batch: Mapping[Key, Vectors]) -> None:
        """Writes a batch durably."""
        if not batch:
            return
        name = hashlib.sha256("\n".join(f"{id_} {digest}" for id_, digest in batch).encode()).hexdigest()[:16]
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".", suffix=".part", delete=False) as draft:
            np.savez(
                draft,
                ids=np.array([id_ for id_, _ in batch]),
                digests=np.array([digest for _, digest in batch]),
                vectors=np.stack(list(batch.values())),
            )
            draft.flush()
            os.fsync(draft.fileno())
        Path(draft.name).replace(self._folder / f"{name}.npz")
        self._vectors |= batch


def _read(file: Path) -> dict[Key, Vectors]:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as held:
        ids, digests, vectors = held["ids"].tolist(), held["digests"].tolist(), held["vectors"]
    if not (len(ids) == len(digests) == len(vectors)) or vectors.ndim != 3 or not np.isfinite(vectors).all():
        raise ValueError("rows that do not fit together")
    return dict(zip(zip(ids, digests, strict=True), vectors.astype(np.float32), strict=True))
