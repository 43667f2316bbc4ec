"""The Celery task of the queue `coordinate`."""

import time
from uuid import UUID

import celery
from g3_kit import logs
from g3_kit.celery_app import TASKS
from g3_kit.errors import G3Error
from prometheus_client import Histogram

from g3_orchestrator.coordinator import Coordinator
from g3_orchestrator.states import StageName

_log = logs.get("g3_orchestrator.tasks")
_SECONDS = Histogram(
    "g3_coordinator_stage_seconds",
    "Duration of one delivery.",
    ["stage"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


def register(app: celery.Celery, coordinator: Coordinator) -> None:
    """Gives `app` the task `g3.coordinate(job_id, stage, attempt)`."""

    @app.task(name=TASKS["coordinate"], ignore_result=True)  # type: ignore[untyped-decorator]
    def coordinate(job_id: str, stage: str, attempt: int) -> None:
        deliver(coordinator, job_id, stage, attempt)


def deliver(coordinator: Coordinator, job_id: str, stage: str, attempt: int) -> None:
    """Works on one delivery. Its message is acknowledged whatever happens: the sweeper rings again for what is left."""
    began = time.monotonic()
    with logs.bound(job_id=job_id, stage=stage, attempt=attempt):
        try:
            coordinator.work(UUID(job_id), StageName(stage), attempt)
        except G3Error as error:
            _log.warning("the stage was left to the sweeper", code=error.code, reason=error.message)
        _SECONDS.labels(stage).observe(time.monotonic() - began)
