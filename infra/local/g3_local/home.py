"""Where the embedded stack keeps its things: one folder, `$G3_HOME` or `~/.local/share/g3`."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g3_kit.errors import Conflict


@dataclass(frozen=True)
class Home:
    """The folder of one stack."""

    path: Path

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> "Home":
        """The folder that the environment names, made if it is missing."""
        given = environment.get("G3_HOME") or Path(environment.get("XDG_DATA_HOME") or "~/.local/share") / "g3"
        path = Path(given).expanduser().resolve()
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @property
    def logs(self) -> Path:
        """One file a process."""
        return self.path / "logs"

    @property
    def state(self) -> Path:
        """What the supervisor says of its processes."""
        return self.path / "state.json"

    @property
    def client(self) -> Path:
        """Address and key of the server, for the `g3` command."""
        return self.path / "client.json"

    def read_state(self) -> dict[str, Any]:
        """The last state written; empty when there is none."""
        try:
            state: dict[str, Any] = json.loads(self.state.read_text())
        except FileNotFoundError:
            return {}
        return state

    def write_state(self, state: Mapping[str, Any]) -> None:
        """Replace the state in one step: a reader sees the old one or the new one."""
        write(self.state, json.dumps(state, indent=1))

    def is_supervised(self) -> bool:
        """Whether a supervisor runs here: the lock answers, since a process id in a file may be anybody's by now."""
        with (self.path / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the supervisor's lock. Raises Conflict when another one holds it."""
        with (self.path / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"a stack runs in {self.path} already; stop it with `g3 down`") from None
            yield


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file in one step, readable by its owner only unless `mode` says otherwise."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as handle:
        handle.write(text)
    fresh.replace(path)


class Ports:
    """A port for every listener: the configured one, the one of last time, or a free one."""

    def __init__(self, home: Home, environment: Mapping[str, str]) -> None:
        """Remembers its choices in `ports.json`, so that a restart keeps the addresses."""
        self._file = home.path / "ports.json"
        self._environment = environment
        self._kept: dict[str, int] = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._taken: set[int] = set()

    def of(self, name: str) -> int:
        """The port of listener `name`; `G3_<NAME>_PORT` decides when it is set. Raises Conflict when that is taken."""
        configured = self._environment.get(f"G3_{name.upper()}_PORT")
        if configured:
            if not _is_free(int(configured)):
                raise Conflict(f"G3_{name.upper()}_PORT: port {configured} is taken by another process")
            return self._keep(name, int(configured))
        before = self._kept.get(name)
        if before and before not in self._taken and _is_free(before):
            return self._keep(name, before)
        while True:
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                port = int(listener.getsockname()[1])
            if port not in self._taken:
                return self._keep(name, port)

    def _keep(self, name: str, port: int) -> int:
        self._taken.add(port)
        self._kept[name] = port
        write(self._file, json.dumps(self._kept, indent=1))
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        # Connections of a server that ended a moment ago linger and don't take the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
