"""A Celery worker as a room starts it, for tests of the brokers: `bell_worker.py URL FOLDER VISIBILITY_S`.

It writes `begin JOB` and `end JOB` to FOLDER/journal, and touches FOLDER/ready once it consumes. A job named `slow…`
lasts until FOLDER/go exists; a job named `raise…` raises.
"""

import sys
import time
from pathlib import Path

from g3_kit import logs
from g3_kit.celery_app import TASKS, celery_app, work

URL, FOLDER, VISIBILITY_S = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])


def write(line: str) -> None:
    """One line, whole, whoever else writes."""
    with (FOLDER / "journal").open("a") as journal:
        journal.write(f"{line}\n")


def main() -> None:
    """Works the queue `generate` until SIGTERM."""
    logs.configure("bell_worker")
    app = celery_app("bell_worker", URL, queues=["generate"], concurrency=2, visibility_s=VISIBILITY_S)

    @app.task(name=TASKS["generate"], ignore_result=True)  # type: ignore[untyped-decorator]
    def generate(job_id: str, stage: str, attempt: int) -> None:
        write(f"begin {job_id} {stage} {attempt}")
        if job_id.startswith("raise"):
            raise ValueError(job_id)
        ends = time.monotonic() + 60
        while job_id.startswith("slow") and not (FOLDER / "go").exists() and time.monotonic() < ends:
            time.sleep(0.02)
        write(f"end {job_id}")

    work(app, concurrency=2, on_ready=(FOLDER / "ready").touch)
    write("left")


if __name__ == "__main__":
    main()
