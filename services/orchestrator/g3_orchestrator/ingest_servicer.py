"""IngestService over gRPC: convert, call the service, convert back."""

import grpc
from g3_protos.orchestrator.v1 import ingests_pb2, ingests_pb2_grpc

from g3_orchestrator import convert, convert_runs
from g3_orchestrator.ingests import Ingests
from g3_orchestrator.keys import Keys, Principal
from g3_orchestrator.states import JobState

SERVICE_NAME = ingests_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name


class IngestServicer(ingests_pb2_grpc.IngestServiceServicer):
    """Errors of the tree are raised; the server's interceptor makes statuses of them."""

    def __init__(self, ingests: Ingests, keys: Keys) -> None:
        self._ingests = ingests
        self._keys = keys

    def SubmitIngest(
        self, request: ingests_pb2.SubmitIngestRequest, context: grpc.ServicerContext
    ) -> ingests_pb2.Ingest:
        """Accepts a run."""
        run, _ = self._ingests.submit(
            self._principal(context).tenant_id,
            convert_runs.spec_of(request.spec),
            idempotency_key=request.idempotency_key,
            label=request.label,
        )
        return convert_runs.ingest(run)

    def GetIngest(self, request: ingests_pb2.GetIngestRequest, context: grpc.ServicerContext) -> ingests_pb2.Ingest:
        """Reads one run."""
        return convert_runs.ingest(self._ingests.get(self._principal(context).tenant_id, request.ingest_id))

    def ListIngests(
        self, request: ingests_pb2.ListIngestsRequest, context: grpc.ServicerContext
    ) -> ingests_pb2.ListIngestsResponse:
        """Lists runs, newest first."""
        page = self._ingests.page(
            self._principal(context).tenant_id,
            state=convert.word(JobState, request.state, "state"),
            limit=request.page_size,
            cursor=request.page_token,
        )
        return convert_runs.page(page)

    def CancelIngest(
        self, request: ingests_pb2.CancelIngestRequest, context: grpc.ServicerContext
    ) -> ingests_pb2.Ingest:
        """Cancels a run."""
        return convert_runs.ingest(self._ingests.cancel(self._principal(context).tenant_id, request.ingest_id))

    def _principal(self, context: grpc.ServicerContext) -> Principal:
        return self._keys.authenticate(convert.authorization(context.invocation_metadata()))
