"""The retrieval service's collections over gRPC."""

from collections.abc import Mapping, Sequence

import grpc
from g3_kit.errors import G3Error
from g3_protos.geography.v1 import geography_pb2
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from g3_protos.vector.v1 import vector_pb2

from g3_ingest.embedder import PhotoVectors
from g3_ingest.grpc_embedder import error_of
from g3_ingest.references import Collection, Reference


class GrpcReferences:
    """`References` through a channel of `g3_kit.grpc_client`, which turns gRPC status into the error tree."""

    def __init__(self, channel: grpc.Channel, *, call_s: float = 120.0) -> None:
        """`call_s`: deadline in seconds of every call."""
        self._stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        self._call_s = call_s

    def reachable(self) -> None:
        """Returns when the service answers. Raises Unavailable when it does not."""
        self._stub.ListCollections(retrieval_pb2.ListCollectionsRequest(), timeout=10)

    def create(self, collection: str, dimension: int, model: str) -> Collection:
        request = retrieval_pb2.CreateCollectionRequest(collection=collection, dimension=dimension, model=model)
        return _collection(self._stub.CreateCollection(request, timeout=self._call_s).collection)

    def describe(self, collection: str) -> Collection:
        request = retrieval_pb2.DescribeRequest(collection=collection)
        return _collection(self._stub.Describe(request, timeout=self._call_s).collection)

    def held(self, collection: str, ids: Sequence[str]) -> set[str]:
        request = retrieval_pb2.HeldRequest(collection=collection, ids=ids)
        return set(self._stub.Held(request, timeout=self._call_s).ids)

    def upsert(self, collection: str, model: str, references: Sequence[Reference]) -> Mapping[int, G3Error]:
        request = retrieval_pb2.UpsertRequest(
            collection=collection, model=model, references=[_reference(reference) for reference in references]
        )
        response = self._stub.Upsert(request, timeout=self._call_s)
        return {index: error_of(error) for index, error in response.errors.items()}

    def publish(self, collection: str, alias: str) -> str:
        request = retrieval_pb2.PublishRequest(collection=collection, alias=alias)
        return self._stub.Publish(request, timeout=self._call_s).previous


def _collection(collection: retrieval_pb2.Collection) -> Collection:
    return Collection(
        name=collection.name,
        dimension=collection.dimension,
        model=collection.model,
        count=collection.count,
        aliases=tuple(collection.aliases),
    )


def _reference(reference: Reference) -> retrieval_pb2.ReferenceVectors:
    where, place = reference.coordinates, reference.place
    return retrieval_pb2.ReferenceVectors(
        reference=retrieval_pb2.Reference(
            id=reference.id,
            coordinates=geography_pb2.Coordinates(latitude=where.latitude, longitude=where.longitude),
            place=geography_pb2.Place(
                city=place.city, state=place.state, country=place.country, country_code=place.country_code
            ),
            author=reference.author,
        ),
        vectors=_vectors(reference.vectors),
    )


def _vectors(vectors: PhotoVectors) -> vector_pb2.ImageVectors:
    def one(values: bytes) -> vector_pb2.Vector:
        return vector_pb2.Vector(values=values, dimension=vectors.dimension)

    return vector_pb2.ImageVectors(
        clip=one(vectors.clip), text_aligned=one(vectors.text_aligned), gps_aligned=one(vectors.gps_aligned)
    )
