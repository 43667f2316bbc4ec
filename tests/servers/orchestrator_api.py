"""The orchestrator's public API as it really listens: uvicorn and gRPC on free ports over a real PostgreSQL."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import grpc
import httpx
import uvicorn
from g3_geography import Coordinates, Place
from g3_kit.grpc_server import GrpcServer
from g3_kit.health import Health
from g3_orchestrator import ingest_servicer, job_servicer, keys
from g3_orchestrator.blobs import BlobStore
from g3_orchestrator.ingest_servicer import IngestServicer
from g3_orchestrator.ingests import Ingests
from g3_orchestrator.intake import Intake
from g3_orchestrator.job_servicer import JobServicer
from g3_orchestrator.jobs import Jobs
from g3_orchestrator.model import Candidate, Failure, Match, Release, Result, Retrieval
from g3_orchestrator.rest.app import build
from g3_orchestrator.states import Origin, StageName
from g3_orchestrator.store.postgres import PostgresStore
from g3_orchestrator.waiting import Watches
from g3_protos.orchestrator.v1 import ingests_pb2_grpc, jobs_pb2_grpc

EIFFEL = Coordinates(48.85837, 2.294481)
PARIS = Place("Paris", "Île-de-France", "France", "FR")
RELEASE = Release("model-1", "gps-1", "references_v1")
REFERENCE = Match("photo 1", EIFFEL, PARIS, "somebody", 0.75)


@dataclass
class Api:
    """A running API and what stands behind it."""

    url: str
    target: str
    store: PostgresStore
    health: Health
    jobs: Jobs
    folder: Path

    def key(self, tenant: str = "acme") -> str:
        """A new key."""
        return keys.create(self.store, tenant)

    def client(self, key: str | None = None, *, timeout_s: float = 30.0) -> httpx.Client:
        """A REST client, with a key of the tenant acme unless another is given; "" sends none."""
        key = self.key() if key is None else key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s, trust_env=False)

    @contextlib.contextmanager
    def stub(self) -> Iterator[jobs_pb2_grpc.JobServiceStub]:
        """A gRPC client."""
        with grpc.insecure_channel(self.target) as channel:
            yield jobs_pb2_grpc.JobServiceStub(channel)

    def retrieve(self, job_id: str) -> None:
        """Does the job's first stage, and says that no LMM will be asked."""
        with self.store.locked(UUID(job_id), StageName.RETRIEVE) as work:
            work.lease("test", 30)
        with self.store.locked(UUID(job_id), StageName.RETRIEVE) as work:
            work.keep(Retrieval((REFERENCE,), (), bytes(8), RELEASE))
            work.finish()
            work.begin(StageName.VERIFY, budget_s=None, degraded=("generation",))

    def succeed(self, job_id: str) -> None:
        """Does the job's last stage."""
        candidate = Candidate(EIFFEL, Origin.RETRIEVED, 0.5, 1, PARIS, reference_id="photo 1")
        with self.store.locked(UUID(job_id), StageName.VERIFY) as work:
            work.lease("test", 30)
            work.finish()
            work.succeed(Result(EIFFEL, PARIS, 0.5, (candidate,), (REFERENCE,), (), RELEASE))

    def fail(self, job_id: str) -> None:
        """Gives the job up in its first stage."""
        with self.store.locked(UUID(job_id), StageName.RETRIEVE) as work:
            work.lease("test", 30)
            work.give_up("broken")
            work.fail(Failure("unavailable", "The embedding service did not answer."))


@contextlib.contextmanager
def orchestrator_api(
    database_url: str, folder: Path, *, heartbeat_s: float = 15.0, poll_s: float = 1.0
) -> Iterator[Api]:
    """A running API over a migrated database, with its blobs in `folder`."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(PostgresStore(database_url))
        watches = stack.enter_context(Watches(store, poll_s=poll_s))
        blobs = BlobStore(folder.as_uri())
        jobs, ingests = Jobs(store, Intake(blobs), watches), Ingests(store, blobs)
        verifier, health = keys.Keys(store), Health()
        port = stack.enter_context(_listening(build(jobs, ingests, verifier, health, heartbeat_s=heartbeat_s)))
        server = GrpcServer(host="127.0.0.1", port=0, health=Health())
        server.add(
            jobs_pb2_grpc.add_JobServiceServicer_to_server,
            JobServicer(jobs, verifier, watchers=2),
            job_servicer.SERVICE_NAME,
        )
        server.add(
            ingests_pb2_grpc.add_IngestServiceServicer_to_server,
            IngestServicer(ingests, verifier),
            ingest_servicer.SERVICE_NAME,
        )
        server.start()
        stack.callback(server.stop, 1.0)
        # streams end first, or the servers would wait for them
        stack.callback(watches.close)
        yield Api(f"http://127.0.0.1:{port}", f"127.0.0.1:{server.port}", store, health, jobs, folder)


@contextlib.contextmanager
def _listening(app: object) -> Iterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=5)  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=server.run, name="uvicorn")
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the API did not start")
            thread.join(0.01)
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(timeout=30)
