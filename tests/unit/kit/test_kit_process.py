"""The life of a room's process, seen from outside."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.rabbitmq import free_port

ROOM = """
import sys
from contextlib import ExitStack
from g3_kit import process
from g3_kit.errors import Unavailable
from g3_kit.health import Health
from g3_kit.settings import RoomSettings, load
from pydantic import SecretStr

class Settings(RoomSettings):
    way: str
    database_url: str = "postgresql://me:hunter2@db/g3"
    api_key: SecretStr = SecretStr("hunter2")

settings, health = load(Settings), Health()

def start(stack: ExitStack) -> None:
    stack.callback(lambda: print("closed first", flush=True))
    stack.callback(lambda: print("draining" if health.draining else "not draining", flush=True))
    if settings.way == "away":
        raise Unavailable("the database does not answer")
    if settings.way == "bug":
        raise ValueError("a bug")
    print("up", flush=True)

process.run("tiny", settings, health, start)
"""


@contextmanager
def spawn(folder: Path, **settings: str) -> "Iterator[subprocess.Popen[str]]":
    """A room that does not outlive its test, also when the test fails."""
    (folder / "room.py").write_text(ROOM)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
    with subprocess.Popen(
        [sys.executable, str(folder / "room.py")],
        env={**kept, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as room:
        try:
            yield room
        finally:
            room.kill()


def readiness(port: int) -> bool:
    """What /readyz says."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(json.loads(answer.read())["ready"])
    except urllib.error.HTTPError as refusal:
        with refusal:
            if refusal.code != 503:
                raise
            return bool(json.loads(refusal.read())["ready"])


def events(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_exit_is_clean(tmp_path: Path, number: signal.Signals) -> None:
    with spawn(tmp_path, G3_WAY="well") as room:
        assert room.stdout is not None
        assert room.stdout.readline() == "up\n"
        time.sleep(0.2)
        room.send_signal(number)
        said, log = room.communicate(timeout=20)
    assert room.returncode == 0
    # What was pushed last is closed first, and readiness failed before anything was closed.
    assert said.splitlines() == ["draining", "closed first"]
    assert [event["event"] for event in events(log)] == ["starting", "started", "draining", "stopped"]
    assert "hunter2" not in log
    assert events(log)[0]["settings"]["database_url"] == "postgresql://me:***@db/g3"
    assert events(log)[0]["room"] == "tiny"


def test_an_error_of_the_tree_at_start_is_one_line_and_status_1(tmp_path: Path) -> None:
    with spawn(tmp_path, G3_WAY="away") as room:
        said, log = room.communicate(timeout=20)
    assert room.returncode == 1
    assert [line for line in log.splitlines() if not line.startswith("{")] == ["tiny: the database does not answer"]
    assert "Traceback" not in log
    # What had been started is closed.
    assert said.splitlines() == ["not draining", "closed first"]


def test_a_bug_at_start_shows_its_traceback(tmp_path: Path) -> None:
    with spawn(tmp_path, G3_WAY="bug") as room:
        _, log = room.communicate(timeout=20)
    assert room.returncode == 1
    assert "ValueError: a bug" in log


def test_a_missing_setting_is_one_line_and_status_2(tmp_path: Path) -> None:
    with spawn(tmp_path) as room:
        said, log = room.communicate(timeout=20)
    assert (room.returncode, said, log) == (2, "", "G3_WAY: is required\n")


def test_a_taken_metrics_port_is_one_line_and_status_1(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with spawn(tmp_path, G3_WAY="well", G3_METRICS_PORT=port) as room:
            _, log = room.communicate(timeout=20)
    assert room.returncode == 1
    assert f"tiny: cannot listen on 127.0.0.1:{port} for metrics" in log
    assert "Traceback" not in log


def test_metrics_are_served_while_the_room_runs(tmp_path: Path) -> None:
    port = free_port()
    with spawn(tmp_path, G3_WAY="well", G3_METRICS_PORT=str(port)) as room:
        assert room.stdout is not None
        # The room says so in the middle of its start: until that has ended the listener answers that it is not ready.
        assert room.stdout.readline() == "up\n"
        deadline = time.monotonic() + 20
        while not readiness(port):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        room.terminate()
        room.communicate(timeout=20)
    assert room.returncode == 0
