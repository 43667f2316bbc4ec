"""The Celery task: a bell rings for a stage."""

import time
from uuid import uuid4

import celery
from celery.exceptions import Reject
from celery.signals import worker_shutting_down
from g3_kit import logs
from g3_kit.celery_app import TASKS
from g3_kit.errors import G3Error
from prometheus_client import Counter, Histogram

from g3_generation.generation import Generation, Outcome
from g3_generation.stages import StageRef

_log = logs.get("g3_generation.tasks")
_STAGES = Counter("g3_generation_stages_total", "Deliveries of the bell by how they ended.", ["outcome"])
_SECONDS = Histogram(
    "g3_generation_stage_seconds",
    "Duration of one generate stage.",
    ["outcome"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300),
)


def register(app: celery.Celery, generation: Generation) -> None:
    """Gives `app` the task `g3.generate(job_id, stage, attempt)`, worked by `generation`."""

    @app.task(name=TASKS["generate"], ignore_result=True)  # type: ignore[untyped-decorator]
    def generate(job_id: str, stage: str, attempt: int) -> None:
        if deliver(generation, job_id, stage, attempt) is Outcome.DEFERRED:
            raise Reject(requeue=True)


def leave_when_told(generation: Generation) -> None:
    """At the first SIGTERM Celery takes no more messages and waits for the tasks in hand: `generation` ends them."""
    worker_shutting_down.connect(lambda **_: generation.leave(), weak=False)


def deliver(generation: Generation, job_id: str, stage: str, attempt: int) -> Outcome | None:
    """Works one delivery under a new claim id. Returns None when the orchestrator is away.

    It then ends all the same and its message is acknowledged: the sweeper rings again for what is not done.
    """
    ref = StageRef(job_id, stage, attempt, claim_id=uuid4().hex)
    began = time.monotonic()
    with logs.bound(job_id=job_id, stage=stage, attempt=attempt, claim_id=ref.claim_id):
        try:
            outcome = generation.run(ref)
        except G3Error as error:
            _STAGES.labels(error.code).inc()
            _log.warning("the stage was left to the sweeper", code=error.code, reason=error.message)
            return None
        seconds = time.monotonic() - began
        _STAGES.labels(outcome.value).inc()
        _SECONDS.labels(outcome.value).observe(seconds)
        _log.info("worked", outcome=outcome.value, seconds=round(seconds, 3))
        return outcome
