"""Relay and coordinator as real processes over a real RabbitMQ."""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from g3_kit.celery_app import declare
from g3_orchestrator.states import JobState

from tests.servers.house import house

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.needs("rabbitmq")]


def test_a_message_reaches_the_coordinator_and_its_failure_the_job(
    database_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    declare(rabbitmq_url)
    settings = {
        "PATH": "/usr/bin:/bin",
        "G3_DATABASE_URL": database_url,
        "G3_BROKER_URL": rabbitmq_url,
        "G3_BLOB_URL": (tmp_path / "blobs").as_uri(),
    }
    with ExitStack() as stack:
        home = stack.enter_context(house(database_url))
        processes = [_started(stack, command, settings, tmp_path) for command in ("relay", "coordinator")]
        job = home.submit()
        # The photo lies in the memory of this process only: the coordinator finds none in the folder, for good.
        deadline = time.monotonic() + 60
        while not home.job(job).state.ended and time.monotonic() < deadline:
            assert all(process.poll() is None for process in processes), _logs(tmp_path)
            time.sleep(0.1)
        ended = home.job(job)
    assert ended.state is JobState.FAILED, _logs(tmp_path)
    assert ended.failure is not None
    assert ended.failure.code == "missing"
    assert [process.returncode for process in processes] == [0, 0], _logs(tmp_path)


def _started(stack: ExitStack, command: str, settings: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    log = stack.enter_context((folder / f"{command}.log").open("wb"))
    process = subprocess.Popen([sys.executable, "-m", "g3_orchestrator", command], env=settings, stderr=log, stdout=log)
    stack.callback(_stopped, process)
    return process


def _stopped(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.log")))
