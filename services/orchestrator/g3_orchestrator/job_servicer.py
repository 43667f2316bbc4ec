"""JobService over gRPC: convert, call the service, convert back."""

import threading
from collections.abc import Iterator

import grpc
from g3_kit.errors import Exhausted
from g3_protos.orchestrator.v1 import jobs_pb2, jobs_pb2_grpc

from g3_orchestrator import convert
from g3_orchestrator.jobs import Jobs
from g3_orchestrator.keys import Keys, Principal
from g3_orchestrator.states import JobState, View

SERVICE_NAME = jobs_pb2.DESCRIPTOR.services_by_name["JobService"].full_name


class JobServicer(jobs_pb2_grpc.JobServiceServicer):
    """Errors of the tree are raised; the server's interceptor makes statuses of them."""

    def __init__(self, jobs: Jobs, keys: Keys, *, watchers: int = 32) -> None:
        """At most `watchers` streams are open at a time: each holds one of the server's threads (64)."""
        self._jobs = jobs
        self._keys = keys
        self._watching = threading.BoundedSemaphore(watchers)

    def SubmitJob(self, request: jobs_pb2.SubmitJobRequest, context: grpc.ServicerContext) -> jobs_pb2.Job:
        """Accepts a photo."""
        job, _ = self._jobs.submit(
            self._principal(context).tenant_id,
            request.photo,
            convert.asked(request.parameters),
            idempotency_key=request.idempotency_key,
            label=request.label,
        )
        return convert.job(job)

    def GetJob(self, request: jobs_pb2.GetJobRequest, context: grpc.ServicerContext) -> jobs_pb2.Job:
        """Reads one job."""
        return convert.job(self._jobs.get(self._principal(context).tenant_id, request.job_id))

    def ListJobs(self, request: jobs_pb2.ListJobsRequest, context: grpc.ServicerContext) -> jobs_pb2.ListJobsResponse:
        """Lists jobs, newest first; summaries unless asked for more."""
        page = self._jobs.page(
            self._principal(context).tenant_id,
            state=convert.word(JobState, request.state, "state"),
            limit=request.page_size,
            cursor=request.page_token,
            view=convert.word(View, request.view, "view") or View.SUMMARY,
        )
        return convert.page(page)

    def CancelJob(self, request: jobs_pb2.CancelJobRequest, context: grpc.ServicerContext) -> jobs_pb2.Job:
        """Cancels a job."""
        return convert.job(self._jobs.cancel(self._principal(context).tenant_id, request.job_id))

    def WatchJob(self, request: jobs_pb2.WatchJobRequest, context: grpc.ServicerContext) -> Iterator[jobs_pb2.JobEvent]:
        """Streams the job at every change until it has ended."""
        principal = self._principal(context)
        if not self._watching.acquire(blocking=False):
            raise Exhausted("Too many jobs are being watched through this server.", retry_after_s=5)
        try:
            events = self._jobs.watch(
                principal.tenant_id, request.job_id, request.after_event, wanted=lambda: bool(context.is_active())
            )
            for event in events:
                yield convert.event(event)
        finally:
            self._watching.release()

    def _principal(self, context: grpc.ServicerContext) -> Principal:
        return self._keys.authenticate(convert.authorization(context.invocation_metadata()))
