"""The whole house on one machine: which processes there are, what each is told, and in which order they start.

Each part that the environment names by a URL (`G3_DATABASE_URL`, `G3_BROKER_URL`, `G3_MILVUS_URI`, `G3_LMM_URL`) is
used and not started.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from g3_client.config import Connection
from g3_client.config import path as client_file
from g3_client.config import write as write_client
from g3_kit import celery_app, logs
from g3_kit.errors import Unavailable
from g3_world import models

from g3_local.home import Home, Ports, write
from g3_local.postgres import PostgresServer, install_queue
from g3_local.supervisor import Program, Supervisor

_log = logs.get("g3_local.stack")
_SERVER_S = 60.0
_LMM = "g3-demo-lmm"
_SERVICES = ("embedding", "retrieval", "verification")
ROOMS_S = 120.0
"""How long the rooms may take to become ready: importing torch on a slow disk is most of it."""

# Two rooms compute on the same few cores, and glibc keeps an arena for each of many threads.
_FRUGAL = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // 2)), "MALLOC_ARENA_MAX": "2"}


class Stack:
    """Builds the processes of one home and brings them up under a supervisor."""

    def __init__(self, home: Home, supervisor: Supervisor, environment: Mapping[str, str]) -> None:
        """`environment` is what the user has set; it is passed on to every room."""
        self._home = home
        self._supervisor = supervisor
        self._given = dict(environment)
        self._ports = Ports(home, environment)
        self._environment = self._given | _FRUGAL | {"PYTHONUNBUFFERED": "1"}
        self._slow: list[Program] = []
        # One for all checks: making a client reads every certificate authority, which took a third of a core.
        self._http = httpx.Client(timeout=2, trust_env=False)

    def up(self, stopping: threading.Event) -> bool:
        """Start everything and wait until all is ready; False when a stop was asked for first.

        Raises Unavailable with the process and its last words when something cannot start.
        """
        self._servers(stopping)
        if stopping.is_set():
            return False
        self._prepare()
        rooms = self._rooms()
        self._supervisor.start(rooms)
        return self._await([program.name for program in (*rooms, *self._slow)], ROOMS_S, stopping)

    # --- servers: PostgreSQL with the broker in it, Milvus, the LMM ---------------------------------------------

    def _servers(self, stopping: threading.Event) -> None:
        programs = []
        if "G3_DATABASE_URL" not in self._given or "G3_BROKER_URL" not in self._given:
            programs.append(self._postgres())
        if "G3_MILVUS_URI" not in self._given:
            programs.append(self._milvus())
        # Started with the servers, so that it outlives the worker that asks it, and awaited with the rooms: importing
        # torch takes it as long as them.
        self._slow = self._lmm()
        self._supervisor.start([*programs, *self._slow])
        if not self._await([program.name for program in programs], _SERVER_S, stopping):
            return
        if "G3_BROKER_URL" in self._given:
            celery_app.declare(self._environment["G3_BROKER_URL"])

    def _postgres(self) -> Program:
        port = self._ports.of("postgres")
        server = PostgresServer(self._home.path / "postgres", port)
        server.prepare()
        self._cluster = server
        return Program(
            name="postgres",
            command=server.command(),
            environment={"PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
            problem=server.problem,
            user=server.user,
            # The fast shutdown: PostgreSQL takes SIGTERM as "when the last client has gone".
            stop_signal=signal.SIGINT,
            address=f"127.0.0.1:{port}",
        )

    def _milvus(self) -> Program:
        port = self._ports.of("milvus")
        self._environment["G3_MILVUS_URI"] = f"http://127.0.0.1:{port}"
        program, data = Path(sys.executable).parent / "milvus-lite", self._home.path / "milvus"
        return Program(
            name="milvus",
            # Without --host it listens on every address, and it has no authentication.
            command=[str(program), "server", f"--data-dir={data}", "--host=127.0.0.1", f"--port={port}"],
            environment=self._environment,
            problem=lambda: _unreachable(port),
            address=f"127.0.0.1:{port}",
        )

    def _lmm(self) -> list[Program]:
        """The LMM of `G3_LMM_FOLDER`, or the demo's; none where an endpoint is named, or an empty one for "none"."""
        # Whoever brings an alignment model is not answered by an LMM that knows the demo's world alone.
        demo = models.LMM if "G3_CHECKPOINT" not in self._given else ""
        folder = self._given.get("G3_LMM_FOLDER") or demo
        if "G3_LMM_URL" in self._given or not folder:
            return []
        port = self._ports.of("lmm")
        name = self._environment.setdefault("G3_LMM_SERVED_NAME", _LMM)
        self._environment |= {"G3_LMM_FOLDER": str(folder), "G3_LMM_PORT": str(port), "G3_LMM_MODEL": name}
        self._environment["G3_LMM_URL"] = f"http://127.0.0.1:{port}/v1"
        # An answer in the form asked for has some 15 tokens of the demo's.
        self._environment.setdefault("G3_LMM_MAX_TOKENS", "64")
        return [self._room("lmm", "g3_world.lmm")]

    # --- what must be there before the first room starts --------------------------------------------------------

    def _prepare(self) -> None:
        if "G3_DATABASE_URL" not in self._given:
            self._cluster.create("g3")
            self._environment["G3_DATABASE_URL"] = self._cluster.role_url("g3")
        if "G3_BROKER_URL" not in self._given:
            # A database and a role of its own: the broker can be purged, moved or lost without touching the truth.
            self._cluster.create("bell")
            url = self._cluster.role_url("bell")
            install_queue(url)
            self._environment["G3_BROKER_URL"] = url.replace("postgresql://", "pgmq://", 1)
            # Workers that start together race on a trigger unless the queues are there.
            celery_app.declare(self._environment["G3_BROKER_URL"])
        # Who has the key of this stack is who runs it: a run may read whatever its worker may.
        self._environment.setdefault("G3_INGEST_ROOTS", "/")
        self._environment.setdefault("G3_INGEST_CACHE", str(self._home.path / "ingest"))
        blobs = self._home.path / "blobs"
        blobs.mkdir(exist_ok=True)
        self._environment.setdefault("G3_BLOB_URL", blobs.as_uri())
        self._environment.setdefault("G3_GALLERY_PATH", str(self._home.path / "galleries"))
        self._checkpoint()
        self._once("g3_orchestrator", "migrate")

    def _checkpoint(self) -> None:
        if "G3_CHECKPOINT" in self._given:
            return
        self._environment["G3_CHECKPOINT"] = str(models.ALIGNMENT)
        self._environment["G3_CHECKPOINT_SHA256"] = models.ALIGNMENT_SHA256

    def _once(self, module: str, *arguments: str) -> str:
        """Run a room's one-shot command and return what it printed. Raises Unavailable with its last words."""
        done = subprocess.run(  # noqa: S603 - our own rooms
            [sys.executable, "-m", module, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(f"{module} {arguments[0]} failed: {' '.join(done.stderr.strip().splitlines()[-3:])}")
        return done.stdout

    # --- the rooms ----------------------------------------------------------------------------------------------

    def _rooms(self) -> list[Program]:
        for listener in ("embedding", "retrieval", "verification", "api", "jobs", "stages"):
            port = self._ports.of(listener)
            self._environment[f"G3_{listener.upper()}_PORT"] = str(port)
            self._environment.setdefault(f"G3_{listener.upper()}_TARGET", f"127.0.0.1:{port}")
        return [
            self._room("embedding", "g3_embedding"),
            self._room("retrieval", "g3_retrieval"),
            self._room("verification", "g3_verification"),
            self._room("api", "g3_orchestrator", "api"),
            self._room("coordinator", "g3_orchestrator", "coordinator"),
            self._room("relay", "g3_orchestrator", "relay"),
            self._room("generation", "g3_generation"),
            self._room("ingest", "g3_ingest", "worker"),
        ]

    def _room(self, name: str, module: str, *arguments: str) -> Program:
        port = self._ports.of(f"{name}_metrics")
        return Program(
            name=name,
            command=[sys.executable, "-m", module, *arguments],
            environment=self._environment | {"G3_METRICS_PORT": str(port)},
            problem=lambda: _unready(self._http, f"http://127.0.0.1:{port}/readyz"),
            address=self._address(name),
        )

    def _address(self, name: str) -> str:
        if name == "api":
            return f"http://127.0.0.1:{self._environment['G3_API_PORT']}"
        port = self._environment.get(f"G3_{name.upper()}_PORT")
        return f"127.0.0.1:{port}" if port else ""

    def _await(self, names: list[str], timeout_s: float, stopping: threading.Event) -> bool:
        if self._supervisor.wait_ready(stopping, timeout_s=timeout_s, names=names):
            return True
        if stopping.is_set():
            return False
        unready = self._supervisor.unready(names)
        dying = [child.program.name for child in unready if child.failures]
        if dying:
            words = "; ".join(f"{name} says: {_last_words(self._home.logs / f'{name}.log')}" for name in dying)
            raise Unavailable(f"cannot start {', '.join(dying)}. {words}")
        slow = ", ".join(child.program.name for child in unready)
        raise Unavailable(f"not ready after {timeout_s:.0f} s: {slow}; the logs are in {self._home.logs}")

    # --- what the user needs ------------------------------------------------------------------------------------

    def hand_key(self) -> Connection:
        """Write the address and a key for the `g3` command; the key of an earlier start is kept."""
        url = f"http://127.0.0.1:{self._environment['G3_API_PORT']}"
        kept = self._home.path / "key"
        if not kept.exists():
            printed = self._once("g3_orchestrator", "key", "create", "--tenant", "local")
            write(kept, printed.strip().splitlines()[-1])
        targets = {room: f"127.0.0.1:{self._environment[f'G3_{room.upper()}_PORT']}" for room in _SERVICES}
        connection = Connection(url, kept.read_text(), targets)
        write_client(connection, self._home.client)
        if "G3_HOME" not in self._given:
            write_client(connection, client_file({}))
        return connection


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:500] if lines else "nothing"


def _unreachable(port: int) -> str | None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return None
    except OSError as error:
        return f"port {port}: {error.strerror or error}"


def _unready(client: httpx.Client, url: str) -> str | None:
    try:
        answer = client.get(url)
    except httpx.TransportError as error:
        return f"no answer yet ({type(error).__name__})"
    if answer.status_code == 200:
        return None
    problems: Mapping[str, str] = answer.json().get("problems", {})
    return "; ".join(f"{name}: {problem}" for name, problem in problems.items()) or f"status {answer.status_code}"


def bring_up(home: Home, environment: Mapping[str, str], stopping: threading.Event) -> None:
    """Run a stack until `stopping` is set. The state file says how far it is, and why it failed."""

    phases = {"now": "starting"}

    def publish(processes: Sequence[Mapping[str, object]]) -> None:
        home.write_state({"supervisor": os.getpid(), "phase": phases["now"], "processes": processes})

    supervisor = Supervisor(home.logs, publish)
    stack = Stack(home, supervisor, environment)
    try:
        if stack.up(stopping):
            connection = stack.hand_key()
            phases["now"] = "ready"
            supervisor.announce()
            _log.info("ready", url=connection.url)
            supervisor.run(stopping)
        phases["now"] = "stopping"
        supervisor.announce()
    except Unavailable as error:
        phases["now"] = f"failed: {error.message}"
        _log.error("cannot start", reason=error.message)
        raise
    finally:
        supervisor.stop()
        if not phases["now"].startswith("failed"):
            phases["now"] = "stopped"
        supervisor.announce()
