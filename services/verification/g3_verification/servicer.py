"""VerificationService: converts, calls, converts."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import chain

import grpc
import numpy as np
from g3_kit.errors import G3Error, Rejected
from g3_protos.geography.v1 import geography_pb2
from g3_protos.vector.v1 import vector_pb2
from g3_protos.verification.v1 import verification_pb2, verification_pb2_grpc
from numpy.typing import NDArray
from prometheus_client import Counter

from g3_verification.galleries import Found, Galleries
from g3_verification.gallery import Gallery
from g3_verification.scorer import Model
from g3_verification.verification import Verification

SERVICE_NAME = verification_pb2.DESCRIPTOR.services_by_name["VerificationService"].full_name

_CANDIDATES = Counter("g3_verification_candidates_total", "Candidates by what became of them.", ["outcome"])
_GALLERY_COORDINATES = Counter(
    "g3_verification_gallery_coordinates_total", "Coordinates put into galleries by what became of them.", ["outcome"]
)


class VerificationServicer(verification_pb2_grpc.VerificationServiceServicer):
    """The room's public face."""

    def __init__(self, verification: Verification, galleries: Galleries) -> None:
        """`verification` and `galleries` do the work."""
        self._verification = verification
        self._galleries = galleries

    def Score(
        self, request: verification_pb2.ScoreRequest, context: grpc.ServicerContext
    ) -> verification_pb2.ScoreResponse:
        """Cosines of the candidates, or the errors of single ones."""
        outcomes = self._verification.score(
            request.gps_aligned.values,
            request.gps_aligned.dimension,
            [(candidate.latitude, candidate.longitude) for candidate in request.candidates],
            request.model,
        )
        refused = sum(isinstance(outcome, G3Error) for outcome in outcomes)
        _CANDIDATES.labels("refused").inc(refused)
        _CANDIDATES.labels("scored").inc(len(outcomes) - refused)
        return verification_pb2.ScoreResponse(
            scores=[_score(outcome) for outcome in outcomes], fingerprint=_fingerprint(self._verification.model)
        )

    def DescribeModel(
        self, request: verification_pb2.DescribeModelRequest, context: grpc.ServicerContext
    ) -> verification_pb2.DescribeModelResponse:
        """Which model is served."""
        model = self._verification.model
        return verification_pb2.DescribeModelResponse(
            fingerprint=_fingerprint(model),
            dimension=model.dimension,
            configuration=model.configuration,
            device=model.device,
        )

    def PutGallery(
        self, request_iterator: Iterator[verification_pb2.PutGalleryRequest], context: grpc.ServicerContext
    ) -> verification_pb2.PutGalleryResponse:
        """Keeps the coordinates of the whole stream."""
        first = next(request_iterator, verification_pb2.PutGalleryRequest())
        put = self._galleries.put(first.gallery, _pages(first, request_iterator))
        _GALLERY_COORDINATES.labels("refused").inc(put.refused)
        _GALLERY_COORDINATES.labels("kept").inc(put.received - put.refused)
        return verification_pb2.PutGalleryResponse(
            gallery=_gallery(put.gallery),
            received=put.received,
            refused=put.refused,
            errors={place: _item_error(error) for place, error in put.errors.items()},
        )

    def DescribeGallery(
        self, request: verification_pb2.DescribeGalleryRequest, context: grpc.ServicerContext
    ) -> verification_pb2.DescribeGalleryResponse:
        """States a gallery."""
        return verification_pb2.DescribeGalleryResponse(gallery=_gallery(self._galleries.describe(request.gallery)))

    def ListGalleries(
        self, request: verification_pb2.ListGalleriesRequest, context: grpc.ServicerContext
    ) -> verification_pb2.ListGalleriesResponse:
        """Lists them."""
        return verification_pb2.ListGalleriesResponse(
            galleries=[_gallery(gallery) for gallery in self._galleries.galleries()]
        )

    def DropGallery(
        self, request: verification_pb2.DropGalleryRequest, context: grpc.ServicerContext
    ) -> verification_pb2.DropGalleryResponse:
        """Forgets one."""
        self._galleries.drop(request.gallery)
        return verification_pb2.DropGalleryResponse()

    def SearchGallery(
        self, request: verification_pb2.SearchGalleryRequest, context: grpc.ServicerContext
    ) -> verification_pb2.SearchGalleryResponse:
        """The best coordinates for each photo, or the errors of single ones."""
        gallery, outcomes = self._galleries.search(
            request.gallery,
            [(vector.values, vector.dimension) for vector in request.gps_aligned],
            request.k,
            request.model,
            context.time_remaining,
        )
        return verification_pb2.SearchGalleryResponse(
            results=[_found(outcome) for outcome in outcomes],
            fingerprint=_fingerprint(self._verification.model),
            gallery=gallery,
        )


def _pages(
    first: verification_pb2.PutGalleryRequest, rest: Iterable[verification_pb2.PutGalleryRequest]
) -> Iterator[NDArray[np.float64]]:
    for request in chain((first,), rest):
        if request.gallery not in ("", first.gallery):
            raise Rejected("One stream is one gallery: its name goes in the first message only.", field="gallery")
        flat = (degrees for point in request.coordinates for degrees in (point.latitude, point.longitude))
        yield np.fromiter(flat, dtype=np.float64, count=2 * len(request.coordinates)).reshape(-1, 2)


def _gallery(gallery: Gallery) -> verification_pb2.Gallery:
    return verification_pb2.Gallery(**asdict(gallery))


def _found(outcome: Found | G3Error) -> verification_pb2.GalleryResult:
    if isinstance(outcome, G3Error):
        return verification_pb2.GalleryResult(error=_item_error(outcome))
    matches = [
        verification_pb2.GalleryMatch(
            coordinates=geography_pb2.Coordinates(latitude=latitude, longitude=longitude), similarity=similarity
        )
        for latitude, longitude, similarity in outcome
    ]
    return verification_pb2.GalleryResult(matches=verification_pb2.GalleryMatches(matches=matches))


def _item_error(error: G3Error) -> vector_pb2.ItemError:
    return vector_pb2.ItemError(code=error.code, message=error.message)


def _score(outcome: float | G3Error) -> verification_pb2.Score:
    if isinstance(outcome, G3Error):
        return verification_pb2.Score(error=_item_error(outcome))
    return verification_pb2.Score(similarity=outcome)


def _fingerprint(model: Model) -> vector_pb2.ModelFingerprint:
    return vector_pb2.ModelFingerprint(model=model.fingerprint, gps=model.gps_fingerprint)
