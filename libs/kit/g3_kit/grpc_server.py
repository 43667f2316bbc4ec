"""The gRPC server of a room: health, reflection, limits, one interceptor for errors and metrics, and a drain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import Counter, Histogram

from g3_kit import logs
from g3_kit.errors import G3Error, Late, Unavailable
from g3_kit.grpc_status import status_of
from g3_kit.health import Health
from g3_kit.telemetry import SECONDS

_CALLS = Counter("g3_grpc_calls_total", "Calls answered, by method and status.", ["method", "status"])
_CALL_SECONDS = Histogram("g3_grpc_call_seconds", "Time to answer a call.", ["method"], buckets=SECONDS)
_log = logs.get("g3_kit.grpc_server")

Servicer = TypeVar("Servicer")


@dataclass(frozen=True)
class Limits:
    """What a server bears."""

    max_message_bytes: int = 64 * 1024 * 1024
    threads: int = 64
    # A client keeps its first connection for ever otherwise, and a new pod never sees a call.
    max_connection_age_s: float = 300.0
    max_connection_age_grace_s: float = 30.0
    drain_s: float = 25.0
    # Calls above the thread count wait in a queue of this length; further ones are refused at once.
    waiting_calls: int = 192


class GrpcServer:
    """A server of sync servicers. Errors of the tree become status codes; anything else becomes INTERNAL and a log."""

    def __init__(self, *, host: str, port: int, health: Health, limits: Limits | None = None) -> None:
        """Listen on `host:port` once started; port 0 picks a free one."""
        self._limits = limits or Limits()
        self._health = health
        self._health_servicer = grpc_health.HealthServicer(experimental_non_blocking=True)
        # Threads of its own: a probe must be answered while every other thread is busy.
        self._probes = ThreadPoolExecutor(2, thread_name_prefix="probe")
        self._server = grpc.server(
            ThreadPoolExecutor(self._limits.threads, thread_name_prefix="grpc"),
            interceptors=[_Boundary()],
            maximum_concurrent_rpcs=self._limits.threads + self._limits.waiting_calls,
            options=[
                ("grpc.max_receive_message_length", self._limits.max_message_bytes),
                ("grpc.max_send_message_length", self._limits.max_message_bytes),
                ("grpc.max_connection_age_ms", int(self._limits.max_connection_age_s * 1000)),
                ("grpc.max_connection_age_grace_ms", int(self._limits.max_connection_age_grace_s * 1000)),
                ("grpc.so_reuseport", 0),
            ],
        )
        self._address = f"{host}:{port}"
        self._names: list[str] = []
        self.port = 0
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="health", daemon=True)

    def add(
        self, add_to_server: Callable[[Servicer, grpc.Server], None], servicer: Servicer, service_name: str
    ) -> None:
        """Serve `servicer` under its full service name (`DESCRIPTOR.services_by_name[...].full_name`)."""
        add_to_server(servicer, self._server)
        self._names.append(service_name)

    def start(self) -> None:
        """Bind and serve. Raises Unavailable when the port is taken."""
        health_pb2_grpc.add_HealthServicer_to_server(_Probed(self._health_servicer, self._probes), self._server)
        reflection.enable_server_reflection(
            [*self._names, grpc_health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        try:
            self.port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise Unavailable(f"cannot listen on {self._address}: the port is taken, or not ours") from error
        self._publish(self._health.ready)
        self._server.start()
        self._watcher.start()

    def stop(self, grace_s: float | None = None) -> None:
        """Refuse new calls, finish those accepted within `grace_s`, cut the rest."""
        self._stopping.set()
        self._health.drain()
        self._publish(False)
        self._server.stop(self._limits.drain_s if grace_s is None else grace_s).wait()
        self._probes.shutdown(wait=False)
        if self._watcher.is_alive():
            self._watcher.join()

    def _publish(self, ready: bool) -> None:
        serving = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._names):
            self._health_servicer.set(name, serving)

    def _watch(self) -> None:
        was: dict[str, str] = {}
        was_ready = self._health.ready
        # Looked at often until the room has started, so that nobody waits for a second to be told.
        while not self._stopping.wait(1.0 if was_ready else 0.1):
            problems = dict(self._health.problems())
            if problems != was:
                _log.warning("readiness changed", problems=problems)
                was = problems
            was_ready = was_ready or not problems
            if not self._stopping.is_set():
                self._publish(not problems)


class _Probed:
    """The health servicer's methods, each to be run by `probes`: grpc looks for that attribute on a method."""

    def __init__(self, servicer: grpc_health.HealthServicer, probes: ThreadPoolExecutor) -> None:
        self.Check = _run_by(probes, servicer.Check)
        self.Watch = _run_by(probes, servicer.Watch)
        self.Watch.experimental_non_blocking = True


