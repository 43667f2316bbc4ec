"""The gRPC client side: one way to open a channel. Every call has a deadline and raises errors of the tree."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc

from g3_kit import logs
from g3_kit.grpc_status import error_of, translated

__all__ = ["channel", "translated"]

DEFAULT_DEADLINE_S = 30.0

# Client-side balancing over every address of a headless service, and the retries of gRFC A6: UNAVAILABLE means that
# no server has seen the call, or that it said so before doing anything.
_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


def channel(
    target: str, *, deadline_s: float = DEFAULT_DEADLINE_S, max_message_bytes: int = 64 * 1024 * 1024
) -> grpc.Channel:
    """Open a channel to `target` (`host:port`, or `dns:///name:port` for a headless service).

    A call with one answer and without a timeout of its own gets `deadline_s` seconds; what fails raises a
    `g3_kit.errors.G3Error`. A call that answers with a stream keeps gRPC's own errors: read it inside `translated()`.
    """
    plain = grpc.insecure_channel(
        target,
        options=[
            ("grpc.service_config", _SERVICE_CONFIG),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            # A peer that went away without a word is noticed within half a minute.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # Reconnect soon: the rooms of one system restart often and come back within seconds.
            ("grpc.min_reconnect_backoff_ms", 200),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        ],
    )
    return grpc.intercept_channel(plain, _Calls(deadline_s))


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: Any
    compression: Any


class _Calls(grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        call = continuation(self._completed(details, self._deadline_s), request)
        return _Outcome(call)

    def intercept_stream_unary(self, continuation: Callable[..., Any], details: Any, request_iterator: Any) -> Any:
        return _Outcome(continuation(self._completed(details, self._deadline_s), request_iterator))

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self._completed(details, None), request)

    def _completed(self, details: Any, deadline_s: float | None) -> _Details:
        metadata = list(details.metadata or ())
        job_id = logs.bound_value("job_id")
        if job_id:
            metadata.append(("g3-job-id", job_id))
        return _Details(
            details.method,
            details.timeout if details.timeout is not None else deadline_s,
            metadata,
            details.credentials,
            getattr(details, "wait_for_ready", None),
            getattr(details, "compression", None),
        )


class _Outcome(grpc.Call, grpc.Future):  # type: ignore[type-arg]
    """A call whose result raises errors of the tree."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def result(self, timeout: float | None = None) -> Any:
        failure = self._call.exception(timeout)
        if isinstance(failure, grpc.RpcError):
            raise error_of(failure) from failure
        if failure is not None:
            raise failure
        return self._call.result(timeout)

    def exception(self, timeout: float | None = None) -> Any:
        failure = self._call.exception(timeout)
        return error_of(failure) if isinstance(failure, grpc.RpcError) else failure

    def traceback(self, timeout: float | None = None) -> Any:
        return self._call.traceback(timeout)

    def add_done_callback(self, fn: Callable[[Any], Any]) -> None:
        self._call.add_done_callback(lambda _: fn(self))

    def cancel(self) -> bool:
        return bool(self._call.cancel())

    def cancelled(self) -> bool:
        return bool(self._call.cancelled())

    def running(self) -> bool:
        return bool(self._call.running())

    def done(self) -> bool:
        return bool(self._call.done())

    def is_active(self) -> bool:
        return bool(self._call.is_active())

    def time_remaining(self) -> Any:
        return self._call.time_remaining()

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return bool(self._call.add_callback(callback))

    def initial_metadata(self) -> Any:
        return self._call.initial_metadata()

    def trailing_metadata(self) -> Any:
        return self._call.trailing_metadata()

    def code(self) -> Any:
        return self._call.code()

    def details(self) -> Any:
        return self._call.details()
