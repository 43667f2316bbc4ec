"""Calls over real gRPC: errors both ways, deadlines, limits, and what a log or a caller may see."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import grpc
import pytest
from g3_kit import grpc_client, logs
from g3_kit.errors import BY_CODE, Exhausted, G3Error, Late, Missing, NotYet, Rejected, TooLarge, Unavailable
from g3_kit.grpc_server import Limits
from g3_kit.grpc_status import error_of
from g3_protos.geography.v1 import geography_pb2
from g3_protos.orchestrator.v1 import jobs_pb2
from g3_protos.verification.v1 import verification_pb2, verification_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def slow(context: Any) -> str:
    time.sleep(1)
    return "late"


def raising(error: BaseException) -> Callable[[Any], str]:
    def act(context: Any) -> str:
        raise error

    return act


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=BY_CODE.keys())
def test_every_error_comes_back_as_itself(room: Any, kind: type[G3Error]) -> None:
    room.verification.act = raising(kind("what to do", field="photo", retry_after_s=1.25))
    # An Unavailable is tried again by the channel, which costs a second.
    with pytest.raises(G3Error) as raised:
        room.describe()
    error = raised.value
    assert type(error) is kind
    assert (error.message, error.field, error.retry_after_s) == ("what to do", "photo", 1.25)


def test_a_call_that_sends_a_stream_has_the_same_manners(room: Any) -> None:
    page = verification_pb2.PutGalleryRequest(coordinates=[geography_pb2.Coordinates()] * 3)
    assert room.stub.PutGallery(iter([page, page]), timeout=10).received == 6
    room.verification.act = raising(Rejected("mend it", field="gallery"))
    with pytest.raises(Rejected, match="mend it") as raised:
        room.stub.PutGallery(iter([page]), timeout=10)
    assert raised.value.field == "gallery"
    room.verification.act = slow
    with closing(room.open(deadline_s=0.2)) as hurried, pytest.raises(Late):
        verification_pb2_grpc.VerificationServiceStub(hurried).PutGallery(iter([page]))


@pytest.mark.parametrize("kind", [Missing, Exhausted])
def test_without_details_none_are_made_up(room: Any, kind: type[G3Error]) -> None:
    room.verification.act = raising(kind("gone"))
    with pytest.raises(kind) as raised:
        room.describe()
    assert (raised.value.field, raised.value.retry_after_s) == ("", None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    message=st.text(min_size=1, max_size=300),
    field=st.text(max_size=30),
    wait=st.none() | st.floats(0, 1e6, allow_nan=False),
)
def test_any_text_travels(room: Any, message: str, field: str, wait: float | None) -> None:
    room.verification.act = raising(Missing(message, field=field, retry_after_s=wait))
    with pytest.raises(Missing) as raised:
        room.describe()
    assert (raised.value.message, raised.value.field) == (message, field)
    assert raised.value.retry_after_s == (None if wait is None else pytest.approx(wait, abs=1e-8))


@pytest.mark.parametrize("message", ["x" * 100_000, "é" * 50_000, "\ud800 lone surrogate"])
def test_a_message_no_header_can_hold_is_cut_and_keeps_its_kind(room: Any, message: str) -> None:
    room.verification.act = raising(Rejected(message, field=message))
    with pytest.raises(Rejected) as raised:
        room.describe()
    assert 10 <= len(raised.value.message) <= 1000
    assert raised.value.message[-1] in "…e"


def test_a_crash_is_internal_and_keeps_its_text_to_itself(room: Any, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("kit")
    room.verification.act = raising(ValueError("password hunter2"))
    with pytest.raises(grpc.RpcError) as raised:
        plain(room)
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(raised.value)
    with pytest.raises(G3Error, match="an internal error"):
        room.describe()
    crashes = [json.loads(line) for line in capsys.readouterr().err.splitlines() if "crashed" in line]
    assert len(crashes) == 2
    assert "hunter2" in crashes[0]["exception"]


def test_a_crash_after_set_code_keeps_its_text_too(room: Any) -> None:
    def act(context: Any) -> str:
        context.set_code(grpc.StatusCode.NOT_FOUND)
        raise ValueError("password hunter2")

    room.verification.act = act
    with pytest.raises(grpc.RpcError) as raised:
        plain(room)
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in str(raised.value)


def test_a_servicer_may_abort_by_itself(room: Any) -> None:
    room.verification.act = lambda context: context.abort(grpc.StatusCode.OUT_OF_RANGE, "too far")
    with pytest.raises(Rejected, match="too far"):
        room.describe()


def plain(room: Any) -> Any:
    stub = verification_pb2_grpc.VerificationServiceStub(room.plain)
    return stub.DescribeModel(verification_pb2.DescribeModelRequest(), timeout=10)


def test_a_peer_that_is_not_ours_is_read_by_its_status(room: Any) -> None:
    with pytest.raises(NotYet):
        room.channel.unary_unary("/no.such.Service/Call")(b"", timeout=10)


def test_a_future_raises_errors_of_the_tree(room: Any) -> None:
    room.verification.act = raising(Missing("gone"))
    call = room.describe_later()
    done = threading.Event()
    call.add_done_callback(lambda finished: done.set())
    assert done.wait(10)
    assert isinstance(call.exception(), Missing)
    with pytest.raises(Missing, match="gone"):
        call.result()
    room.verification.act = lambda context: "well"
    call = room.describe_later()
    assert call.result(10).configuration == "well"
    assert call.exception() is None
    assert call.done()


def test_a_call_without_a_timeout_has_the_default_deadline(room: Any) -> None:
    left: list[float] = []

    def act(context: Any) -> str:
        left.append(context.time_remaining())
        return "well"

    room.verification.act = act
    request = verification_pb2.DescribeModelRequest()
    room.stub.DescribeModel(request)
    verification_pb2_grpc.VerificationServiceStub(room.open(deadline_s=7)).DescribeModel(request)
    room.stub.DescribeModel(request, timeout=3)
    assert grpc_client.DEFAULT_DEADLINE_S == 30
    # gRPC rounds a deadline up on its way.
    assert 25 < left[0] < 31
    assert 5 < left[1] < 8
    assert 1 < left[2] < 4


def test_a_call_past_its_deadline_is_late(room: Any, gate: Any) -> None:
    room.verification.act = gate
    began = time.monotonic()
    with pytest.raises(Late):
        room.describe(timeout=0.3)
    assert time.monotonic() - began < 5


def test_a_call_that_expired_in_the_queue_is_not_worked(rooms: Any, gate: Any) -> None:
    room = rooms(Limits(threads=1))
    worked: list[str] = []

    def act(context: Any) -> str:
        worked.append("call")
        return str(gate(context))

    room.verification.act = act
    first = room.describe_later()
    assert gate.inside.acquire(timeout=10)
    with pytest.raises(Late):
        room.describe(timeout=0.3)
    gate.out.set()
    assert first.result(10).configuration == "let out"
    room.verification.act = lambda context: "well"
    assert room.describe() == "well"
    assert worked == ["call"]


def test_a_cancelled_call_leaves_the_server_well(room: Any, gate: Any) -> None:
    room.verification.act = gate
    call = room.describe_later()
    assert gate.inside.acquire(timeout=10)
    assert call.cancel()
    assert call.cancelled()
    gate.out.set()
    room.verification.act = lambda context: "well"
    assert room.describe() == "well"


def test_a_request_over_the_limit_is_too_large(rooms: Any) -> None:
    room = rooms(Limits(max_message_bytes=1000))
    big = verification_pb2.ScoreRequest(model="m" * 5000)
    with pytest.raises(TooLarge, match=r"the message has 500\d bytes, the limit is 1000"):
        room.stub.Score(big, timeout=10)


def test_an_answer_over_the_limit_is_too_large(rooms: Any) -> None:
    room = rooms(client_bytes=1000)
    room.verification.act = lambda context: "m" * 5000
    with pytest.raises(TooLarge, match="the limit is 1000"):
        room.describe()
    big = verification_pb2.ScoreRequest(model="m" * 5000)
    with pytest.raises(TooLarge, match="the limit is 1000"):
        room.stub.Score(big, timeout=10)


def test_calls_above_the_queue_are_refused_at_once_and_a_probe_is_still_answered(rooms: Any, gate: Any) -> None:
    room = rooms(Limits(threads=2, waiting_calls=2))
    room.verification.act = gate
    held = [room.describe_later(), room.describe_later()]
    for _ in held:
        assert gate.inside.acquire(timeout=10)
    # Every thread is busy: a probe is answered all the same.
    assert room.serving()
    held += [room.describe_later(), room.describe_later()]
    refused = refusal(room)
    assert type(refused) is Exhausted
    gate.out.set()
    assert [call.result(20).configuration for call in held] == ["let out"] * 4


def refusal(room: Any) -> G3Error | None:
    """The error of the first call that is refused; calls that are let in wait, and expire, until the queue is full."""
    for _ in range(5):
        try:
            room.describe(timeout=0.5)
        except Late:
            continue
        except G3Error as error:
            return error
    return None


def test_a_stream_ends_in_an_error_of_the_tree(room: Any) -> None:
    def events() -> Iterator[jobs_pb2.JobEvent]:
        yield jobs_pb2.JobEvent()
        raise Missing("gone", field="job_id")

    room.jobs.events = events
    stream = room.job_stub.WatchJob(jobs_pb2.WatchJobRequest(), timeout=10)
    assert next(stream) == jobs_pb2.JobEvent()
    with pytest.raises(Missing) as raised, grpc_client.translated():
        next(stream)
    assert raised.value.field == "job_id"


def test_a_stream_that_crashes_keeps_its_text_to_itself(room: Any) -> None:
    def events() -> Iterator[jobs_pb2.JobEvent]:
        yield jobs_pb2.JobEvent()
        raise ValueError("hunter2")

    room.jobs.events = events
    with pytest.raises(grpc.RpcError) as raised:
        list(room.job_stub.WatchJob(jobs_pb2.WatchJobRequest(), timeout=10))
    assert "hunter2" not in str(raised.value)
    assert type(error_of(raised.value)) is G3Error


def test_a_reader_that_leaves_a_stream_does_no_harm(room: Any) -> None:
    left = threading.Event()

    def events() -> Iterator[jobs_pb2.JobEvent]:
        try:
            while True:
                yield jobs_pb2.JobEvent()
                time.sleep(0.01)
        finally:
            left.set()

    room.jobs.events = events
    for _ in range(3):
        left.clear()
        stream = room.job_stub.WatchJob(jobs_pb2.WatchJobRequest(), timeout=20)
        next(stream)
        stream.cancel()
        assert left.wait(10)
    assert room.describe() == "well"


def test_the_job_id_travels_with_the_call_and_no_further(room: Any) -> None:
    seen: list[str] = []

    def act(context: Any) -> str:
        seen.append(logs.bound_value("job_id"))
        return "well"

    room.verification.act = act
    with logs.bound(job_id="j1"):
        room.describe()
    room.describe()
    assert seen == ["j1", ""]


def test_no_server_is_unavailable_in_time() -> None:
    channel = grpc_client.channel("127.0.0.1:1")
    stub = verification_pb2_grpc.VerificationServiceStub(channel)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        stub.DescribeModel(verification_pb2.DescribeModelRequest(), timeout=10)
    assert time.monotonic() - began < 12
    channel.close()