def _run_by(pool: ThreadPoolExecutor, method: Callable[..., Any]) -> Any:
    behaviour: Any = partial(method)
    behaviour.experimental_thread_pool = pool
    return behaviour


class _Boundary(grpc.ServerInterceptor):
    """Where errors become statuses, calls become metrics, and the caller's job id becomes a log field."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = continuation(details)
        # Health and reflection keep their own manners.
        if handler is None or details.method.startswith("/grpc."):
            return handler
        job_id = dict(details.invocation_metadata or ()).get("g3-job-id", "")
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                _unary(handler.unary_unary, details.method, str(job_id)),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.stream_unary:
            # The same manners: one answer, or one error, for the whole stream.
            return grpc.stream_unary_rpc_method_handler(
                _unary(handler.stream_unary, details.method, str(job_id)),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                _stream(handler.unary_stream, details.method, str(job_id)),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler


def _unary(inner: Callable[[Any, Any], Any], method: str, job_id: str) -> Callable[[Any, Any], Any]:
    def call(request: Any, context: grpc.ServicerContext) -> Any:
        with _Call(method, job_id, context):
            # A call that waited past its deadline in the thread pool's queue is work nobody wants.
            remaining = context.time_remaining()
            if remaining is not None and remaining <= 0:
                raise Late("the deadline passed while the call waited for a thread")
            return inner(request, context)

    return call


def _stream(
    inner: Callable[[Any, Any], Iterator[Any]], method: str, job_id: str
) -> Callable[[Any, Any], Iterator[Any]]:
    def call(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with _Call(method, job_id, context):
            yield from inner(request, context)

    return call


class _Call:
    """Times one call and turns what it raises into its status."""

    def __init__(self, method: str, job_id: str, context: grpc.ServicerContext) -> None:
        self._method = method
        self._context = context
        self._bound = logs.bound(**({"job_id": job_id} if job_id else {}))
        self._started = time.perf_counter()

    def __enter__(self) -> None:
        self._bound.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        _CALL_SECONDS.labels(self._method).observe(time.perf_counter() - self._started)
        try:
            if error is None or isinstance(error, GeneratorExit):
                _CALLS.labels(self._method, "OK").inc()
            elif isinstance(error, G3Error):
                _CALLS.labels(self._method, error.grpc_status).inc()
                if error.http_status >= 500:
                    _log.warning("call failed", method=self._method, code=error.code, reason=error.message)
                self._context.abort_with_status(status_of(error))
            elif _is_abort(error, self._context):
                _CALLS.labels(self._method, cast(Any, self._context).code().name).inc()
            elif isinstance(error, Exception):
                _CALLS.labels(self._method, "INTERNAL").inc()
                _log.error("call crashed", method=self._method, exc_info=error)
                self._context.abort_with_status(status_of(G3Error("an internal error; the server's log has it")))
        finally:
            self._bound.__exit__(None, None, None)


def _is_abort(error: BaseException, context: grpc.ServicerContext) -> bool:
    # context.abort() sets a code and raises a bare Exception(). A code alone proves nothing: a servicer may set one and
    # crash afterwards, and grpc would send the text of that crash to the caller.
    return type(error) is Exception and not error.args and bool(cast(Any, context).code())
