"""Messages of the contract to nouns of the domain, and back."""

from collections.abc import Sequence

import numpy as np
from g3_geography import BoundingBox, Coordinates, Place
from g3_kit.errors import G3Error, Rejected
from g3_protos.geography.v1 import geography_pb2
from g3_protos.retrieval.v1 import retrieval_pb2
from g3_protos.vector.v1 import vector_pb2

from g3_retrieval.kinds import IndexKind
from g3_retrieval.listing import Page
from g3_retrieval.recall import USUAL, Measured, Question, Recall
from g3_retrieval.references import (
    Collection,
    Dissimilar,
    Filter,
    ImageVectors,
    ManySearch,
    Match,
    Reference,
    RetrievalVector,
    Search,
    Vectors,
    Version,
)
from g3_retrieval.service import DEFAULT_ALIAS

_RETRIEVAL_VECTORS = {
    retrieval_pb2.RETRIEVAL_VECTOR_UNSPECIFIED: RetrievalVector.ALL,
    retrieval_pb2.RETRIEVAL_VECTOR_ALL: RetrievalVector.ALL,
    retrieval_pb2.RETRIEVAL_VECTOR_CLIP: RetrievalVector.CLIP,
    retrieval_pb2.RETRIEVAL_VECTOR_CLIP_GPS: RetrievalVector.CLIP_GPS,
}
_DISSIMILAR = {
    retrieval_pb2.DISSIMILAR_UNSPECIFIED: Dissimilar.NONE,
    retrieval_pb2.DISSIMILAR_NONE: Dissimilar.NONE,
    retrieval_pb2.DISSIMILAR_FARTHEST: Dissimilar.FARTHEST,
    retrieval_pb2.DISSIMILAR_HARD: Dissimilar.HARD,
}


def vector_of(message: vector_pb2.Vector, name: str) -> Vectors:
    """The components, float32 [d]. Raises `Rejected` when the bytes are not what `dimension` says."""
    if len(message.values) != 4 * message.dimension or not message.dimension:
        raise Rejected(f"{name}: {len(message.values)} bytes do not hold {message.dimension} float32", field=name)
    return np.frombuffer(message.values, dtype="<f4").astype(np.float32)


def vectors_of(message: vector_pb2.ImageVectors) -> ImageVectors:
    """The three vectors of a photo. Raises `Rejected`."""
    return ImageVectors(
        vector_of(message.clip, "clip"),
        vector_of(message.text_aligned, "text_aligned"),
        vector_of(message.gps_aligned, "gps_aligned"),
    )


def reference_of(message: retrieval_pb2.Reference) -> Reference:
    """A reference. Raises `Rejected`."""
    if not message.HasField("coordinates"):
        raise Rejected("a reference needs coordinates", field="coordinates")
    place = message.place
    return Reference(
        message.id,
        Coordinates(message.coordinates.latitude, message.coordinates.longitude),
        Place(city=place.city, state=place.state, country=place.country, country_code=place.country_code),
        message.author,
    )


def search_of(message: retrieval_pb2.SearchRequest) -> Search:
    """A search. Raises `Rejected`."""
    if message.retrieval_vector not in _RETRIEVAL_VECTORS:
        raise Rejected("retrieval_vector is no value of this contract", field="retrieval_vector")
    if message.dissimilar_kind not in _DISSIMILAR:
        raise Rejected("dissimilar_kind is no value of this contract", field="dissimilar_kind")
    return Search(
        collection=message.collection or DEFAULT_ALIAS,
        model=message.model,
        vectors=vectors_of(message.vectors),
        retrieval_vector=_RETRIEVAL_VECTORS[message.retrieval_vector],
        similar=message.similar,
        dissimilar=message.dissimilar,
        dissimilar_kind=_DISSIMILAR[message.dissimilar_kind],
        filter=filter_of(message.filter),
    )


def many_search_of(
    message: retrieval_pb2.SearchManyRequest, collection: str, vectors: tuple[ImageVectors, ...]
) -> ManySearch:
    """A question about many photos, whose vectors are read already. Raises `Rejected`."""
    if message.retrieval_vector not in _RETRIEVAL_VECTORS:
        raise Rejected("retrieval_vector is no value of this contract", field="retrieval_vector")
    return ManySearch(
        collection=collection,
        model=message.model,
        vectors=vectors,
        similar=message.similar,
        retrieval_vector=_RETRIEVAL_VECTORS[message.retrieval_vector],
        filter=filter_of(message.filter),
    )


