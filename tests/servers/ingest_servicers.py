"""EmbeddingService and RetrievalService around ingest's fakes: what ingest talks to, over real gRPC, in memory."""

import grpc
from g3_geography import Coordinates, Place
from g3_ingest.embedder import PhotoVectors
from g3_ingest.fakes import FakeEmbedder, FakeReferences
from g3_ingest.references import Collection, Reference
from g3_kit.errors import G3Error
from g3_kit.grpc_server import GrpcServer
from g3_kit.health import Health
from g3_protos.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from g3_protos.vector.v1 import vector_pb2


class EmbeddingServicer(embedding_pb2_grpc.EmbeddingServiceServicer):
    """Answers from `embedder`; texts and coordinates are not asked for here."""

    def __init__(self, embedder: FakeEmbedder) -> None:
        self._embedder = embedder

    def EmbedImages(
        self, request: embedding_pb2.EmbedImagesRequest, context: grpc.ServicerContext
    ) -> embedding_pb2.EmbedImagesResponse:
        outcomes = self._embedder.embed(list(request.images), request.expected_model)
        return embedding_pb2.EmbedImagesResponse(results=[_result(outcome) for outcome in outcomes])

    def EmbedTexts(
        self, request: embedding_pb2.EmbedTextsRequest, context: grpc.ServicerContext
    ) -> embedding_pb2.EmbedTextsResponse:
        raise AssertionError("ingest embeds no texts")

    def EmbedCoordinates(
        self, request: embedding_pb2.EmbedCoordinatesRequest, context: grpc.ServicerContext
    ) -> embedding_pb2.EmbedCoordinatesResponse:
        raise AssertionError("ingest embeds no coordinates")

    def DescribeModel(
        self, request: embedding_pb2.DescribeModelRequest, context: grpc.ServicerContext
    ) -> embedding_pb2.DescribeModelResponse:
        model = self._embedder.model()
        return embedding_pb2.DescribeModelResponse(
            fingerprint=vector_pb2.ModelFingerprint(model=model.fingerprint),
            dimension=model.dimension,
            max_items=model.max_items,
            trained=model.trained,
        )


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    """Answers from `references`; nothing is searched for here."""

    def __init__(self, references: FakeReferences) -> None:
        self._references = references

    def CreateCollection(
        self, request: retrieval_pb2.CreateCollectionRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.CreateCollectionResponse:
        made = self._references.create(request.collection, request.dimension, request.model)
        return retrieval_pb2.CreateCollectionResponse(collection=_collection(made))

    def Upsert(
        self, request: retrieval_pb2.UpsertRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.UpsertResponse:
        references = [_reference(sent) for sent in request.references]
        errors = self._references.upsert(request.collection, request.model, references)
        return retrieval_pb2.UpsertResponse(
            written=len(references) - len(errors), errors={index: _error(error) for index, error in errors.items()}
        )

    def Publish(
        self, request: retrieval_pb2.PublishRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.PublishResponse:
        return retrieval_pb2.PublishResponse(previous=self._references.publish(request.collection, request.alias))

    def Describe(
        self, request: retrieval_pb2.DescribeRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.DescribeResponse:
        return retrieval_pb2.DescribeResponse(collection=_collection(self._references.describe(request.collection)))

    def ListCollections(
        self, request: retrieval_pb2.ListCollectionsRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.ListCollectionsResponse:
        names = sorted(self._references.stored)
        return retrieval_pb2.ListCollectionsResponse(
            collections=[_collection(self._references.describe(name)) for name in names]
        )

    def Held(self, request: retrieval_pb2.HeldRequest, context: grpc.ServicerContext) -> retrieval_pb2.HeldResponse:
        held = self._references.held(request.collection, list(request.ids))
        return retrieval_pb2.HeldResponse(ids=[id_ for id_ in request.ids if id_ in held])

    def Drop(self, request: retrieval_pb2.DropRequest, context: grpc.ServicerContext) -> retrieval_pb2.DropResponse:
        raise AssertionError("ingest drops nothing")

    def SearchMany(
        self, request: retrieval_pb2.SearchManyRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.SearchManyResponse:
        raise AssertionError("ingest searches nothing")

    def Search(
        self, request: retrieval_pb2.SearchRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.SearchResponse:
        raise AssertionError("ingest searches nothing")

    def ListReferences(
        self, request: retrieval_pb2.ListReferencesRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.ListReferencesResponse:
        raise AssertionError("ingest lists nothing")

    def MeasureRecall(
        self, request: retrieval_pb2.MeasureRecallRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.MeasureRecallResponse:
        raise AssertionError("ingest measures through Publish")


def ingest_server(embedder: FakeEmbedder, references: FakeReferences) -> GrpcServer:
    """One server of both services on a free port of 127.0.0.1, not yet started."""
    built = GrpcServer(host="127.0.0.1", port=0, health=Health())
    embedding = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name
    retrieval = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"].full_name
    built.add(embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server, EmbeddingServicer(embedder), embedding)
    built.add(retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server, RetrievalServicer(references), retrieval)
    return built


def _error(error: G3Error) -> vector_pb2.ItemError:
    return vector_pb2.ItemError(code=error.code, message=error.message)


def _result(outcome: PhotoVectors | G3Error) -> embedding_pb2.ImageResult:
    if isinstance(outcome, G3Error):
        return embedding_pb2.ImageResult(error=_error(outcome))
    clip, text, gps = (
        vector_pb2.Vector(values=values, dimension=outcome.dimension)
        for values in (outcome.clip, outcome.text_aligned, outcome.gps_aligned)
    )
    return embedding_pb2.ImageResult(vectors=vector_pb2.ImageVectors(clip=clip, text_aligned=text, gps_aligned=gps))


def _collection(collection: Collection) -> retrieval_pb2.Collection:
    return retrieval_pb2.Collection(
        name=collection.name,
        dimension=collection.dimension,
        model=collection.model,
        count=collection.count,
        aliases=collection.aliases,
    )


def _reference(sent: retrieval_pb2.ReferenceVectors) -> Reference:
    reference, vectors = sent.reference, sent.vectors
    place = reference.place
    return Reference(
        id=reference.id,
        coordinates=Coordinates(reference.coordinates.latitude, reference.coordinates.longitude),
        place=Place(place.city, place.state, place.country, place.country_code),
        author=reference.author,
        vectors=PhotoVectors(
            vectors.clip.dimension,
            vectors.clip.values,
            vectors.text_aligned.values,
            vectors.gps_aligned.values,
        ),
    )
