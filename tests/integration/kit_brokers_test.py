"""One suite over both brokers: what the system asks of a bell, kill -9 and a lost broker included."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from g3_kit import celery_app
from g3_kit.celery_app import Bell, declare, depths, purge
from g3_kit.errors import Unavailable

from tests.servers.brokers import VISIBILITY_S, Embedded, Rabbit, Worker, eventually

BODY = {"stage": "generate", "attempt": 1}
RABBITMQ = pytest.mark.needs("rabbitmq")


@pytest.fixture(scope="module")
def embedded(postgres_url: str) -> Embedded:
    return Embedded(postgres_url)


@pytest.fixture(scope="module")
def rabbit(rabbitmq_url: str) -> Iterator[Rabbit]:
    line = Rabbit(rabbitmq_url)
    yield line
    line.close()


@pytest.fixture(params=["embedded", pytest.param("rabbit", marks=RABBITMQ)])
def broker(request: pytest.FixtureRequest) -> Any:
    """The broker, its queues declared and empty."""
    chosen = request.getfixturevalue(request.param)
    declare(chosen.url)
    purge(chosen.url)
    return chosen


@pytest.fixture
def bell(broker: Any) -> Iterator[Bell]:
    made = Bell(broker.url)
    yield made
    made.close()


@pytest.fixture
def workers(broker: Any, tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker(broker.url, tmp_path))
        return started[-1]

    yield start
    for worker in started:
        worker.end(signal.SIGKILL)


def _wrote(worker: Worker, line: str) -> bool:
    return line in worker.journal()


def empty(broker: Any) -> bool:
    return not any(depths(broker.url).values())


def test_a_ring_runs_its_task_and_an_acknowledged_message_is_gone(
    broker: Any, bell: Bell, workers: Callable[[], Worker]
) -> None:
    worker = workers().ready()
    for number in range(20):
        bell.ring("generate", {"job_id": f"j{number}", "stage": "generate", "attempt": number})
    assert eventually(lambda: sum(line.startswith("end") for line in worker.journal()) == 20), worker.log()
    assert worker.end(signal.SIGTERM) == 0
    begun = [line for line in worker.journal() if line.startswith("begin")]
    assert sorted(begun) == sorted(f"begin j{number} generate {number}" for number in range(20))
    # What had not been acknowledged would be waiting again now.
    assert empty(broker)


def test_each_queue_gets_its_own(broker: Any, bell: Bell) -> None:
    for count, queue in enumerate(celery_app.QUEUES, start=1):
        for _ in range(count):
            bell.ring(queue, {"job_id": "j", **BODY})
    assert dict(depths(broker.url)) == {"coordinate": 1, "generate": 2, "ingest": 3, "webhooks": 4}
    assert purge(broker.url) == 10
    assert empty(broker)


def test_declaring_again_beside_workers_and_bells_harms_nobody(
    broker: Any, workers: Callable[[], Worker], bell: Bell
) -> None:
    def rings_once(number: int) -> None:
        fresh = Bell(broker.url)
        fresh.ring("generate", {"job_id": f"j{number}", **BODY})
        fresh.close()

    worker = workers()
    with ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(declare, broker.url) for _ in range(6)]
        jobs += [pool.submit(rings_once, number) for number in range(6)]
        for job in jobs:
            job.result(60)
    worker.ready()
    declare(broker.url)
    assert eventually(lambda: sum(line.startswith("end") for line in worker.journal()) == 6), worker.log()
    assert worker.end(signal.SIGTERM) == 0
    assert empty(broker)


def test_workers_may_start_together(broker: Any, tmp_path: Path, bell: Bell) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    together = [Worker(broker.url, folder) for folder in folders]
    try:
        for worker in together:
            worker.ready()
            assert "deadlock" not in worker.log()
    finally:
        # At once: each takes seconds to leave, and none waits for another.
        with ThreadPoolExecutor(len(together)) as pool:
            ends = list(pool.map(lambda worker: worker.end(signal.SIGTERM), together))
    assert ends == [0, 0, 0]


def test_kill_9_in_mid_task_delivers_again(broker: Any, bell: Bell, workers: Callable[[], Worker]) -> None:
    first = workers().ready()
    bell.ring("generate", {"job_id": "slow", **BODY})
    assert eventually(lambda: first.journal() == ["begin slow generate 1"]), first.log()
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    (first.folder / "go").touch()
    second = workers().ready()
    assert eventually(lambda: "end slow" in second.journal(), VISIBILITY_S + 15), second.log()
    assert second.journal() == ["begin slow generate 1", "begin slow generate 1", "end slow"]
    assert second.end(signal.SIGTERM) == 0
    assert empty(broker)


def test_sigterm_finishes_the_task_in_hand(broker: Any, bell: Bell, workers: Callable[[], Worker]) -> None:
    worker = workers().ready()
    bell.ring("generate", {"job_id": "slow", **BODY})
    assert eventually(lambda: worker.journal()), worker.log()
    worker.process.terminate()
    time.sleep(1)
    assert worker.process.poll() is None
    bell.ring("generate", {"job_id": "next", **BODY})
    (worker.folder / "go").touch()
    assert worker.end(signal.SIGTERM) == 0
    assert {"begin slow generate 1", "end slow", "left"} <= set(worker.journal())
    # What came while it drained is either done as well or waits for the next worker, and the rest was acknowledged.
    assert depths(broker.url)["generate"] == (0 if "end next" in worker.journal() else 1)


def test_a_task_that_raises_is_acknowledged_and_logged_once(
    broker: Any, bell: Bell, workers: Callable[[], Worker]
) -> None:
    worker = workers().ready()
    bell.ring("generate", {"job_id": "raises", **BODY})
    bell.ring("generate", {"job_id": "after", **BODY})
    assert eventually(lambda: "end after" in worker.journal()), worker.log()
    # Longer than the embedded broker would take to deliver again.
    time.sleep(VISIBILITY_S + 1.5)
    assert worker.end(signal.SIGTERM) == 0
    assert worker.journal().count("begin raises generate 1") == 1
    assert worker.log().count("ValueError: raises") >= 1
    assert '"level": "error"' in worker.log()
    assert empty(broker)


def test_a_task_nobody_knows_does_not_stop_the_worker(broker: Any, bell: Bell, workers: Callable[[], Worker]) -> None:
    worker = workers().ready()
    stray = celery_app.celery_app("stray", broker.url)
    stray.send_task("g3.no_such_task", kwargs={}, queue="generate")
    stray.close()
    bell.ring("generate", {"job_id": "after", **BODY})
    assert eventually(lambda: "end after" in worker.journal()), worker.log()
    assert worker.end(signal.SIGTERM) == 0
    assert empty(broker)


def test_a_lost_broker_makes_rings_fail_and_its_return_heals_bell_and_worker(
    broker: Any, bell: Bell, workers: Callable[[], Worker]
) -> None:
    worker = workers().ready()
    bell.ring("generate", {"job_id": "before", **BODY})
    assert eventually(lambda: "end before" in worker.journal()), worker.log()
    broker.cut()
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            bell.ring("generate", {"job_id": "lost", **BODY}, timeout_s=2)
        with pytest.raises(Unavailable):
            depths(broker.url)
        assert time.monotonic() - began < 25
    finally:
        broker.mend()
    assert eventually(lambda: rings(bell, "after"), 20)
    assert eventually(lambda: "end after" in worker.journal(), 40), worker.log()
    assert worker.end(signal.SIGTERM) == 0


def rings(bell: Bell, job_id: str) -> bool:
    try:
        bell.ring("generate", {"job_id": job_id, **BODY})
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize("url", ["amqp://guest:guest@127.0.0.1:1//", "pgmq://me:hunter2@127.0.0.1:1/bells"])
@pytest.mark.parametrize("ask", [declare, depths, purge], ids=lambda ask: ask.__name__)
def test_a_broker_that_is_away_is_unavailable_within_seconds(url: str, ask: Callable[[str], object]) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="the broker does not answer") as raised:
        ask(url)
    assert time.monotonic() - began < 12
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", ["amqp://guest:guest@127.0.0.1:1//", "pgmq://me:hunter2@127.0.0.1:1/bells"])
def test_a_ring_for_a_broker_that_is_away_is_unavailable_within_seconds(url: str) -> None:
    bell = Bell(url)
    before = threading.active_count()
    began = time.monotonic()
    with pytest.raises(Unavailable, match="the broker does not answer"):
        bell.ring("generate", {"job_id": "j", **BODY}, timeout_s=2)
    assert time.monotonic() - began < 12
    bell.close()
    # No pool is left behind that goes on knocking.
    assert eventually(lambda: threading.active_count() <= before, 10)


def test_a_ring_of_the_embedded_broker_wakes_a_sleeping_worker_at_once(embedded: Embedded, tmp_path: Path) -> None:
    declare(embedded.url)
    purge(embedded.url)
    worker = Worker(embedded.url, tmp_path).ready()
    bell = Bell(embedded.url)
    try:
        waits = []
        for number in range(5):
            time.sleep(0.3)
            began = time.monotonic()
            bell.ring("generate", {"job_id": f"j{number}", **BODY})
            assert eventually(partial(_wrote, worker, f"end j{number}"))
            waits.append(time.monotonic() - began)
    finally:
        bell.close()
        worker.end(signal.SIGTERM)
    # Its poll alone would take half a second on average.
    assert sorted(waits)[2] < 0.35, waits


def test_a_backlog_on_the_embedded_broker_is_not_worked_off_at_the_pace_of_its_poll(
    embedded: Embedded, tmp_path: Path
) -> None:
    declare(embedded.url)
    purge(embedded.url)
    bell = Bell(embedded.url)
    for number in range(20):
        bell.ring("generate", {"job_id": f"j{number}", **BODY})
    bell.close()
    # Nobody rings any more, and the worker's prefetch is two.
    worker = Worker(embedded.url, tmp_path)
    try:
        assert eventually(worker.journal, 30), worker.log()
        began = time.monotonic()
        assert eventually(lambda: sum(line.startswith("end") for line in worker.journal()) == 20), worker.log()
        # A second for each two, if nothing but the poll woke it.
        assert time.monotonic() - began < 5
    finally:
        worker.end(signal.SIGTERM)
