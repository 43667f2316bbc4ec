"""The Celery task: a bell rings for a stage of an ingest run."""

import threading
import time
from uuid import uuid4

import celery
from celery.signals import worker_shutting_down
from g3_kit import logs
from g3_kit.celery_app import TASKS
from g3_kit.errors import G3Error
from prometheus_client import Counter, Histogram

from g3_ingest.run import IngestRun, Outcome
from g3_ingest.stages import StageRef

_log = logs.get("g3_ingest.tasks")
_STAGES = Counter("g3_ingest_stages_total", "Deliveries of the bell by how they ended.", ["stage", "outcome"])
_SECONDS = Histogram(
    "g3_ingest_stage_seconds", "Duration of one delivery.", ["stage"], buckets=(0.1, 1, 5, 15, 60, 300, 900, 1800)
)


def register(app: celery.Celery, run: IngestRun) -> None:
    """Gives `app` the task `g3.ingest(job_id, stage, attempt, shard)`, worked by `run`."""

    @app.task(name=TASKS["ingest"], ignore_result=True)  # type: ignore[untyped-decorator]
    def ingest(job_id: str, stage: str, attempt: int, shard: int = 0) -> None:
        deliver(run, StageRef(job_id, stage, attempt, uuid4().hex, shard))


def set_when_leaving(leaving: threading.Event) -> None:
    """Sets the event at the first SIGTERM: Celery then waits for the tasks in hand, and these stop at a batch."""
    worker_shutting_down.connect(lambda **_: leaving.set(), weak=False)


def deliver(run: IngestRun, ref: StageRef) -> Outcome | None:
    """Works one delivery. Returns None when the orchestrator is away.

    It then ends all the same and its message is acknowledged: the sweeper rings again for what is not done.
    """
    began = time.monotonic()
    bound = {"job_id": ref.job_id, "stage": ref.stage, "shard": ref.shard, "attempt": ref.attempt}
    with logs.bound(**bound, claim_id=ref.claim_id):
        try:
            outcome = run.work(ref)
        except G3Error as error:
            _STAGES.labels(ref.stage, error.code).inc()
            _log.warning("the stage was left to the sweeper", code=error.code, reason=error.message)
            return None
        seconds = time.monotonic() - began
        _STAGES.labels(ref.stage, outcome.value).inc()
        _SECONDS.labels(ref.stage).observe(seconds)
        _log.info("worked", outcome=outcome.value, seconds=round(seconds, 3))
        return outcome
