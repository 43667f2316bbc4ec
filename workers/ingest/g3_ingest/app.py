"""The composition root of the worker: settings to a running one."""

import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from g3_kit import grpc_client, logs, telemetry
from g3_kit.celery_app import celery_app, work
from g3_kit.errors import G3Error
from g3_kit.health import Health
from g3_kit.settings import load, redacted

from g3_ingest.filling import Services
from g3_ingest.grpc_embedder import GrpcEmbedder
from g3_ingest.grpc_references import GrpcReferences
from g3_ingest.grpc_stages import GrpcStages
from g3_ingest.opening import Sources
from g3_ingest.photos import Cleaner
from g3_ingest.run import IngestRun
from g3_ingest.settings import WorkerSettings
from g3_ingest.tasks import register, set_when_leaving

_ROOM = "ingest"


def main() -> None:
    """Works until SIGTERM, then gives back what is in hand. Exit status 2 for a missing or bad setting."""
    settings = load(WorkerSettings)
    logs.configure(_ROOM, settings.log_level, settings.log_format)
    log = logs.get(_ROOM)
    log.info("starting", settings=redacted(settings))
    try:
        _work(settings)
    except G3Error as error:
        log.error("cannot start", code=error.code, reason=error.message)
        sys.stderr.write(f"{_ROOM}: {error.message}\n")
        raise SystemExit(1) from None
    log.info("stopped")


def _work(settings: WorkerSettings) -> None:
    log = logs.get(_ROOM)
    health, leaving, consuming = Health(), threading.Event(), threading.Event()
    health.add("broker", lambda: None if consuming.is_set() else "not consuming yet")

    def ready() -> None:
        consuming.set()
        log.info("started")

    with ExitStack() as stack:
        if settings.metrics_port:
            stack.callback(telemetry.serve(settings.host, settings.metrics_port, health))
        targets = (settings.stages_target, settings.embedding_target, settings.retrieval_target)
        channels = [grpc_client.channel(target) for target in targets]
        for channel in channels:
            stack.callback(channel.close)
        services = Services(
            GrpcEmbedder(channels[1]),
            GrpcReferences(channels[2]),
            Cleaner(),
            batch=settings.ingest_batch,
            calls=settings.ingest_calls,
            cleaners=settings.ingest_cleaners,
        )
        sources = Sources(Path(settings.ingest_cache).expanduser(), settings.roots)
        run = IngestRun(GrpcStages(channels[0]), sources, services, leaving=leaving, turn_s=settings.ingest_turn_s)
        concurrency = settings.ingest_concurrency
        app = celery_app(_ROOM, settings.broker_url, queues=["ingest"], concurrency=concurrency)
        stack.callback(app.close)
        register(app, run)
        set_when_leaving(leaving)
        work(app, concurrency=concurrency, on_ready=ready, level=settings.log_level)
