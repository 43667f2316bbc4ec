"""The server's life: health, reflection, metrics, ports, and the drain."""

import threading
import time
from typing import Any

import grpc
import pytest
from g3_kit.errors import Unavailable
from g3_kit.grpc_server import GrpcServer, Limits
from g3_kit.health import Health
from g3_protos.orchestrator.v1 import jobs_pb2
from g3_protos.verification.v1 import verification_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY

SERVICES = [
    verification_pb2.DESCRIPTOR.services_by_name["VerificationService"].full_name,
    jobs_pb2.DESCRIPTOR.services_by_name["JobService"].full_name,
]


def becomes(room: Any, serving: bool, service: str = "") -> bool:
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        if room.serving(service) is serving:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health_follows_the_checks_there_and_back(room: Any, service: str) -> None:
    wrong: list[str] = []
    room.health.add("gpu", lambda: wrong[0] if wrong else None)
    assert becomes(room, True, service)
    wrong.append("lost")
    assert becomes(room, False, service)
    wrong.clear()
    assert becomes(room, True, service)


def test_a_check_that_raises_makes_health_fail_and_does_not_freeze_it(room: Any) -> None:
    broken = threading.Event()

    def check() -> str | None:
        if broken.is_set():
            raise RuntimeError("driver")
        return None

    room.health.add("gpu", check)
    assert becomes(room, True)
    broken.set()
    assert becomes(room, False)
    broken.clear()
    assert becomes(room, True)


def test_health_watch_tells_of_the_change(room: Any) -> None:
    stream = health_pb2_grpc.HealthStub(room.plain).Watch(health_pb2.HealthCheckRequest(service=""), timeout=20)
    first = next(stream).status
    room.health.add("gpu", lambda: "lost")
    assert first == health_pb2.HealthCheckResponse.SERVING
    assert next(stream).status == health_pb2.HealthCheckResponse.NOT_SERVING
    stream.cancel()


def test_a_room_that_starts_unwell_says_so_at_once() -> None:
    health = Health()
    health.add("gpu", lambda: "lost")
    server = GrpcServer(host="127.0.0.1", port=0, health=health)
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    finally:
        server.stop(0)


def test_an_unknown_service_has_no_health(room: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        room.serving("no.such.Service")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services(room: Any) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(room.plain)
    (answer,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10)
    names = {service.name for service in answer.list_services_response.service}
    assert names == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def test_calls_are_counted_by_status(room: Any) -> None:
    def calls(status: str) -> float:
        labels = {"method": f"/{SERVICES[0]}/DescribeModel", "status": status}
        return REGISTRY.get_sample_value("g3_grpc_calls_total", labels) or 0.0

    before = calls("OK"), calls("NOT_FOUND"), calls("INTERNAL")
    room.describe()

    def aborts(context: Any) -> str:
        return str(context.abort(grpc.StatusCode.NOT_FOUND, "gone"))

    def crashes(context: Any) -> str:
        raise ValueError

    for act in (aborts, crashes):
        room.verification.act = act
        with pytest.raises(Exception, match=r"gone|internal"):
            room.describe()
    # The status is counted just before it is sent.
    assert (calls("OK"), calls("NOT_FOUND"), calls("INTERNAL")) == tuple(count + 1 for count in before)


def test_a_taken_port_is_said_clearly(room: Any) -> None:
    second = GrpcServer(host="127.0.0.1", port=room.server.port, health=Health())
    with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{room.server.port}"):
        second.start()
    second.stop(0)


def test_stop_finishes_what_it_accepted_and_refuses_the_rest(room: Any, gate: Any) -> None:
    room.verification.act = gate
    held = [room.describe_later() for _ in range(3)]
    for _ in held:
        assert gate.inside.acquire(timeout=10)
    stopping = threading.Thread(target=room.server.stop, args=(20,))
    stopping.start()
    assert refused_soon(room)
    assert room.health.draining
    assert stopping.is_alive()
    gate.out.set()
    assert [call.result(10).configuration for call in held] == ["let out"] * 3
    stopping.join(10)
    assert not stopping.is_alive()


def refused_soon(room: Any) -> bool:
    """Whether a new call on a new connection is refused; one that slips in before the stop waits at the gate."""
    for _ in range(40):
        try:
            with grpc.insecure_channel(room.target) as channel:
                describe: Any = channel.unary_unary(f"/{SERVICES[0]}/DescribeModel")
                describe(b"", timeout=0.5)
        except grpc.RpcError as failure:
            if failure.code() is grpc.StatusCode.UNAVAILABLE:
                return True
    return False


def test_a_new_call_on_an_open_connection_is_unavailable_too(room: Any, gate: Any) -> None:
    room.describe()
    room.verification.act = gate
    held = room.describe_later()
    assert gate.inside.acquire(timeout=10)
    stopping = threading.Thread(target=room.server.stop, args=(20,))
    stopping.start()
    assert refused_soon(room)
    with pytest.raises(Unavailable):
        room.describe(timeout=5)
    gate.out.set()
    assert held.result(10).configuration == "let out"
    stopping.join(10)


def test_stop_cuts_what_takes_longer_than_the_grace(rooms: Any, gate: Any) -> None:
    room = rooms(Limits(drain_s=0.3))
    room.verification.act = gate
    held = room.describe_later()
    assert gate.inside.acquire(timeout=10)
    began = time.monotonic()
    room.server.stop()
    assert time.monotonic() - began < 10
    assert held.exception(10) is not None


def test_stopping_twice_is_harmless(room: Any) -> None:
    room.server.stop(0)
    room.server.stop(0)
