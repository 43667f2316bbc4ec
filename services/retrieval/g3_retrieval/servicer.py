"""RetrievalService: converts, calls, converts."""

import grpc
from g3_kit.errors import G3Error
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from prometheus_client import Counter

from g3_retrieval import convert, convert_batch
from g3_retrieval.recall import Stopped
from g3_retrieval.references import ImageVectors
from g3_retrieval.service import DEFAULT_ALIAS, Retrieval

SERVICE_NAME = retrieval_pb2.DESCRIPTOR.services_by_name["RetrievalService"].full_name

_WRITTEN = Counter("g3_retrieval_references_total", "References of upserts by what became of them.", ["outcome"])


class RetrievalServicer(retrieval_pb2_grpc.RetrievalServiceServicer):
    """The room's public face."""

    def __init__(self, retrieval: Retrieval) -> None:
        """`retrieval` does the work."""
        self._retrieval = retrieval

    def CreateCollection(
        self, request: retrieval_pb2.CreateCollectionRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.CreateCollectionResponse:
        """Makes a version."""
        made = self._retrieval.create(
            request.collection,
            request.dimension,
            request.model,
            convert.kind_of(request.kind),
            request.expected_references,
        )
        return retrieval_pb2.CreateCollectionResponse(collection=convert.collection(made))

    def Upsert(
        self, request: retrieval_pb2.UpsertRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.UpsertResponse:
        """Writes what is right and names what is wrong."""
        version = self._retrieval.check_upsert(request.collection, request.model, len(request.references))
        batch, errors = convert_batch.batch_of(request.references, version)
        written = self._retrieval.upsert(request.collection, request.model, batch)
        _WRITTEN.labels("written").inc(written)
        _WRITTEN.labels("refused").inc(len(errors))
        return retrieval_pb2.UpsertResponse(
            written=written, errors={number: convert.item_error(error) for number, error in errors.items()}
        )

    def Publish(
        self, request: retrieval_pb2.PublishRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.PublishResponse:
        """Points an alias at a version."""
        previous, measured = self._retrieval.publish(
            request.collection,
            request.alias,
            request.minimum_recall,
            convert.question_of(request.recall),
            _stopped(context),
        )
        recall = convert.measured(measured) if measured else None
        return retrieval_pb2.PublishResponse(previous=previous, recall=recall)

    def Drop(self, request: retrieval_pb2.DropRequest, context: grpc.ServicerContext) -> retrieval_pb2.DropResponse:
        """Removes a version."""
        self._retrieval.drop(request.collection)
        return retrieval_pb2.DropResponse()

    def Search(
        self, request: retrieval_pb2.SearchRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.SearchResponse:
        """Finds references."""
        found = self._retrieval.search(convert.search_of(request))
        return retrieval_pb2.SearchResponse(
            similar=convert.matches(found.similar),
            dissimilar=convert.matches(found.dissimilar),
            collection=found.collection,
            model=found.model,
            farthest_sample=found.farthest_sample,
        )

    def SearchMany(
        self, request: retrieval_pb2.SearchManyRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.SearchManyResponse:
        """Finds the similar references of many photos."""
        collection = request.collection or DEFAULT_ALIAS
        version = self._retrieval.check_many(collection, request.model, len(request.vectors), request.similar)
        outcomes: list[ImageVectors | G3Error] = []
        for item in request.vectors:
            try:
                vectors = convert.vectors_of(item)
                version.check(request.model, vectors.dimension)
                outcomes.append(vectors)
            except G3Error as error:
                outcomes.append(error)
        good = tuple(outcome for outcome in outcomes if not isinstance(outcome, G3Error))
        # The version and not the alias: every photo is compared with the same references.
        search = convert.many_search_of(request, version.name, good)
        found = iter(self._retrieval.search_many(search).similar if good else ())
        results = [
            retrieval_pb2.SearchResult(error=convert.item_error(outcome))
            if isinstance(outcome, G3Error)
            else retrieval_pb2.SearchResult(matches=retrieval_pb2.Matches(similar=convert.matches(next(found))))
            for outcome in outcomes
        ]
        return retrieval_pb2.SearchManyResponse(results=results, collection=version.name, model=version.model)

    def Describe(
        self, request: retrieval_pb2.DescribeRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.DescribeResponse:
        """States a collection."""
        described = self._retrieval.describe(request.collection)
        return retrieval_pb2.DescribeResponse(collection=convert.collection(described))

    def ListCollections(
        self, request: retrieval_pb2.ListCollectionsRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.ListCollectionsResponse:
        """Lists the versions."""
        listed = [convert.collection(collection) for collection in self._retrieval.collections()]
        return retrieval_pb2.ListCollectionsResponse(collections=listed)

    def Held(self, request: retrieval_pb2.HeldRequest, context: grpc.ServicerContext) -> retrieval_pb2.HeldResponse:
        """Says which ids are there."""
        return retrieval_pb2.HeldResponse(ids=self._retrieval.held(request.collection, request.ids))

    def ListReferences(
        self, request: retrieval_pb2.ListReferencesRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.ListReferencesResponse:
        """Gives a page of references."""
        wanted = convert.filter_of(request.filter)
        listed = self._retrieval.listed(
            request.collection, request.page_token, request.page_size, wanted, request.with_vectors
        )
        return convert.page(*listed)

    def MeasureRecall(
        self, request: retrieval_pb2.MeasureRecallRequest, context: grpc.ServicerContext
    ) -> retrieval_pb2.MeasureRecallResponse:
        """Measures recall."""
        question = convert.question_of(request)
        return convert.measured(self._retrieval.measure(request.collection, question, _stopped(context)))


def _stopped(context: grpc.ServicerContext) -> Stopped:
    # Not active: cancelled, or past its deadline.
    return lambda: not context.is_active()
