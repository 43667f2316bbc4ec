"""The services that the coordinator asks, over gRPC. Every call has a deadline and raises errors of the tree."""

from collections.abc import Sequence

import grpc
from g3_geography import Coordinates, Place
from g3_kit.errors import BY_CODE, Rejected
from g3_protos.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from g3_protos.geography.v1 import geography_pb2
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from g3_protos.vector.v1 import vector_pb2
from g3_protos.verification.v1 import verification_pb2, verification_pb2_grpc

from g3_orchestrator.hints import search_box
from g3_orchestrator.model import Match
from g3_orchestrator.parameters import Hints, Parameters
from g3_orchestrator.ports import Found, PhotoVectors, Scores
from g3_orchestrator.states import Dissimilar, RetrievalVector

_VECTORS = {
    RetrievalVector.ALL: retrieval_pb2.RETRIEVAL_VECTOR_ALL,
    RetrievalVector.CLIP: retrieval_pb2.RETRIEVAL_VECTOR_CLIP,
    RetrievalVector.CLIP_GPS: retrieval_pb2.RETRIEVAL_VECTOR_CLIP_GPS,
}
_DISSIMILAR = {
    Dissimilar.NONE: retrieval_pb2.DISSIMILAR_NONE,
    Dissimilar.FARTHEST: retrieval_pb2.DISSIMILAR_FARTHEST,
    Dissimilar.HARD: retrieval_pb2.DISSIMILAR_HARD,
}
_FLOAT_BYTES = 4


class GrpcEmbedder:
    """The role Embedder, by the embedding service."""

    def __init__(self, channel: grpc.Channel, *, deadline_s: float = 20.0) -> None:
        self._stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        self._deadline_s = deadline_s

    def embed(self, photo: bytes) -> PhotoVectors:
        """See Embedder.embed."""
        request = embedding_pb2.EmbedImagesRequest(images=[photo])
        response = self._stub.EmbedImages(request, timeout=self._deadline_s)
        if len(response.results) != 1:
            raise Rejected("the embedding service gave another number of results than photos")
        result = response.results[0]
        if result.HasField("error"):
            raise BY_CODE.get(result.error.code, Rejected)(result.error.message)
        vectors = result.vectors
        return PhotoVectors(
            clip=vectors.clip.values,
            text_aligned=vectors.text_aligned.values,
            gps_aligned=vectors.gps_aligned.values,
            dimension=vectors.gps_aligned.dimension,
            model=response.fingerprint.model,
            gps=response.fingerprint.gps,
        )


class GrpcSearcher:
    """The role Searcher, by the retrieval service."""

    def __init__(self, channel: grpc.Channel, *, collection: str = "", deadline_s: float = 20.0) -> None:
        """`collection`: a version or an alias; empty means the service's own default alias."""
        self._stub = retrieval_pb2_grpc.RetrievalServiceStub(channel)
        self._collection = collection
        self._deadline_s = deadline_s

    def search(self, vectors: PhotoVectors, parameters: Parameters, similar: int, dissimilar: int) -> Found:
        """See Searcher.search."""
        request = retrieval_pb2.SearchRequest(
            collection=self._collection,
            model=vectors.model,
            vectors=vector_pb2.ImageVectors(
                clip=_vector(vectors.clip, vectors.dimension),
                text_aligned=_vector(vectors.text_aligned, vectors.dimension),
                gps_aligned=_vector(vectors.gps_aligned, vectors.dimension),
            ),
            retrieval_vector=_VECTORS[parameters.retrieval_vector],
            similar=similar,
            dissimilar=dissimilar,
            dissimilar_kind=_DISSIMILAR[parameters.dissimilar],
            filter=_filter(parameters.hints, parameters),
        )
        response = self._stub.Search(request, timeout=self._deadline_s)
        return Found(
            similar=tuple(_match(match) for match in response.similar),
            dissimilar=tuple(_match(match) for match in response.dissimilar),
            collection=response.collection,
            model=response.model,
        )


class GrpcScorer:
    """The role Scorer, by the verification service."""

    def __init__(self, channel: grpc.Channel, *, deadline_s: float = 20.0) -> None:
        self._stub = verification_pb2_grpc.VerificationServiceStub(channel)
        self._deadline_s = deadline_s

    def score(self, gps_aligned: bytes, candidates: Sequence[Coordinates], model: str) -> Scores:
        """See Scorer.score."""
        request = verification_pb2.ScoreRequest(
            gps_aligned=_vector(gps_aligned, len(gps_aligned) // _FLOAT_BYTES),
            candidates=[
                geography_pb2.Coordinates(latitude=point.latitude, longitude=point.longitude) for point in candidates
            ],
            model=model,
        )
        response = self._stub.Score(request, timeout=self._deadline_s)
        return Scores(
            tuple(score.similarity if score.HasField("similarity") else None for score in response.scores),
            response.fingerprint.model,
            response.fingerprint.gps,
        )


def _vector(values: bytes, dimension: int) -> vector_pb2.Vector:
    return vector_pb2.Vector(values=values, dimension=dimension)


def _filter(hints: Hints, parameters: Parameters) -> retrieval_pb2.Filter:
    box = search_box(hints)
    return retrieval_pb2.Filter(
        country_codes=hints.country_codes,
        bounding_box=None
        if box is None
        else geography_pb2.BoundingBox(south=box.south, west=box.west, north=box.north, east=box.east),
        excluded_ids=parameters.excluded_references,
        excluded_authors=parameters.excluded_authors,
    )


def _match(match: retrieval_pb2.Match) -> Match:
    reference, place = match.reference, match.reference.place
    return Match(
        reference_id=reference.id,
        coordinates=Coordinates(reference.coordinates.latitude, reference.coordinates.longitude),
        place=Place(place.city, place.state, place.country, place.country_code),
        author=reference.author,
        similarity=match.similarity,
    )