def filter_of(message: retrieval_pb2.Filter) -> Filter:
    """A filter. Raises `Rejected`."""
    box = message.bounding_box
    bounds = BoundingBox(south=box.south, west=box.west, north=box.north, east=box.east)
    return Filter(
        country_codes=tuple(message.country_codes),
        bounding_box=bounds if message.HasField("bounding_box") else None,
        excluded_ids=tuple(message.excluded_ids),
        excluded_authors=tuple(message.excluded_authors),
    )


def matches(found: Sequence[Match]) -> list[retrieval_pb2.Match]:
    """Matches as messages."""
    return [retrieval_pb2.Match(reference=reference(m.reference), similarity=m.similarity) for m in found]


def reference(noun: Reference) -> retrieval_pb2.Reference:
    """A reference as a message."""
    place, point = noun.place, noun.coordinates
    return retrieval_pb2.Reference(
        id=noun.id,
        coordinates=geography_pb2.Coordinates(latitude=point.latitude, longitude=point.longitude),
        place=geography_pb2.Place(
            city=place.city, state=place.state, country=place.country, country_code=place.country_code
        ),
        author=noun.author,
    )


def page(listed: Page, version: Version, token: str) -> retrieval_pb2.ListReferencesResponse:
    """A page of a listing as a message."""
    answer = retrieval_pb2.ListReferencesResponse(
        references=[reference(noun) for noun in listed.references],
        next_page_token=token,
        collection=version.name,
        model=version.model,
    )
    if listed.stored is not None:
        # What is stored is scaled by 1/√3, what travels are unit vectors.
        units = (listed.stored * np.float32(np.sqrt(3.0))).astype("<f4").reshape(-1, 3, version.dimension)
        for row in units:
            one = answer.vectors.add()
            for block, vector in zip((one.clip, one.text_aligned, one.gps_aligned), row, strict=True):
                block.values, block.dimension = vector.tobytes(), version.dimension
    return answer


def collection(noun: Collection) -> retrieval_pb2.Collection:
    """A collection as a message."""
    return retrieval_pb2.Collection(
        name=noun.name,
        dimension=noun.dimension,
        model=noun.model,
        count=noun.count,
        aliases=noun.aliases,
        index=noun.index,
        kind=retrieval_pb2.IndexKind.Value(f"INDEX_KIND_{noun.plan.kind}"),
        build_parameters={name: str(value) for name, value in noun.plan.build.items()},
        search_parameters={name: str(value) for name, value in noun.plan.search.items()},
        farthest_sample=noun.sample.size if noun.sample else 0,
    )


def kind_of(value: "retrieval_pb2.IndexKind.ValueType") -> IndexKind | None:
    """A kind of index; None when unspecified. Raises `Rejected`."""
    if value == retrieval_pb2.INDEX_KIND_UNSPECIFIED:
        return None
    if value not in retrieval_pb2.IndexKind.values():
        raise Rejected("kind is no value of this contract", field="kind")
    return IndexKind(retrieval_pb2.IndexKind.Name(value).removeprefix("INDEX_KIND_"))


def question_of(message: retrieval_pb2.MeasureRecallRequest) -> Question:
    """How recall is measured."""
    return Question(
        message.sample or USUAL.sample,
        message.k or USUAL.k,
        message.seed,
        message.noise if message.HasField("noise") else USUAL.noise,
    )


def measured(noun: Measured) -> retrieval_pb2.MeasureRecallResponse:
    """What was measured as a message."""
    return retrieval_pb2.MeasureRecallResponse(
        collection=noun.collection,
        similar=_recall(noun.similar),
        hard=_recall(noun.hard),
        farthest=_recall(noun.farthest),
        references=noun.references,
        sample=noun.sample,
        k=noun.k,
        farthest_sample=noun.farthest_sample,
    )


def _recall(noun: Recall) -> retrieval_pb2.Recall:
    return retrieval_pb2.Recall(mean=noun.mean, worst=noun.worst, perfect=noun.perfect)


def item_error(error: G3Error) -> vector_pb2.ItemError:
    """The error of one item."""
    return vector_pb2.ItemError(code=error.code, message=error.message)
