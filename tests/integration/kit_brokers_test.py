"""One suite over both brokers: what the system asks of a bell, kill -9 and a lost broker included."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import kombu
import pgmq
import psycopg
import pytest
from amqp.exceptions import MessageNacked, PreconditionFailed  # type: ignore[import-untyped]
from g3_kit import celery_app
from g3_kit.celery_app import Bell, declare, depths, purge
from g3_kit.errors import Unavailable
from psycopg import sql

from tests.servers.postgres import create_database, named

VISIBILITY_S = 3
WORKER = Path(__file__).parents[1] / "servers" / "bell_worker.py"
BODY = {"stage": "generate", "attempt": 1}


class Embedded:
    """pgmq on a database of its own, whose connections can be cut."""

    def __init__(self, postgres_url: str) -> None:
        self._postgres_url, self._name = postgres_url, f"bells_{os.getpid()}"
        create_database(postgres_url, self._name)
        database = named(postgres_url, self._name)
        pgmq.install_pgmq_from_sql(dsn=psycopg.conninfo.make_conninfo(database))
        self.url = database.replace("postgresql://", "pgmq://", 1)

    def cut(self) -> None:
        self._allow(False)

    def mend(self) -> None:
        self._allow(True)

    def _allow(self, allowed: bool) -> None:
        change = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with psycopg.connect(self._postgres_url, autocommit=True) as connection:
            connection.execute(change.format(sql.Identifier(self._name), sql.Literal(allowed)))
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (self._name,)
            )


class Rabbit:
    """RabbitMQ behind a line that can be cut."""

    def __init__(self, amqp_url: str) -> None:
        self._port = int(amqp_url.rstrip("/").rpartition(":")[2])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"amqp://guest:guest@127.0.0.1:{self._listener.getsockname()[1]}//"
        self._ends: list[socket.socket] = []
        self._up = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._up:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._port))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=(one, other), daemon=True).start()

    def cut(self) -> None:
        self._up = False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def mend(self) -> None:
        self._up = True

    def close(self) -> None:
        self.cut()
        self._listener.close()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError), source:
        while content := source.recv(65536):
            target.sendall(content)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


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


class Worker:
    """A worker's process and what it wrote."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        (folder / "ready").unlink(missing_ok=True)
        self._log = (folder / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), url, str(folder), str(VISIBILITY_S)], stdout=self._log, stderr=self._log
        )

    def ready(self) -> "Worker":
        assert eventually(lambda: (self.folder / "ready").exists(), 30), self.log()
        return self

    def journal(self) -> list[str]:
        path = self.folder / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(40)
        finally:
            self._log.close()


@pytest.fixture
def workers(broker: Any, tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker(broker.url, tmp_path))
        return started[-1]

    yield start
    for worker in started:
        worker.end(signal.SIGKILL)


def eventually(fact: Callable[[], object], seconds: float = 15) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if fact():
            return True
        time.sleep(0.05)
    return bool(fact())


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
        ends = [worker.end(signal.SIGTERM) for worker in together]
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


@RABBITMQ
@pytest.mark.parametrize(
    ("argument", "other"),
    [
        ("x-queue-type", "classic"),
        ("x-dead-letter-exchange", "elsewhere"),
        ("x-dead-letter-routing-key", "elsewhere"),
        ("x-overflow", "drop-head"),
    ],
)
def test_rabbitmq_holds_each_queue_with_these_arguments(rabbit: Rabbit, argument: str, other: str) -> None:
    declare(rabbit.url)
    for queue in celery_app.celery_app("look", rabbit.url).conf.task_queues:
        with kombu.Connection(rabbit.url) as connection:
            queue(connection.default_channel).queue_declare()
            changed = kombu.Queue(
                queue.name, queue.exchange, queue.name, queue_arguments={**queue.queue_arguments, argument: other}
            )
            with pytest.raises(PreconditionFailed, match=argument):
                changed(connection.channel()).queue_declare()


@RABBITMQ
def test_rabbitmq_keeps_what_nobody_can_handle_as_a_dead_letter(rabbit: Rabbit) -> None:
    declare(rabbit.url)
    purge(rabbit.url)
    bell = Bell(rabbit.url)
    bell.ring("generate", {"job_id": "poison", **BODY})
    bell.close()
    deliveries = 0

    def give_back(body: object, message: Any) -> None:
        nonlocal deliveries
        deliveries += 1
        message.reject(requeue=True)

    with kombu.Connection(rabbit.url) as connection:
        dead = kombu.Queue("generate.dead", no_declare=True)(connection.default_channel)
        # A message without a known task, of another test, is a dead letter too.
        dead.purge()
        with connection.Consumer(kombu.Queue("generate", no_declare=True), callbacks=[give_back], accept=["json"]):
            ends = time.monotonic() + 30
            while time.monotonic() < ends and not dead.queue_declare(passive=True).message_count:
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=0.2)
        letter = dead.get(accept=["json"])
        assert letter is not None
        letter.ack()
    # The limit counts what came back: the first delivery and twenty more.
    assert deliveries == 21
    assert letter.payload[1]["job_id"] == "poison"
    assert empty(rabbit)


@RABBITMQ
def test_rabbitmq_refuses_the_ring_when_its_queue_is_full(rabbit: Rabbit) -> None:
    """Overflow is reject-publish and the bell waits for confirms: the ringer learns that nobody heard it."""
    declare(rabbit.url)
    purge(rabbit.url)
    name = f"full{os.getpid()}"
    with kombu.Connection(rabbit.url, transport_options={"confirm_publish": True}) as connection:
        channel = connection.default_channel
        arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 1}
        kombu.Queue(name, kombu.Exchange("g3", type="direct"), name, queue_arguments=arguments)(channel).declare()
    app = celery_app.celery_app("full", rabbit.url, queues=[*celery_app.QUEUES])

    def publish_ten() -> None:
        for _ in range(10):
            with app.producer_pool.acquire() as producer:
                producer.publish({}, exchange="g3", routing_key=name, confirm_timeout=5, retry=False)

    with pytest.raises(MessageNacked):
        publish_ten()
    app.close()
