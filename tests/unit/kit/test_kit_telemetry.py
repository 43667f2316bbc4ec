"""The metrics listener."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from g3_kit import telemetry
from g3_kit.errors import Unavailable
from g3_kit.health import Health
from prometheus_client import Counter

from tests.servers.rabbitmq import free_port

SEEN = Counter("g3_kit_telemetry_test_total", "Counted by a test.")


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def port(health: Health) -> Iterator[int]:
    chosen = free_port()
    close = telemetry.serve("127.0.0.1", chosen, health)
    yield chosen
    close()


def get(port: int, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers["Content-Type"], refusal.read().decode()


def test_serves_prometheus_metrics(port: int) -> None:
    SEEN.inc(3)
    status, kind, body = get(port, "/metrics?name=x")
    assert status == 200
    assert kind.startswith("text/plain")
    assert "g3_kit_telemetry_test_total 3.0" in body


def test_alive_is_not_ready(port: int, health: Health) -> None:
    assert get(port, "/readyz")[0] == 200
    health.add("gpu", lambda: "lost")
    status, kind, body = get(port, "/readyz")
    assert (status, kind) == (503, "application/json")
    assert json.loads(body) == {"ready": False, "problems": {"gpu": "lost"}}
    assert get(port, "/healthz")[0] == 200


def test_another_path_is_not_found(port: int) -> None:
    assert get(port, "/")[0] == 404


def test_a_taken_port_is_said_in_one_line(port: int) -> None:
    with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port} for metrics"):
        telemetry.serve("127.0.0.1", port, Health())


def test_closing_frees_the_port(health: Health) -> None:
    port = free_port()
    for _ in range(2):
        telemetry.serve("127.0.0.1", port, health)()
    with pytest.raises(urllib.error.URLError):
        get(port, "/metrics")


def test_buckets_grow() -> None:
    assert list(telemetry.SECONDS) == sorted(set(telemetry.SECONDS))
