"""The retrieval service's collections over gRPC."""

from collections.abc import Iterator, Sequence

import grpc
import numpy as np
from g3_kit.errors import G3Error
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc

from g3_evaluation.grpc_embedder import error_of, message_of
from g3_evaluation.services import Collection, Compared, Listed, Neighbour, Recall, Vectors

_PAGE = 10_000
_RECALL_S = 3600.0  # it reads every stored vector
_COMPARED = {
    Compared.CLIP: retrieval_pb2.RETRIEVAL_VECTOR_CLIP,
    Compared.CLIP_GPS: retrieval_pb2.RETRIEVAL_VECTOR_CLIP_GPS,
    Compared.ALL: retrieval_pb2.RETRIEVAL_VECTOR_ALL,
}


class GrpcReferences:
    """`References` through a channel of `g3_kit.grpc_client`, which turns gRPC status into the error tree."""

    def __init__(self, channel: grpc.Channel, *, call_s: float = 120.0) -> None:
        """`call_s`: deadline in seconds of every call but that for recall."""
        self._stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        self._call_s = call_s

    def reachable(self) -> None:
        self._stub.ListCollections(retrieval_pb2.ListCollectionsRequest(), timeout=10)

    def describe(self, collection: str) -> Collection:
        request = retrieval_pb2.DescribeRequest(collection=collection)
        said = self._stub.Describe(request, timeout=self._call_s).collection
        return Collection(said.name, said.model, said.count, said.index)

    def listed(self, collection: str) -> Iterator[Listed]:
        request = retrieval_pb2.ListReferencesRequest(collection=collection, page_size=_PAGE)
        while True:
            page = self._stub.ListReferences(request, timeout=self._call_s)
            yield Listed(
                np.array([reference.coordinates.latitude for reference in page.references], dtype=np.float64),
                np.array([reference.coordinates.longitude for reference in page.references], dtype=np.float64),
                [reference.author for reference in page.references],
            )
            if not page.next_page_token:
                return
            request = retrieval_pb2.ListReferencesRequest(page_token=page.next_page_token, page_size=_PAGE)

    def nearest(
        self,
        collection: Collection,
        vectors: Sequence[Vectors],
        compared: Compared,
        count: int,
        excluded_author: str = "",
    ) -> list[list[Neighbour] | G3Error]:
        request = retrieval_pb2.SearchManyRequest(
            collection=collection.name,
            model=collection.model,
            vectors=[message_of(photo) for photo in vectors],
            retrieval_vector=_COMPARED[compared],
            similar=count,
            filter=retrieval_pb2.Filter(excluded_authors=[excluded_author] if excluded_author else []),
        )
        response = self._stub.SearchMany(request, timeout=self._call_s)
        return [
            error_of(result.error)
            if result.WhichOneof("outcome") == "error"
            else [_neighbour(match) for match in result.matches.similar]
            for result in response.results
        ]

    def recall(self, collection: Collection, seed: int, sample: int) -> Recall:
        request = retrieval_pb2.MeasureRecallRequest(collection=collection.name, seed=seed, sample=sample)
        measured = self._stub.MeasureRecall(request, timeout=_RECALL_S)
        return Recall(measured.similar.mean, measured.similar.worst, measured.k, measured.sample)


def _neighbour(match: retrieval_pb2.Match) -> Neighbour:
    where = match.reference.coordinates
    return Neighbour(where.latitude, where.longitude, match.similarity)
