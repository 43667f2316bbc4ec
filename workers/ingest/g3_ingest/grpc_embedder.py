"""The embedding service over gRPC."""

from collections.abc import Sequence

import grpc
from g3_kit.errors import BY_CODE, G3Error
from g3_protos.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from g3_protos.vector.v1 import vector_pb2

from g3_ingest.embedder import Model, PhotoVectors


class GrpcEmbedder:
    """`Embedder` through a channel of `g3_kit.grpc_client`, which turns gRPC status into the error tree."""

    def __init__(self, channel: grpc.Channel, *, call_s: float = 300.0) -> None:
        """`call_s`: deadline in seconds of one batch; a large model on a CPU takes its time."""
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._call_s = call_s

    def model(self) -> Model:
        response = self._stub.DescribeModel(embedding_pb2.DescribeModelRequest(), timeout=10)
        return Model(response.fingerprint.model, response.dimension, response.max_items, response.trained)

    def embed(self, photos: Sequence[bytes], model: str) -> list[PhotoVectors | G3Error]:
        request = embedding_pb2.EmbedImagesRequest(images=photos, expected_model=model)
        response = self._stub.EmbedImages(request, timeout=self._call_s)
        return [
            error_of(result.error) if result.WhichOneof("outcome") == "error" else _vectors(result.vectors)
            for result in response.results
        ]


def error_of(error: vector_pb2.ItemError) -> G3Error:
    """The error of the tree that one item's error stands for."""
    return BY_CODE.get(error.code, G3Error)(error.message)


def _vectors(vectors: vector_pb2.ImageVectors) -> PhotoVectors:
    return PhotoVectors(
        dimension=vectors.clip.dimension,
        clip=vectors.clip.values,
        text_aligned=vectors.text_aligned.values,
        gps_aligned=vectors.gps_aligned.values,
    )
