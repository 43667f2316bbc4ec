"""The commands as processes of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from g3_orchestrator.keys import hashed
from g3_orchestrator.store.postgres import PostgresStore

from tests.servers.postgres import fresh_database

pytestmark = pytest.mark.needs("postgres")


def environment(**settings: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
    return plain | settings


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "g3_orchestrator", *arguments]
    return subprocess.run(
        command, env=environment(**settings), capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "lacking"),
    [
        ([], ["G3_DATABASE_URL", "G3_BROKER_URL", "G3_BLOB_URL"]),
        (["api"], ["G3_DATABASE_URL", "G3_BLOB_URL"]),
        (["coordinator"], ["G3_DATABASE_URL", "G3_BROKER_URL", "G3_BLOB_URL"]),
        (["relay"], ["G3_DATABASE_URL", "G3_BROKER_URL"]),
        (["migrate"], ["G3_DATABASE_URL"]),
        (["key", "create", "--tenant", "t"], ["G3_DATABASE_URL"]),
    ],
)
def test_it_says_what_it_lacks(arguments: list[str], lacking: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert sorted(line.split(":")[0] for line in done.stderr.splitlines()) == sorted(lacking)


def test_a_database_that_is_away_is_one_line(tmp_path: Path) -> None:
    done = run("api", G3_DATABASE_URL="postgresql://u:secret@127.0.0.1:9/none", G3_BLOB_URL=tmp_path.as_uri())
    assert done.returncode == 1
    assert "secret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_migrating_twice_and_making_a_key(postgres_url: str) -> None:
    with fresh_database(postgres_url, "template0") as url:
        for _ in range(2):
            assert run("migrate", G3_DATABASE_URL=url).returncode == 0
        made = run("key", "create", "--tenant", "acme", "--label", "ci", G3_DATABASE_URL=url)
        assert made.returncode == 0, made.stderr
        with PostgresStore(url) as store:
            key = store.find_key(hashed(made.stdout.strip()))
            assert key is not None
            assert (key.label, key.tenant_id) == ("ci", store.create_tenant("acme").tenant_id)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_api_starts_says_that_it_is_ready_and_drains(database_url: str, tmp_path: Path) -> None:
    ports = {name: str(free_port()) for name in ("G3_API_PORT", "G3_JOBS_PORT", "G3_STAGES_PORT")}
    settings = environment(G3_DATABASE_URL=database_url, G3_BLOB_URL=(tmp_path / "blobs").as_uri(), **ports)
    with subprocess.Popen(
        [sys.executable, "-m", "g3_orchestrator", "api"], env=settings, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            ready = _wait_for(f"http://127.0.0.1:{ports['G3_API_PORT']}/readyz", process)
        finally:
            process.send_signal(signal.SIGTERM)
            _, logged = process.communicate(timeout=60)
    assert ready == 200, logged
    assert process.returncode == 0, logged


def _wait_for(url: str, process: subprocess.Popen[str]) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http only
                return int(answer.status)
        except urllib.error.URLError:
            time.sleep(0.2)
    return 0
