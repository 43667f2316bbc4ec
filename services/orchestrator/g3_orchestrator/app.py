"""The composition root: the only file that chooses concrete parts."""

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack

import uvicorn
from g3_geography import Gazetteer
from g3_kit import grpc_client, logs, telemetry
from g3_kit.celery_app import celery_app, work
from g3_kit.errors import G3Error, Rejected, Unavailable
from g3_kit.grpc_server import GrpcServer
from g3_kit.health import Health
from g3_protos.orchestrator.v1 import ingests_pb2_grpc, jobs_pb2_grpc, stages_pb2_grpc

from g3_orchestrator import ingest_servicer, job_servicer, stage_servicer
from g3_orchestrator.blobs import BlobStore
from g3_orchestrator.clients import GrpcEmbedder, GrpcScorer, GrpcSearcher
from g3_orchestrator.coordinator import Coordinator
from g3_orchestrator.dispatch import CeleryBells
from g3_orchestrator.galleries import Galleries
from g3_orchestrator.gallery_clients import GrpcGalleryShelf, GrpcReferenceList
from g3_orchestrator.ingests import Ingests
from g3_orchestrator.intake import Intake
from g3_orchestrator.jobs import Jobs
from g3_orchestrator.judging import Judge
from g3_orchestrator.keys import Keys
from g3_orchestrator.leases import Leases
from g3_orchestrator.relay import Relay
from g3_orchestrator.rest.app import build
from g3_orchestrator.retrieving import Retriever
from g3_orchestrator.settings import ApiSettings, BlobSettings, CoordinatorSettings, RelaySettings, StoreSettings
from g3_orchestrator.stages import Stages
from g3_orchestrator.store.postgres import PostgresStore
from g3_orchestrator.sweeper import Sweeper
from g3_orchestrator.tasks import register
from g3_orchestrator.waiting import Watches

_log = logs.get("g3_orchestrator.app")


class Pulse:
    """Asks a dependency every two seconds, so that health checks answer at once."""

    def __init__(self, ask: Callable[[], None], *, every_s: float = 2.0) -> None:
        self._ask = ask
        self._every_s = every_s
        self._stop = threading.Event()
        self.problem: str | None = "not asked yet"
        self.beat()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """Asks now."""
        try:
            self._ask()
        except G3Error as error:
            self.problem = error.message
        else:
            self.problem = None

    def close(self) -> None:
        """Stops asking."""
        self._stop.set()
        self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.beat()


def open_store(settings: StoreSettings, health: Health, stack: ExitStack) -> PostgresStore:
    """The store, with its health. Raises Unavailable when the database cannot be reached."""
    store = PostgresStore(
        settings.database_url, pool_size=settings.database_pool, statement_timeout_s=settings.statement_timeout_s
    )
    stack.callback(store.close)
    store.ping()
    pulse = Pulse(store.ping)
    stack.callback(pulse.close)
    health.add("database", lambda: pulse.problem)
    return store


def open_blobs(settings: BlobSettings, health: Health, stack: ExitStack) -> BlobStore:
    """The blob store, with its health."""
    blobs = BlobStore(settings.blob_url)
    pulse = Pulse(blobs.check, every_s=5.0)
    stack.callback(pulse.close)
    health.add("blobs", lambda: pulse.problem)
    return blobs


def start_api(settings: ApiSettings, health: Health, stack: ExitStack) -> None:
    """REST, the public gRPC service and, on a listener of its own, the stage service."""
    store = open_store(settings, health, stack)
    blobs = open_blobs(settings, health, stack)
    watches = Watches(store)
    jobs = Jobs(store, Intake(blobs), watches)
    ingests = Ingests(store, blobs)
    keys = Keys(store)

    stages = GrpcServer(host=settings.stages_host, port=settings.stages_port, health=health)
    stages.add(
        stages_pb2_grpc.add_StageServiceServicer_to_server,
        stage_servicer.StageServicer(Stages(store, settings.policy), store, blobs),
        stage_servicer.SERVICE_NAME,
    )
    public = GrpcServer(host=settings.host, port=settings.jobs_port, health=health)
    public.add(
        jobs_pb2_grpc.add_JobServiceServicer_to_server,
        job_servicer.JobServicer(jobs, keys),
        job_servicer.SERVICE_NAME,
    )
    public.add(
        ingests_pb2_grpc.add_IngestServiceServicer_to_server,
        ingest_servicer.IngestServicer(ingests, keys),
        ingest_servicer.SERVICE_NAME,
    )
    for server in (stages, public):
        server.start()
        stack.callback(server.stop)
    rest_port = _serve_rest(settings, uvicorn_app=build(jobs, ingests, keys, health), stack=stack)
    watches.start()
    # Closed first: whoever waits is answered, and the listeners can drain.
    stack.callback(watches.close)
    _log.info("listening", rest=rest_port, jobs=public.port, stages=stages.port)


