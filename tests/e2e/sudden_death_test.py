"""kill -9 of any one process in mid-job: the supervisor starts it again, and every job ends with exactly one result."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from tests.servers.photos import jpeg
from tests.servers.stack import LocalStack, eventually

PROCESSES = (
    "api",
    "coordinator",
    "relay",
    "generation",
    "embedding",
    "retrieval",
    "verification",
    "milvus",
    "postgres",
)
JOBS = 4
MOST_S = 90.0


def results_of(stack: LocalStack, job_ids: list[str]) -> dict[str, int]:
    """Result rows a job, read from the database and not from the API."""
    with psycopg.connect(stack.database_url()) as connection:
        rows = connection.execute(
            "SELECT job_id::text, count(*) FROM results WHERE job_id = ANY(%s::uuid[]) GROUP BY job_id", [job_ids]
        ).fetchall()
    return {str(job_id): int(count) for job_id, count in rows}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_killed_process_costs_no_job(stack: LocalStack, process: str) -> None:
    before = stack.processes()[process]
    with stack.client() as g3:
        jobs = [g3.submit(jpeg(seed=1000 + number), label=process) for number in range(JOBS)]
        os.kill(before["pid"], signal.SIGKILL)
        eventually(
            lambda: (
                stack.processes()[process]["restarts"] > before["restarts"]
                and all(other["ready"] for other in stack.processes().values())
            ),
            within_s=MOST_S,
            what=f"{process} started again and everything ready",
        )
        ended = [g3.wait(job, timeout_s=MOST_S) for job in jobs]
    assert [job.state for job in ended] == ["succeeded"] * JOBS, [job.failure for job in ended]
    assert results_of(stack, [job.job_id for job in jobs]) == {job.job_id: 1 for job in jobs}


def test_a_restart_keeps_jobs_and_addresses(stack: LocalStack) -> None:
    with stack.client() as g3:
        before = g3.locate(jpeg(seed=2000))
    addresses = {name: process["address"] for name, process in stack.processes().items()}
    stack.down()
    stack.up()
    assert {name: process["address"] for name, process in stack.processes().items()} == addresses
    with stack.client() as g3:
        assert g3.get(before.job_id).result == before.result
        assert g3.locate(jpeg(seed=2001)).succeeded


def test_no_room_outlives_a_killed_supervisor(stack: LocalStack) -> None:
    """The last test of this stack: it leaves it down, and up again."""
    state = stack.processes()
    supervisor = int(stack.read_state()["supervisor"])
    os.kill(supervisor, signal.SIGKILL)
    pids = [process["pid"] for process in state.values()]
    eventually(lambda: not any(_lives(pid) for pid in pids), within_s=60, what="every room ended")
    stack.up()
    with stack.client() as g3:
        assert g3.locate(jpeg(seed=2002)).succeeded


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie that nobody has buried yet has ended.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
