"""The generation worker as a process: a real broker, real gRPC, a real HTTP endpoint."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError

import pgmq
import pytest
from g3_dialogue import Prompt, Reference
from g3_generation.fakes import FakeStages
from g3_generation.generation import NO_ENDPOINT
from g3_generation.stages import Claim
from g3_kit import celery_app
from g3_kit.grpc_server import GrpcServer

from tests.servers.photos import jpeg
from tests.servers.postgres import create_database, named
from tests.servers.scripted_lmm import Hang, Says, ScriptedLmm
from tests.servers.stage_servicer import stage_server

SIMILAR = tuple(Reference(48.0 + k, 2.0) for k in range(15))
CLAIM = Claim(
    lease_s=30.0,
    budget_s=60.0,
    prompts=tuple(Prompt(index, 5, SIMILAR[:count]) for index, count in enumerate((0, 5, 10, 15))),
    held=frozenset(),
    photo=jpeg(side=(64, 48)),
    temperature=1.2,
)


@pytest.fixture(scope="module")
def broker_url(postgres_url: str) -> str:
    create_database(postgres_url, "generation_broker")
    dsn = named(postgres_url, "generation_broker")
    pgmq.install_pgmq_from_sql(dsn=dsn)
    url = dsn.replace("postgresql://", "pgmq://", 1)
    celery_app.declare(url)
    return url


@pytest.fixture
def stages() -> FakeStages:
    return FakeStages()


@pytest.fixture
def served(stages: FakeStages) -> Iterator[GrpcServer]:
    serving = stage_server(stages)
    serving.start()
    yield serving
    serving.stop(0)


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
    return {**kept, "OMP_NUM_THREADS": "1", **settings}


@contextmanager
def worker(broker_url: str, served: GrpcServer, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    told = environment(G3_BROKER_URL=broker_url, G3_STAGES_TARGET=f"127.0.0.1:{served.port}", **settings)
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, "-m", "g3_generation"], env=told, stderr=out)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            finally:
                process.kill()
                process.wait()


def ring(broker_url: str, job_id: str, attempt: int = 1) -> None:
    bell = celery_app.Bell(broker_url)
    try:
        bell.ring("generate", {"job_id": job_id, "stage": "generate", "attempt": attempt})
    finally:
        bell.close()


def until(condition: Callable[[], bool], log: Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text(errors="replace")[-4000:]
        time.sleep(0.05)


@pytest.mark.needs("postgres")
def test_a_bell_becomes_answers(broker_url: str, stages: FakeStages, served: GrpcServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    stages.put("job-1", CLAIM)
    with (
        ScriptedLmm([Says("here", "there")]) as lmm,
        worker(broker_url, served, log, G3_LMM_URL=lmm.url, G3_LMM_MODEL="m", G3_LMM_API_KEY="hush") as process,
    ):
        ring(broker_url, "job-1")
        until(lambda: stages.state("job-1") == "done", log)
        assert len(stages.answers("job-1")) == 20
        assert sorted(request.body["n"] for request in lmm.asked) == [5, 5, 5, 5]
        # the same bell once more, and one for a stage that nobody knows: both are acknowledged and change nothing
        ring(broker_url, "job-1")
        ring(broker_url, "job-unknown")
        until(lambda: celery_app.depths(broker_url, queues=["generate"])["generate"] == 0, log)
        stages.put("job-2", CLAIM)
        ring(broker_url, "job-2")
        until(lambda: stages.state("job-2") == "done", log)
        assert len(lmm.asked) == 8
    assert process.returncode == 0
    logged = log.read_text()
    assert '"outcome": "completed"' in logged
    assert '"job_id": "job-2"' in logged
    assert "hush" not in logged


@pytest.mark.needs("postgres")
def test_without_an_endpoint_jobs_are_given_back(
    broker_url: str, stages: FakeStages, served: GrpcServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    stages.put("job", CLAIM)
    with worker(broker_url, served, log):
        ring(broker_url, "job")
        until(lambda: stages.state("job") == "dead", log)
    assert stages.reason("job") == NO_ENDPOINT


@pytest.mark.needs("postgres")
def test_a_worker_killed_in_mid_stage_leaves_the_rest_to_the_next(
    broker_url: str, stages: FakeStages, served: GrpcServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    stages.put("job", CLAIM)
    with ScriptedLmm([Says("first"), Says("first"), Hang(), Hang(), Says("second")]) as lmm:
        settings = {"G3_LMM_URL": lmm.url, "G3_LMM_MODEL": "m"}
        with worker(broker_url, served, log, **settings) as process:
            ring(broker_url, "job")
            until(lambda: len(lmm.asked) == 4 and len(stages.answers("job")) == 10, log)
            process.kill()
        assert stages.state("job") == "leased"
        stages.put("job", CLAIM, attempt=2)
        with worker(broker_url, served, log, **settings):
            ring(broker_url, "job", attempt=2)
            until(lambda: stages.state("job") == "done", log)
        assert len(lmm.asked) == 6
    texts = [answer.text for answer in stages.answers("job")]
    assert sorted(texts) == ["first"] * 10 + ["second"] * 10


@pytest.mark.needs("postgres")
def test_metrics_and_readiness_are_served(
    broker_url: str, stages: FakeStages, served: GrpcServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    port = served.port + 1 if served.port < 65535 else served.port - 1

    def ready() -> bool:
        with suppress(URLError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
            return bool(response.status == 200)
        return False

    with worker(broker_url, served, log, G3_METRICS_PORT=str(port)):
        until(ready, log)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            assert "g3_generation_stages_total" in response.read().decode()


@pytest.mark.parametrize(
    ("settings", "at_fault"),
    [
        ({}, "G3_BROKER_URL"),
        ({"G3_BROKER_URL": "amqp://127.0.0.1", "G3_LMM_URL": "http://127.0.0.1/v1"}, "G3_LMM_MODEL"),
        ({"G3_BROKER_URL": "amqp://127.0.0.1", "G3_LMM_URL": "ftp://x", "G3_LMM_MODEL": "m"}, "G3_LMM_URL"),
    ],
)
def test_a_lacking_setting_is_named(settings: dict[str, str], at_fault: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "g3_generation"],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert at_fault in ended.stderr


@pytest.mark.needs("postgres")
def test_sigterm_gives_back_what_cannot_end_and_claims_no_more(
    broker_url: str, stages: FakeStages, served: GrpcServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    # A worker that was killed before has left its message there.
    celery_app.purge(broker_url, queues=["generate"])
    stages.put("asked", CLAIM)
    stages.put("waiting", CLAIM)
    settings = {"G3_LMM_MODEL": "m", "G3_LMM_CALLS": "1", "G3_LMM_DRAIN_S": "0.5"}
    with ScriptedLmm([Says("first"), Hang()]) as lmm:
        with worker(broker_url, served, log, G3_LMM_URL=lmm.url, **settings) as process:
            ring(broker_url, "asked")
            until(lambda: len(lmm.asked) == 2, log)
            # one call at a time is one stage in hand: the second is not claimed, its message waits in the worker
            ring(broker_url, "waiting")
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
        assert lmm.asked[1].abandoned.wait(5)
    assert stages.state("asked") == "released"
    assert {answer.text for answer in stages.answers("asked")} == {"first"}
    assert stages.state("waiting") == "dispatched"
    until(lambda: celery_app.depths(broker_url, queues=["generate"])["generate"] == 1, log)
    celery_app.purge(broker_url, queues=["generate"])
