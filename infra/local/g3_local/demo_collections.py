"""Collection versions of the demo: a second one starts as a copy of the first, vectors and all."""

from collections.abc import Callable

from g3_kit import grpc_client
from g3_protos.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc

_PAGE = 1_000
_CALL_S = 120.0


def copy(target: str, source: str, version: str, progress: Callable[[int], None]) -> None:
    """Makes `version` of everything in `source` at the retrieval service `target`; a repeat adds what is missing.

    Raises Missing when there is no `source`, Unavailable when the service is away.
    """
    with grpc_client.channel(target, deadline_s=_CALL_S) as channel:
        stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        held = stub.Describe(retrieval_pb2.DescribeRequest(collection=source)).collection
        stub.CreateCollection(
            retrieval_pb2.CreateCollectionRequest(collection=version, dimension=held.dimension, model=held.model)
        )
        there = stub.Describe(retrieval_pb2.DescribeRequest(collection=version)).collection
        if there.count >= held.count:
            progress(held.count)
            return
        request = retrieval_pb2.ListReferencesRequest(collection=source, page_size=_PAGE, with_vectors=True)
        while True:
            page = stub.ListReferences(request)
            pairs = zip(page.references, page.vectors, strict=True)
            stub.Upsert(
                retrieval_pb2.UpsertRequest(
                    collection=version,
                    model=held.model,
                    references=[
                        retrieval_pb2.ReferenceVectors(reference=reference, vectors=vectors)
                        for reference, vectors in pairs
                    ],
                )
            )
            progress(len(page.references))
            if not page.next_page_token:
                return
            request = retrieval_pb2.ListReferencesRequest(
                page_token=page.next_page_token, page_size=_PAGE, with_vectors=True
            )


def model(target: str) -> str:
    """The fingerprint of the model that the embedding service at `target` serves. Raises Unavailable."""
    with grpc_client.channel(target, deadline_s=_CALL_S) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        return stub.DescribeModel(embedding_pb2.DescribeModelRequest()).fingerprint.model
