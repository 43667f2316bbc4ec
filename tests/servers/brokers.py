"""Both brokers as tests use them, with a line that can be cut, and a worker's process on either."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pgmq
import psycopg
from psycopg import sql

from tests.servers.postgres import create_database, named

VISIBILITY_S = 3
"""Seconds until the embedded broker delivers again; its default would make tests slow."""
WORKER = Path(__file__).with_name("bell_worker.py")


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


def eventually(fact: Callable[[], object], seconds: float = 15) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if fact():
            return True
        time.sleep(0.05)
    return bool(fact())