def _serve_rest(settings: ApiSettings, *, uvicorn_app: object, stack: ExitStack) -> int:
    try:
        listener = socket.create_server((settings.host, settings.api_port), backlog=2048)
    except OSError as error:
        raise Rejected(f"cannot listen on {settings.host}:{settings.api_port}: {error.strerror}") from error
    # asyncio sets this by itself only on sockets whose protocol number is stated, which create_server's is not; without
    # it the body of every answer waits 40 ms for the caller's delayed acknowledgement of the headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = int(listener.getsockname()[1])
    config = uvicorn.Config(
        uvicorn_app,  # type: ignore[arg-type] # FastAPI is an ASGI application
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=20,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="rest", daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(timeout=25)
        listener.close()

    stack.callback(stop)
    while not server.started:
        if not thread.is_alive():
            raise Unavailable("the REST server did not start")
        thread.join(timeout=0.02)
    return port


def start_relay(settings: RelaySettings, health: Health, stack: ExitStack) -> None:
    """Relay loops and the sweeper's loop, each a thread that closes with the stack."""
    store = open_store(settings, health, stack)
    bells = CeleryBells(settings.broker_url)
    stack.callback(bells.close)
    stop = threading.Event()
    policy = settings.policy
    relay = Relay(store, bells, ring_again_s=policy.ring_again_s)
    sweeper = Sweeper(Stages(store, policy), store)
    loops = [threading.Thread(target=sweeper.run, args=(stop,), name="sweeper", daemon=True)]
    loops += [
        threading.Thread(target=relay.run, args=(store, stop), name=f"relay-{number}", daemon=True)
        for number in range(settings.relay_threads)
    ]

    def close() -> None:
        stop.set()
        for loop in loops:
            loop.join(timeout=10)

    stack.callback(close)
    for loop in loops:
        loop.start()
        health.add(loop.name, _alive(loop))


def _alive(loop: threading.Thread) -> Callable[[], str | None]:
    return lambda: None if loop.is_alive() else "its thread has died"


def build_coordinator(
    settings: CoordinatorSettings, store: PostgresStore, stages: Stages, health: Health, stack: ExitStack
) -> Coordinator:
    """The coordinator over the real services."""
    targets = (settings.embedding_target, settings.retrieval_target, settings.verification_target)
    embedding, retrieval, verification = (grpc_client.channel(target) for target in targets)
    for channel in (embedding, retrieval, verification):
        stack.callback(channel.close)
    leases = Leases(stages)
    stack.callback(leases.close)
    gazetteer = Gazetteer()
    # Its second and a half of reading belongs to the start, not to the first job.
    gazetteer.cities()
    references = GrpcReferenceList(retrieval)
    galleries = Galleries(GrpcGalleryShelf(verification), references, most=settings.gallery_most)
    _keep(galleries, health, stack)
    return Coordinator(
        stages,
        store,
        leases,
        retriever=Retriever(
            blobs=open_blobs(settings, health, stack),
            embedder=GrpcEmbedder(embedding),
            searcher=GrpcSearcher(retrieval, collection=settings.collection),
            gallery=galleries,
            references=references,
            namer=gazetteer,
        ),
        scorer=GrpcScorer(verification),
        namer=gazetteer,
        judge=Judge(gazetteer, settings.choice_model),
    )


def _keep(galleries: Galleries, health: Health, stack: ExitStack) -> None:
    stop = threading.Event()
    loop = threading.Thread(target=galleries.run, args=(stop,), name="galleries", daemon=True)

    def close() -> None:
        stop.set()
        loop.join(timeout=10)

    stack.callback(close)
    loop.start()
    health.add("galleries", _alive(loop))


def run_coordinator(settings: CoordinatorSettings, health: Health) -> None:
    """Works on the queue `coordinate` until SIGTERM, then finishes what is in hand."""
    consuming = threading.Event()
    health.add("broker", lambda: None if consuming.is_set() else "not consuming yet")

    def ready() -> None:
        consuming.set()
        _log.info("started")

    with ExitStack() as stack:
        if settings.metrics_port:
            stack.callback(telemetry.serve(settings.host, settings.metrics_port, health))
        store = open_store(settings, health, stack)
        coordinator = build_coordinator(settings, store, Stages(store, settings.policy), health, stack)
        concurrency = settings.coordinator_concurrency
        app = celery_app("orchestrator", settings.broker_url, queues=["coordinate"], concurrency=concurrency)
        stack.callback(app.close)
        register(app, coordinator)
        work(app, concurrency=concurrency, on_ready=ready, level=settings.log_level)
