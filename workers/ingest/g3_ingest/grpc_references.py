"""The retrieval service's collections over gRPC."""

from collections.abc import Mapping, Sequence

import grpc
from g3_kit.errors import G3Error, Rejected
from g3_protos.geography.v1 import geography_pb2
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from g3_protos.vector.v1 import vector_pb2

from g3_ingest.embedder import PhotoVectors
from g3_ingest.grpc_embedder import error_of
from g3_ingest.references import Collection, Recall, Reference

_MEASURE_S = 120.0


class GrpcReferences:
    """`References` through a channel of `g3_kit.grpc_client`, which turns gRPC status into the error tree."""

    def __init__(self, channel: grpc.Channel, *, call_s: float = 120.0) -> None:
        """`call_s`: deadline in seconds of every call."""
        self._stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        self._call_s = call_s

    def reachable(self) -> None:
        """Returns when the service answers. Raises Unavailable when it does not."""
        self._stub.ListCollections(retrieval_pb2.ListCollectionsRequest(), timeout=10)

    def create(self, collection: str, dimension: int, model: str, *, index: str = "", expected: int = 0) -> Collection:
        name = f"INDEX_KIND_{index or 'UNSPECIFIED'}"
        if name not in list(retrieval_pb2.IndexKind.keys()):
            raise Rejected(f"there is no kind of index {index!r}", field="index")
        request = retrieval_pb2.CreateCollectionRequest(
            collection=collection,
            dimension=dimension,
            model=model,
            kind=retrieval_pb2.IndexKind.Value(name),
            expected_references=expected,
        )
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

    def nearest(self, collection: str, model: str, vectors: PhotoVectors, excluded_id: str) -> float:
        request = retrieval_pb2.SearchRequest(
            collection=collection,
            model=model,
            vectors=_vectors(vectors),
            similar=1,
            filter=retrieval_pb2.Filter(excluded_ids=[excluded_id]),
        )
        found = self._stub.Search(request, timeout=self._call_s).similar
        return found[0].similarity if found else -1.0

    def recall(self, collection: str, sample: int) -> Recall:
        request = retrieval_pb2.MeasureRecallRequest(collection=collection, sample=sample)
        found = self._stub.MeasureRecall(request, timeout=_MEASURE_S)
        return Recall(found.similar.mean, min(found.hard.mean, found.farthest.mean))

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
        index=collection.index,
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
