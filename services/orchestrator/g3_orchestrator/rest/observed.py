"""The outermost layer of the REST API: metrics, and an answer for what crashed."""

import time

from g3_kit.telemetry import SECONDS
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from g3_orchestrator.rest import handlers

_REQUESTS = Counter("g3_http_requests_total", "Requests answered.", ["method", "route", "status"])
_REQUEST_SECONDS = Histogram(
    "g3_http_request_seconds", "Time to answer a request, waits included.", ["route"], buckets=SECONDS
)
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Observed:
    """Counts and times every request by route template, so that ids do not become label values."""

    def __init__(self, app: ASGIApp) -> None:
        """`app` is what answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started, began = 500, False, time.perf_counter()

        async def seen(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
            await send(message)

        try:
            await self._app(scope, receive, seen)
        except Exception as error:
            if started:
                raise
            # answered here: what reaches the server closes a connection that a caller is about to use again
            await handlers.crashed(scope["path"], error)(scope, receive, send)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            _REQUESTS.labels(method, route, str(status)).inc()
            _REQUEST_SECONDS.labels(route).observe(time.perf_counter() - began)
