"""Jobs a second when the stages do no work, beside a bare chain of three Celery tasks without a database.

    python tests/load/job_throughput.py [--jobs 300] [--rounds 5] [--wire] [--json]

Wanted: on RabbitMQ at least 0.3 of the chain. Both run in processes of their own, as in production, with the same
Celery settings, quorum queues and publisher confirms on the same broker, and take turns in one run. A job is stored,
relayed, claimed and completed three times against a real PostgreSQL; the services are the shipped fakes. A chain is
three tasks, each sending the next as Celery does (`send_task`). Without `--wire` the stage `generate` is claimed and
completed in its worker; with it the real generation worker asks a sampler that answers at once, and talks to the real
stage service.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pgmq
import psycopg
from g3_kit.celery_app import celery_app, declare
from g3_orchestrator.blobs import BlobStore
from g3_orchestrator.model import NewJob, PhotoRef
from g3_orchestrator.parameters import DEFAULT
from g3_orchestrator.states import Dissimilar
from g3_orchestrator.store.postgres import PostgresStore

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.servers import idle_workers
from tests.servers.idle_workers import PHOTO, SHA256, SIDE
from tests.servers.postgres import create_database, fresh_database, named, postgres
from tests.servers.rabbitmq import rabbitmq

WANTED = 0.3
# The smallest job that passes through all three stages.
PARAMETERS = replace(
    DEFAULT, references_per_prompt=(1,), samples_per_prompt=1, retrieved_candidates=1, dissimilar=Dissimilar.NONE
)
_ROUND_S = 120.0
_UNDER_WAY = "SELECT EXISTS (SELECT FROM stages WHERE state NOT IN ('done', 'dead'))"


def spawn(
    stack: contextlib.ExitStack, command: list[str], settings: dict[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """A process that ends with the stack."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment | {"OMP_NUM_THREADS": "1"} | (settings or {}),
        stdout=subprocess.PIPE,
    )

    def end() -> None:
        process.terminate()
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)
    return process


def role(stack: contextlib.ExitStack, *arguments: str) -> "subprocess.Popen[bytes]":
    """One of `idle_workers` in a process of its own, ready."""
    process = spawn(stack, [idle_workers.__file__, *arguments])
    assert process.stdout is not None
    if process.stdout.read(1) != b"R":
        raise RuntimeError(f"{arguments[0]} did not start")
    return process


class Chain:
    """Three Celery tasks, each sending the next."""

    def __init__(self, stack: contextlib.ExitStack, broker_url: str) -> None:
        self._sender = celery_app("chain", broker_url)
        stack.callback(self._sender.close)
        role(stack, "link", broker_url, "webhooks")
        self._last = role(stack, "link", broker_url, "ingest")

    def begin(self) -> None:
        """Sends the first task of one chain."""
        idle_workers.send(self._sender, "ingest", {"job_id": str(uuid.uuid4()), "stage": "x", "attempt": 1})

    def await_all(self, count: int) -> None:
        """Returns when so many have ended since the last call."""
        assert self._last.stdout is not None
        self._last.stdout.read(count)


class House:
    """Jobs through store, relay, coordinator and generation."""

    def __init__(
        self, stack: contextlib.ExitStack, broker_url: str, database_url: str, blobs: str, *, wire: bool
    ) -> None:
        self._store = stack.enter_context(PostgresStore(database_url))
        self._tenant = self._store.create_tenant("load").tenant_id
        self._look = stack.enter_context(psycopg.connect(database_url, autocommit=True))
        self._ended = 0
        settings = {"G3_DATABASE_URL": database_url, "G3_BROKER_URL": broker_url, "G3_LOG_LEVEL": "WARNING"}
        spawn(stack, ["-m", "g3_orchestrator", "relay"], settings)
        role(stack, "coordinate", broker_url, database_url)
        if wire:
            role(stack, "generate-wire", broker_url, self._stage_service(stack, settings, blobs))
        else:
            role(stack, "generate", broker_url, database_url)

    def _stage_service(self, stack: contextlib.ExitStack, settings: dict[str, str], blobs: str) -> str:
        BlobStore(blobs).put(self._tenant, SHA256, PHOTO)
        with contextlib.ExitStack() as held:
            spare = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
            ports = [str(listener.getsockname()[1]) for listener in spare]
        names = ("G3_API_PORT", "G3_JOBS_PORT", "G3_STAGES_PORT")
        spawn(
            stack,
            ["-m", "g3_orchestrator", "api"],
            settings | {"G3_BLOB_URL": blobs} | dict(zip(names, ports, strict=True)),
        )
        return f"127.0.0.1:{ports[-1]}"

    def begin(self) -> None:
        """Stores one job."""
        photo = PhotoRef(SHA256, *SIDE, len(PHOTO))
        self._store.create_job(self._tenant, NewJob(photo, PARAMETERS, request_hash=bytes(32)))

    def await_all(self, count: int) -> None:
        """Returns when so many have succeeded since the last call. Raises RuntimeError for what did not."""
        self._ended += count
        deadline = time.monotonic() + _ROUND_S
        while True:
            # As long as any stage is open a job is under way; looking costs next to nothing, counting does not.
            while time.monotonic() < deadline and self._look.execute(_UNDER_WAY).fetchone() != (False,):
                time.sleep(min(0.01, count / 1000))
            counted = self._look.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
            states: dict[str, int] = dict(counted)
            if states.get("succeeded") == self._ended:
                return
            if "failed" in states or time.monotonic() > deadline:
                raise RuntimeError(f"{self._ended} jobs should have succeeded: {states}")

    def analyze(self) -> None:
        """What autovacuum does within a database's first minutes: plans of an empty table are not what is measured."""
        self._look.execute("ANALYZE")

    def degraded(self) -> int:
        """Jobs that went on without generation: must be none."""
        row = self._look.execute("SELECT count(*) FROM jobs WHERE degraded <> '{}'").fetchone()
        assert row is not None
        return int(row[0])


