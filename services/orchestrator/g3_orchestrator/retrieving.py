"""The work of the stage retrieve: the photo's vectors, its references, and the gallery's points when asked."""

from dataclasses import replace

from g3_kit import logs
from g3_kit.errors import Mismatch, Missing, Unavailable

from g3_orchestrator.area import inside
from g3_orchestrator.following import GALLERY
from g3_orchestrator.model import GalleryPoint, Job, Release, Retrieval
from g3_orchestrator.parameters import Parameters
from g3_orchestrator.ports import (
    Blobs,
    Embedder,
    Found,
    GalleryFound,
    GallerySearcher,
    Namer,
    PhotoVectors,
    ReferenceList,
    Searcher,
)
from g3_orchestrator.states import Dissimilar, Strategy

MOST_POINTS = 1_000  # SearchGalleryRequest.k
_log = logs.get("g3_orchestrator.retrieving")


class Retriever:
    """Asks the services. Thread-safe as they are."""

    def __init__(
        self,
        *,
        blobs: Blobs,
        embedder: Embedder,
        searcher: Searcher,
        gallery: GallerySearcher,
        references: ReferenceList,
        namer: Namer,
    ) -> None:
        self._blobs, self._embedder, self._searcher = blobs, embedder, searcher
        self._gallery, self._references, self._namer = gallery, references, namer

    def retrieved(self, job: Job) -> Retrieval:
        """What the job's parameters ask for.

        A gallery that is not there is left out and said so (`Retrieval.left_out`), unless it is all that the strategy
        has. Raises Missing without references, Mismatch when model and collection do not fit, Unavailable, Rejected.
        """
        vectors = self._embedder.embed(self._blobs.get(job.tenant_id, job.photo.sha256))
        found = self._found(vectors, job.parameters)
        release = Release(model=vectors.model, gps=vectors.gps, collection=found.collection)
        retrieval = Retrieval(found.similar, found.dissimilar, vectors.gps_aligned, release)
        if not job.parameters.gallery:
            return retrieval
        try:
            points = self._points(retrieval, job.parameters)
        except Unavailable as error:
            if job.parameters.strategy is Strategy.GALLERY:
                raise
            _log.warning("the gallery is left out", job_id=str(job.job_id), reason=error.message)
            return replace(retrieval, left_out=(GALLERY,))
        return replace(
            retrieval, gallery=self._kept(points.points, release, job.parameters), gallery_set=points.gallery
        )

    def _found(self, vectors: PhotoVectors, parameters: Parameters) -> Found:
        most = max(parameters.references_per_prompt, default=0)
        try:
            found = self._searcher.search(
                vectors,
                parameters,
                # One at least: a job whose LMM is away is answered from what was retrieved.
                similar=max(most, parameters.retrieved_candidates, 1),
                dissimilar=0 if parameters.dissimilar is Dissimilar.NONE else most,
            )
        except Missing as error:
            raise Missing("there are no references to compare the photo with: ingest some (g3 ingest)") from error
        if found.model != vectors.model:
            raise Mismatch("the references were made by another model than the photo's vectors")
        return found

    def _points(self, retrieval: Retrieval, parameters: Parameters) -> GalleryFound:
        release = retrieval.release
        # What the hints or exclusions take away is made up for by what comes behind it.
        count = MOST_POINTS if parameters.hints or _exclusive(parameters) else parameters.gallery
        found = self._gallery.nearest(retrieval.gps_aligned, release.collection, count, release.model)
        if (found.model, found.gps) != (release.model, release.gps):
            raise Mismatch("the gallery was made by another model than the one that the job is pinned to")
        return found

    def _kept(
        self, points: tuple[GalleryPoint, ...], release: Release, parameters: Parameters
    ) -> tuple[GalleryPoint, ...]:
        places = self._namer.nearest_many(
            [point.coordinates.latitude for point in points], [point.coordinates.longitude for point in points]
        )
        kept: list[GalleryPoint] = []
        for point, place in zip(points, places, strict=True):
            if len(kept) == parameters.gallery:
                break
            if inside(parameters.hints, point.coordinates, place) and self._allowed(point, release, parameters):
                kept.append(point)
        return tuple(kept)

    def _allowed(self, point: GalleryPoint, release: Release, parameters: Parameters) -> bool:
        """A point of the gallery is the place of some reference: of one that is not excluded, or it is excluded too."""
        return not _exclusive(parameters) or self._references.allowed_at(
            release.collection, point.coordinates, parameters
        )


def _exclusive(parameters: Parameters) -> bool:
    return bool(parameters.excluded_references or parameters.excluded_authors)
