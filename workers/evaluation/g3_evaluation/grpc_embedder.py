"""The embedding service over gRPC."""

from collections.abc import Sequence

import grpc
import numpy as np
from g3_kit.errors import BY_CODE, G3Error
from g3_protos.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from g3_protos.vector.v1 import vector_pb2

from g3_evaluation.services import Model, Vectors


class GrpcEmbedder:
    """`Embedder` through a channel of `g3_kit.grpc_client`, which turns gRPC status into the error tree."""

    def __init__(self, channel: grpc.Channel, *, call_s: float = 300.0) -> None:
        """`call_s`: deadline in seconds of one batch; a large model on a CPU takes its time."""
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._call_s = call_s

    def model(self) -> Model:
        said = self._stub.DescribeModel(embedding_pb2.DescribeModelRequest(), timeout=10)
        return Model(said.fingerprint.model, said.dimension, said.configuration, said.max_items, said.trained)

    def embed(self, photos: Sequence[bytes], model: str) -> list[Vectors | G3Error]:
        request = embedding_pb2.EmbedImagesRequest(images=photos, expected_model=model)
        response = self._stub.EmbedImages(request, timeout=self._call_s)
        return [
            error_of(result.error) if result.WhichOneof("outcome") == "error" else _vectors(result.vectors)
            for result in response.results
        ]


def error_of(error: vector_pb2.ItemError) -> G3Error:
    """The error of the tree that one item's error stands for."""
    return BY_CODE.get(error.code, G3Error)(error.message)


def message_of(vectors: Vectors) -> vector_pb2.ImageVectors:
    """The three vectors of a photo as a message."""
    clip, text_aligned, gps_aligned = (vector_of(vector) for vector in vectors)
    return vector_pb2.ImageVectors(clip=clip, text_aligned=text_aligned, gps_aligned=gps_aligned)


def vector_of(vector: Vectors) -> vector_pb2.Vector:
    """One vector, float32 [d], as a message."""
    return vector_pb2.Vector(values=vector.astype("<f4").tobytes(), dimension=len(vector))


def _vectors(message: vector_pb2.ImageVectors) -> Vectors:
    parts = (message.clip, message.text_aligned, message.gps_aligned)
    return np.stack([np.frombuffer(part.values, dtype="<f4") for part in parts]).astype(np.float32)
