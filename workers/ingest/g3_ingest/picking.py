"""Which photos are left out of a shard although nothing is wrong with them: there is the same one already."""

import numpy as np
from g3_kit.errors import Rejected
from numpy.typing import NDArray

from g3_ingest.embedder import PhotoVectors
from g3_ingest.photos import Named
from g3_ingest.references import References
from g3_ingest.rows import Duplicate, NearDuplicate
from g3_ingest.stages import Plan, Spec


class Picking:
    """Remembers one shard since its last takeover: the digests of its cleaned photos, and their vectors if asked to.

    What it remembers only grows, so that a row that an attempt has written is never left out by a later one. Not
    thread-safe.
    """

    def __init__(self, spec: Spec, references: References, plan: Plan) -> None:
        """`spec` says from which cosine on two photos are the same, and whether the collection is asked, too."""
        self._spec = spec
        self._references = references
        self._plan = plan
        self._pictures: set[bytes] = set()
        self._seen: NDArray[np.float32] | None = None
        self._count = 0

    def same_picture(self, photo: Named) -> Rejected | None:
        """Why a cleaned photo is left out: its pixels came before; None when they did not."""
        if not photo.jpeg:
            return None
        if photo.sha256 in self._pictures:
            return Duplicate("another photo of the shard has the same pixels")
        self._pictures.add(photo.sha256)
        return None

    def near_duplicate(self, id_: str, vectors: PhotoVectors) -> Rejected | None:
        """Why a photo is left out: another is nearly the same; None when there is none, or nobody wants to know.

        Raises Unavailable: ask again. A cosine is the mean over the three vectors.
        """
        least = self._spec.near_duplicate
        if not least:
            return None
        if self._spec.near_duplicate_in_collection:
            nearest = self._references.nearest(self._plan.collection, self._plan.model, vectors, id_)
            if nearest >= least:
                return NearDuplicate(f"a reference of the collection is the same to a cosine of {least:g}")
        whole = np.frombuffer(vectors.clip + vectors.text_aligned + vectors.gps_aligned, "<f4")
        if self._seen is not None and float(np.max(self._seen[: self._count] @ whole)) / 3 >= least:
            return NearDuplicate(f"another photo of the shard is the same to a cosine of {least:g}")
        self._remember(whole)
        return None

    def _remember(self, whole: NDArray[np.float32]) -> None:
        if self._seen is None or self._count == len(self._seen):
            grown = np.zeros((max(256, 2 * self._count), len(whole)), np.float32)
            if self._seen is not None:
                grown[: self._count] = self._seen
            self._seen = grown
        self._seen[self._count] = whole
        self._count += 1
