"""Galleries of the verification service, and the listing of references that they are made of, over gRPC."""

from collections.abc import Iterator

import grpc
import numpy as np
from g3_geography import Coordinates
from g3_kit.errors import BY_CODE, Rejected, Unavailable
from g3_protos.geography.v1 import geography_pb2
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from g3_protos.vector.v1 import vector_pb2
from g3_protos.verification.v1 import verification_pb2, verification_pb2_grpc
from numpy.typing import NDArray

from g3_orchestrator.hints import box_around
from g3_orchestrator.model import GalleryPoint
from g3_orchestrator.parameters import Circle, Parameters
from g3_orchestrator.ports import GalleryFound

_LISTED = 10_000  # ListReferencesRequest.page_size
_SENT = 10_000
_PUT_S = 600.0
_FLOAT_BYTES = 4
# Stored coordinates may have been rounded: what lies so near to a point is the point.
_SAME_KM = 0.005


class GrpcGalleryShelf:
    """The role GalleryShelf, by the verification service."""

    def __init__(self, channel: grpc.Channel, *, deadline_s: float = 20.0) -> None:
        self._stub = verification_pb2_grpc.VerificationServiceStub(channel)
        self._deadline_s = deadline_s

    def search(self, name: str, gps_aligned: bytes, count: int, model: str) -> GalleryFound:
        """See GalleryShelf.search."""
        vector = vector_pb2.Vector(values=gps_aligned, dimension=len(gps_aligned) // _FLOAT_BYTES)
        request = verification_pb2.SearchGalleryRequest(gallery=name, gps_aligned=[vector], k=count, model=model)
        response = self._stub.SearchGallery(request, timeout=self._deadline_s)
        if len(response.results) != 1:
            raise Unavailable("the verification service gave another number of results than photos")
        result = response.results[0]
        if result.HasField("error"):
            raise BY_CODE.get(result.error.code, Rejected)(result.error.message)
        points = tuple(
            GalleryPoint(Coordinates(match.coordinates.latitude, match.coordinates.longitude), match.similarity)
            for match in result.matches.matches
        )
        return GalleryFound(points, response.gallery, response.fingerprint.model, response.fingerprint.gps)

    def put(self, name: str, points: NDArray[np.float64]) -> None:
        """See GalleryShelf.put."""
        self._stub.PutGallery(_requests(name, points), timeout=_PUT_S)


class GrpcReferenceList:
    """The role ReferenceList, by the retrieval service."""

    def __init__(self, channel: grpc.Channel, *, deadline_s: float = 60.0) -> None:
        self._stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        self._deadline_s = deadline_s

    def count(self, collection: str) -> int:
        """See ReferenceList.count."""
        request = retrieval_pb2.DescribeRequest(collection=collection)
        return int(self._stub.Describe(request, timeout=self._deadline_s).collection.count)

    def coordinates(self, collection: str) -> Iterator[NDArray[np.float64]]:
        """See ReferenceList.coordinates."""
        request = retrieval_pb2.ListReferencesRequest(collection=collection, page_size=_LISTED)
        while True:
            page = self._stub.ListReferences(request, timeout=self._deadline_s)
            points = ((one.coordinates.latitude, one.coordinates.longitude) for one in page.references)
            yield np.array([*points], dtype=np.float64).reshape(-1, 2)
            if not page.next_page_token:
                return
            request = retrieval_pb2.ListReferencesRequest(page_token=page.next_page_token, page_size=_LISTED)

    def allowed_at(self, collection: str, point: Coordinates, parameters: Parameters) -> bool:
        """See ReferenceList.allowed_at."""
        box = box_around(Circle(point, _SAME_KM))
        wanted = retrieval_pb2.Filter(
            bounding_box=geography_pb2.BoundingBox(south=box.south, west=box.west, north=box.north, east=box.east),
            excluded_ids=parameters.excluded_references,
            excluded_authors=parameters.excluded_authors,
        )
        request = retrieval_pb2.ListReferencesRequest(collection=collection, page_size=1, filter=wanted)
        return bool(self._stub.ListReferences(request, timeout=self._deadline_s).references)


def _requests(name: str, points: NDArray[np.float64]) -> Iterator[verification_pb2.PutGalleryRequest]:
    yield verification_pb2.PutGalleryRequest(gallery=name)
    for start in range(0, len(points), _SENT):
        rows = points[start : start + _SENT].tolist()
        yield verification_pb2.PutGalleryRequest(
            coordinates=[
                geography_pb2.Coordinates(latitude=latitude, longitude=longitude) for latitude, longitude in rows
            ]
        )
