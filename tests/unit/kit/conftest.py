"""A room of two services over real gRPC in this process, scripted by the test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import grpc
import pytest
from g3_kit import grpc_client
from g3_kit.grpc_server import GrpcServer, Limits
from g3_kit.health import Health
from g3_protos.orchestrator.v1 import jobs_pb2, jobs_pb2_grpc
from g3_protos.verification.v1 import verification_pb2, verification_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

VERIFICATION = verification_pb2.DESCRIPTOR.services_by_name["VerificationService"].full_name
JOBS = jobs_pb2.DESCRIPTOR.services_by_name["JobService"].full_name


class Verification(verification_pb2_grpc.VerificationServiceServicer):
    """Does what `act` says; the answer's configuration is what it returns."""

    def __init__(self) -> None:
        self.act: Callable[[Any], str] = lambda context: "well"

    def DescribeModel(
        self, request: verification_pb2.DescribeModelRequest, context: grpc.ServicerContext
    ) -> verification_pb2.DescribeModelResponse:
        return verification_pb2.DescribeModelResponse(configuration=self.act(context))

    def PutGallery(
        self, request_iterator: Iterator[verification_pb2.PutGalleryRequest], context: grpc.ServicerContext
    ) -> verification_pb2.PutGalleryResponse:
        received = sum(len(request.coordinates) for request in request_iterator)
        self.act(context)
        return verification_pb2.PutGalleryResponse(received=received)

    def Score(
        self, request: verification_pb2.ScoreRequest, context: grpc.ServicerContext
    ) -> verification_pb2.ScoreResponse:
        return verification_pb2.ScoreResponse()


class Jobs(jobs_pb2_grpc.JobServiceServicer):
    """Streams what `events` yields."""

    def __init__(self) -> None:
        self.events: Callable[[], Iterator[jobs_pb2.JobEvent]] = lambda: iter(())

    def WatchJob(self, request: jobs_pb2.WatchJobRequest, context: grpc.ServicerContext) -> Iterator[jobs_pb2.JobEvent]:
        yield from self.events()


class Room:
    """The server, what it does, and stubs that call it."""

    def __init__(self, limits: Limits | None, *, client_bytes: int = 64 * 1024 * 1024) -> None:
        self.health = Health()
        self.verification = Verification()  # type: ignore[abstract] # what the tests do not call is left out
        self.jobs = Jobs()  # type: ignore[abstract] # the test watches, and calls nothing else
        self.server = GrpcServer(host="127.0.0.1", port=0, health=self.health, limits=limits)
        self.server.add(
            verification_pb2_grpc.add_VerificationServiceServicer_to_server, self.verification, VERIFICATION
        )
        self.server.add(jobs_pb2_grpc.add_JobServiceServicer_to_server, self.jobs, JOBS)
        self.server.start()
        self.target = f"127.0.0.1:{self.server.port}"
        self._stack = ExitStack()
        self.channel = self.open(max_message_bytes=client_bytes)
        self.plain = self._stack.enter_context(closing(grpc.insecure_channel(self.target)))
        self.stub = verification_pb2_grpc.VerificationServiceStub(self.channel)
        self.job_stub = jobs_pb2_grpc.JobServiceStub(self.channel)
        self._health_stub = health_pb2_grpc.HealthStub(self.plain)

    def open(self, **options: Any) -> grpc.Channel:
        return self._stack.enter_context(closing(grpc_client.channel(self.target, **options)))

    def describe(self, timeout: float = 10) -> str:
        answer = self.stub.DescribeModel(verification_pb2.DescribeModelRequest(), timeout=timeout)
        return answer.configuration

    def describe_later(self, timeout: float = 20) -> Any:
        return self.stub.DescribeModel.future(verification_pb2.DescribeModelRequest(), timeout=timeout)

    def serving(self, service: str = "", timeout: float = 5) -> bool:
        answer = self._health_stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def close(self) -> None:
        self._stack.close()
        self.server.stop(0)


class Gate:
    """A call that says it has come in and then waits to be let out."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.out = threading.Event()

    def __call__(self, context: Any) -> str:
        self.inside.release()
        assert self.out.wait(30)
        return "let out"


@pytest.fixture
def rooms() -> Iterator[Callable[..., Room]]:
    """Makes rooms that are closed at the end."""
    with ExitStack() as stack:

        def make(limits: Limits | None = None, **options: Any) -> Room:
            built = Room(limits, **options)
            stack.callback(built.close)
            return built

        yield make


@pytest.fixture
def room(rooms: Callable[..., Room]) -> Room:
    return rooms()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.out.set()