Side = Chain | House


def rate(side: Side, count: int) -> float:
    """Ended a second, from the first submission (by four threads) to the last end."""
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(side.begin) for _ in range(count)]:
            future.result()
    side.await_all(count)
    return count / (time.monotonic() - began)


def alone_ms(side: Side, count: int) -> float:
    """Median milliseconds of one at a time, on an idle house."""
    taken = []
    for _ in range(count):
        began = time.monotonic()
        side.begin()
        side.await_all(1)
        taken.append((time.monotonic() - began) * 1000)
    return statistics.median(taken)


def embedded_broker(server_url: str) -> str:
    """A database with pgmq beside the orchestrator's, as the embedded stack has it."""
    create_database(server_url, "bell")
    url = named(server_url, "bell")
    pgmq.install_pgmq_from_sql(dsn=psycopg.conninfo.make_conninfo(url))
    return url.replace("postgresql://", "pgmq://", 1)


def measure(jobs: int, rounds: int, wire: bool) -> dict[str, dict[str, float | list[float]]]:
    """Rates of each side by round, and the time of one alone."""
    with tempfile.TemporaryDirectory(prefix="g3-load-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(postgres(folder / "postgres"))
        brokers = {"rabbitmq": stack.enter_context(rabbitmq(folder / "rabbitmq")), "embedded": embedded_broker(server)}
        sides: dict[str, Side] = {}
        for broker, url in brokers.items():
            declare(url)
            # Databases are dropped only after every process has gone.
            database_url = stack.enter_context(fresh_database(server))
            processes = stack.enter_context(contextlib.ExitStack())
            if broker == "rabbitmq":
                sides[f"chain on {broker}"] = Chain(processes, url)
            sides[f"jobs on {broker}"] = House(processes, url, database_url, (folder / "blobs").as_uri(), wire=wire)
        for side in sides.values():
            rate(side, 50)
            if isinstance(side, House):
                side.analyze()
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(rounds):
            for name in sides:
                rates[name].append(round(rate(sides[name], jobs), 1))
        alone = {side: round(alone_ms(sides[side], 15), 1) for side in sides}
        for side in sides.values():
            if isinstance(side, House) and side.degraded():
                raise RuntimeError(f"{side.degraded()} jobs went on without generation")
    return {
        side: {"median_per_s": statistics.median(rates[side]), "rounds": rates[side], "alone_ms": alone[side]}
        for side in rates
    }


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300, help="jobs, and chains, of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wire", action="store_true", help="the real generation worker and stage service")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    figures = measure(asked.jobs, asked.rounds, asked.wire)
    reference = statistics.median(figures["chain on rabbitmq"]["rounds"])  # type: ignore[arg-type]
    ratios = {
        side: round(statistics.median(figures[side]["rounds"]) / reference, 3)  # type: ignore[arg-type]
        for side in figures
    }
    met = ratios["jobs on rabbitmq"] >= WANTED
    if asked.json:
        print(json.dumps({"figures": figures, "ratios": ratios, "wanted": WANTED, "met": met}))
        return 0 if met else 1
    print(f"{asked.rounds} rounds of {asked.jobs}; ratios to the bare chain on RabbitMQ")
    for side, figure in figures.items():
        print(
            f"  {side:18} {figure['median_per_s']:7} /s  ratio {ratios[side]:5}  alone {figure['alone_ms']} ms", end=""
        )
        print(f"  rounds {figure['rounds']}")
    print(f"  wanted: jobs on RabbitMQ at least {WANTED} of the chain: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
