"""The verification service over gRPC."""

from collections.abc import Iterable, Iterator, Sequence

import grpc
import numpy as np
from g3_kit.errors import G3Error
from g3_protos.geography.v1.geography_pb2 import Coordinates
from g3_protos.verification.v1 import verification_pb2, verification_pb2_grpc
from numpy.typing import NDArray

from g3_evaluation.grpc_embedder import error_of, vector_of
from g3_evaluation.services import GPS_ALIGNED, GalleryState, Neighbour, Vectors

_PAGE = 50_000  # coordinates a message: about a megabyte
_PUT_S = 600.0


class GrpcVerifier:
    """`Verifier` through a channel of `g3_kit.grpc_client`, which turns gRPC status into the error tree."""

    def __init__(self, channel: grpc.Channel, *, call_s: float = 120.0) -> None:
        """`call_s`: deadline in seconds of every call but that which sends a gallery."""
        self._stub = verification_pb2_grpc.VerificationServiceStub(channel)
        self._call_s = call_s

    def reachable(self) -> None:
        self._stub.DescribeModel(verification_pb2.DescribeModelRequest(), timeout=10)

    def put_gallery(self, name: str, pages: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> GalleryState:
        return _state(self._stub.PutGallery(_requests(name, pages), timeout=_PUT_S).gallery)

    def gallery(self, name: str) -> GalleryState:
        request = verification_pb2.DescribeGalleryRequest(gallery=name)
        return _state(self._stub.DescribeGallery(request, timeout=self._call_s).gallery)

    def search_gallery(
        self, name: str, vectors: Sequence[Vectors], count: int, model: str
    ) -> list[list[Neighbour] | G3Error]:
        request = verification_pb2.SearchGalleryRequest(
            gallery=name, gps_aligned=[vector_of(photo[GPS_ALIGNED]) for photo in vectors], k=count, model=model
        )
        response = self._stub.SearchGallery(request, timeout=self._call_s)
        return [
            error_of(result.error)
            if result.WhichOneof("outcome") == "error"
            else [_neighbour(match) for match in result.matches.matches]
            for result in response.results
        ]

    def similarities(
        self, vectors: Vectors, places: Sequence[tuple[float, float]], model: str
    ) -> list[float | G3Error]:
        request = verification_pb2.ScoreRequest(
            gps_aligned=vector_of(vectors[GPS_ALIGNED]),
            candidates=[Coordinates(latitude=latitude, longitude=longitude) for latitude, longitude in places],
            model=model,
        )
        response = self._stub.Score(request, timeout=self._call_s)
        return [
            error_of(score.error) if score.WhichOneof("outcome") == "error" else score.similarity
            for score in response.scores
        ]


def _requests(
    name: str, pages: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> Iterator[verification_pb2.PutGalleryRequest]:
    yield verification_pb2.PutGalleryRequest(gallery=name)
    for latitudes, longitudes in pages:
        for start in range(0, len(latitudes), _PAGE):
            part = slice(start, start + _PAGE)
            points = zip(latitudes[part].tolist(), longitudes[part].tolist(), strict=True)
            yield verification_pb2.PutGalleryRequest(
                coordinates=[Coordinates(latitude=latitude, longitude=longitude) for latitude, longitude in points]
            )


def _state(gallery: verification_pb2.Gallery) -> GalleryState:
    return GalleryState(gallery.fingerprint, gallery.count, gallery.embedded, gallery.precision, gallery.problem)


def _neighbour(match: verification_pb2.GalleryMatch) -> Neighbour:
    return Neighbour(match.coordinates.latitude, match.coordinates.longitude, match.similarity)
