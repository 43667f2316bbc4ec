"""The embedded stack as a user starts it, in a folder of its own: `g3 up`, real processes, `g3 down`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from g3_client import G3
from g3_client.config import find

_COMMAND_S = 240


class LocalStack:
    """One stack; use it as a context manager."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """Keep everything in `folder` and pass `settings` to every room."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
        self.environment = clean | {"G3_HOME": str(folder)} | dict(settings or {})
        self.folder = folder

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `g3` command against this stack."""
        program = Path(sys.executable).parent / "g3"
        return subprocess.run(
            [str(program), *arguments], env=self.environment, capture_output=True, text=True, timeout=_COMMAND_S
        )

    def up(self) -> None:
        """`g3 up`, without references. Raises AssertionError with what it said."""
        done = self.command("up", "--bare")
        logs = "\n".join(f"{log.name}: {log.read_text()[-600:]}" for log in (self.folder / "logs").glob("*.log"))
        assert done.returncode == 0, f"{done.stderr}\n{logs}"

    def down(self) -> None:
        """`g3 down`."""
        done = self.command("down")
        assert done.returncode == 0, done.stderr

    def read_state(self) -> dict[str, Any]:
        """The state file of the supervisor."""
        state: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return state

    def processes(self) -> dict[str, dict[str, Any]]:
        """What the supervisor says of each process."""
        return {process["name"]: process for process in self.read_state()["processes"]}

    def address(self, name: str) -> str:
        """Where a process listens."""
        return str(self.processes()[name]["address"])

    def port(self, listener: str) -> int:
        """The port of a listener that is not a process of its own."""
        return int(json.loads((self.folder / "ports.json").read_text())[listener])

    def key(self) -> str:
        """The API key that `g3 up` made."""
        return (self.folder / "key").read_text()

    def client(self) -> G3:
        """The SDK, connected."""
        connection = find(environment=self.environment)
        return G3(connection.url, connection.api_key)

    def database_url(self) -> str:
        """The database of the orchestrator, for an independent look."""
        password = (self.folder / "postgres" / "password").read_text()
        return f"postgresql://postgres:{password}@{self.address('postgres')}/g3"

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


def eventually(condition: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Wait for `condition`. Raises AssertionError when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(f"not within {within_s:.0f} s: {what}")
