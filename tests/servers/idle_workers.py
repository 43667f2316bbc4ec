"""Workers whose stages do no work, each a process: `python tests/servers/idle_workers.py ROLE BROKER WHAT`.

They say R on standard output once they consume. WHAT is the database's URL, the stage service's target
(`generate-wire`) or the queue (`link`).
"""

import contextlib
import hashlib
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import celery
from g3_generation.fakes import FakeSampler
from g3_generation.generation import Generation
from g3_generation.grpc_stages import GrpcStages
from g3_generation.tasks import register as register_generation
from g3_geography import Coordinates
from g3_kit import grpc_client, logs
from g3_kit.celery_app import TASKS, celery_app, work
from g3_kit.errors import Conflict
from g3_orchestrator.coordinator import Coordinator
from g3_orchestrator.fakes import (
    FakeEmbedder,
    FakeGallery,
    FakeNamer,
    FakeReferenceList,
    FakeScorer,
    FakeSearcher,
    MemoryBlobs,
)
from g3_orchestrator.judging import Judge
from g3_orchestrator.leases import Leases
from g3_orchestrator.model import GalleryPoint
from g3_orchestrator.retrieving import Retriever
from g3_orchestrator.stages import Policy, Ref, Stages
from g3_orchestrator.states import StageName
from g3_orchestrator.store.postgres import PostgresStore
from g3_orchestrator.tasks import register as register_coordinator

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.servers import photos

SIDE = (64, 48)
PHOTO = photos.jpeg(side=SIDE)
SHA256 = hashlib.sha256(PHOTO).hexdigest()
COORDINATOR_THREADS, GENERATION_THREADS = 8, 4


def say(byte: bytes) -> None:
    """Tells the parent: R for ready, + for a finished chain."""
    os.write(sys.stdout.fileno(), byte)


def coordinate(broker_url: str, database_url: str) -> None:
    """The coordinator's worker over fake services."""
    with PostgresStore(database_url, pool_size=8) as store:
        blobs = MemoryBlobs()
        blobs.put(store.create_tenant("load").tenant_id, SHA256, PHOTO)
        stages = Stages(store, Policy())
        coordinator = Coordinator(
            stages,
            store,
            Leases(stages),
            retriever=Retriever(
                blobs=blobs,
                embedder=FakeEmbedder(),
                searcher=FakeSearcher(count=1),
                gallery=FakeGallery([GalleryPoint(Coordinates(10, 20), 0.5)]),
                references=FakeReferenceList(),
                namer=FakeNamer(),
            ),
            scorer=FakeScorer(),
            namer=FakeNamer(),
            judge=Judge(FakeNamer()),
        )
        app = celery_app("load", broker_url, queues=["coordinate"], concurrency=COORDINATOR_THREADS)
        register_coordinator(app, coordinator)
        work(app, concurrency=COORDINATOR_THREADS, on_ready=lambda: say(b"R"), level="WARNING")


def generate(broker_url: str, database_url: str) -> None:
    """A worker of the queue `generate` that claims and completes."""
    with PostgresStore(database_url, pool_size=4) as store:
        stages = Stages(store, Policy())
        app = celery_app("load", broker_url, queues=["generate"], concurrency=GENERATION_THREADS)

        @app.task(name=TASKS["generate"], ignore_result=True)  # type: ignore[untyped-decorator]
        def deliver(job_id: str, stage: str, attempt: int) -> None:
            ref = Ref(uuid.UUID(job_id), StageName(stage), attempt, uuid.uuid4().hex)
            # A stage that was rung for twice is refused the second time.
            with contextlib.suppress(Conflict):
                stages.claim(ref)
                stages.complete(ref)

        work(app, concurrency=GENERATION_THREADS, on_ready=lambda: say(b"R"), level="WARNING")


def generate_over_the_wire(broker_url: str, stages_target: str) -> None:
    """The real generation worker; its LMM answers at once."""
    with contextlib.closing(grpc_client.channel(stages_target)) as channel:
        app = celery_app("load", broker_url, queues=["generate"], concurrency=GENERATION_THREADS)
        register_generation(app, Generation(GrpcStages(channel), FakeSampler(lambda _, k: f"{k % 90}.5, 20.25")))
        work(app, concurrency=GENERATION_THREADS, on_ready=lambda: say(b"R"), level="WARNING")


def send(app: celery.Celery, queue: str, body: dict[str, object]) -> None:
    """As Celery sends: what a chain without this house would do, publisher confirms included."""
    app.send_task(TASKS[queue], kwargs=body, queue=queue, ignore_result=True, confirm_timeout=5.0)


def link(broker_url: str, queue: str) -> None:
    """A worker of the bare chain: ingest -> webhooks -> ingest, so that jobs on the same broker are not met."""
    threads = COORDINATOR_THREADS if queue == "ingest" else GENERATION_THREADS
    sender = celery_app("chain", broker_url)
    app = celery_app("load", broker_url, queues=[queue], concurrency=threads)

    @app.task(name=TASKS[queue], ignore_result=True)  # type: ignore[untyped-decorator]
    def deliver(job_id: str, stage: str, attempt: int) -> None:
        if attempt == 3:
            say(b"+")
        else:
            following = "webhooks" if queue == "ingest" else "ingest"
            send(sender, following, {"job_id": job_id, "stage": stage, "attempt": attempt + 1})

    work(app, concurrency=threads, on_ready=lambda: say(b"R"), level="WARNING")


ROLES: dict[str, Callable[[str, str], None]] = {
    "coordinate": coordinate,
    "generate": generate,
    "generate-wire": generate_over_the_wire,
    "link": link,
}

if __name__ == "__main__":
    logs.configure("load", "ERROR", "text")
    ROLES[sys.argv[1]](*sys.argv[2:])
