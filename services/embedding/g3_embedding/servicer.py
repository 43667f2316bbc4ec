"""EmbeddingService: converts, calls, converts."""

from collections.abc import Sequence

import grpc
from g3_kit.errors import G3Error
from g3_protos.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from g3_protos.vector.v1 import vector_pb2

from g3_embedding.call import Call
from g3_embedding.embedding import Embedding
from g3_embedding.encoder import Floats, ImageVectors

SERVICE_NAME = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """The room's public face."""

    def __init__(self, embedding: Embedding, *, deadline_s: float = 30.0) -> None:
        """`embedding` does the work; a call without a deadline waits `deadline_s` seconds."""
        self._embedding = embedding
        self._deadline_s = deadline_s

    def EmbedImages(
        self, request: embedding_pb2.EmbedImagesRequest, context: grpc.ServicerContext
    ) -> embedding_pb2.EmbedImagesResponse:
        """Three vectors of each photo."""
        outcomes = self._embedding.images(request.images, self._call(context), request.expected_model)
        results = [_image(outcome) for outcome in outcomes]
        return embedding_pb2.EmbedImagesResponse(results=results, fingerprint=self._fingerprint())

    def EmbedTexts(
        self, request: embedding_pb2.EmbedTextsRequest, context: grpc.ServicerContext
    ) -> embedding_pb2.EmbedTextsResponse:
        """One vector of each text."""
        outcomes = self._embedding.texts(request.texts, self._call(context), request.expected_model)
        return embedding_pb2.EmbedTextsResponse(results=_rows(outcomes), fingerprint=self._fingerprint())

    def EmbedCoordinates(
        self, request: embedding_pb2.EmbedCoordinatesRequest, context: grpc.ServicerContext
    ) -> embedding_pb2.EmbedCoordinatesResponse:
        """One vector of each point."""
        points = [(point.latitude, point.longitude) for point in request.coordinates]
        outcomes = self._embedding.coordinates(points, self._call(context), request.expected_model)
        return embedding_pb2.EmbedCoordinatesResponse(results=_rows(outcomes), fingerprint=self._fingerprint())

    def DescribeModel(
        self, request: embedding_pb2.DescribeModelRequest, context: grpc.ServicerContext
    ) -> embedding_pb2.DescribeModelResponse:
        """Which model is served."""
        model = self._embedding.model
        return embedding_pb2.DescribeModelResponse(
            fingerprint=self._fingerprint(),
            dimension=model.dimension,
            configuration=model.configuration,
            device=model.device,
            max_items=self._embedding.max_items,
            trained=model.trained,
        )

    def _call(self, context: grpc.ServicerContext) -> Call:
        remaining_s = context.time_remaining()
        call = self._embedding.call(self._deadline_s if remaining_s is None else remaining_s)
        # gRPC calls back when the call ends for any reason; False: it has ended already.
        if not context.add_callback(call.cancel):
            call.cancel()
        return call

    def _fingerprint(self) -> vector_pb2.ModelFingerprint:
        model = self._embedding.model
        return vector_pb2.ModelFingerprint(model=model.fingerprint, gps=model.gps_fingerprint)


def _image(outcome: ImageVectors | G3Error) -> embedding_pb2.ImageResult:
    if isinstance(outcome, G3Error):
        return embedding_pb2.ImageResult(error=_error(outcome))
    return embedding_pb2.ImageResult(
        vectors=vector_pb2.ImageVectors(
            clip=_vector(outcome.clip),
            text_aligned=_vector(outcome.text_aligned),
            gps_aligned=_vector(outcome.gps_aligned),
        )
    )


def _rows(outcomes: Sequence[Floats | G3Error]) -> list[embedding_pb2.VectorResult]:
    return [
        embedding_pb2.VectorResult(error=_error(outcome))
        if isinstance(outcome, G3Error)
        else embedding_pb2.VectorResult(vector=_vector(outcome))
        for outcome in outcomes
    ]


def _vector(values: Floats) -> vector_pb2.Vector:
    return vector_pb2.Vector(values=values.astype("<f4", copy=False).tobytes(), dimension=len(values))


def _error(error: G3Error) -> vector_pb2.ItemError:
    return vector_pb2.ItemError(code=error.code, message=error.message)
