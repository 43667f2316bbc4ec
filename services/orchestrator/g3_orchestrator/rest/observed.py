"""Metrics of the REST API."""

import time

from g3_kit.telemetry import SECONDS
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
        status, began = 500, time.perf_counter()

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            _REQUESTS.labels(method, route, str(status)).inc()
            _REQUEST_SECONDS.labels(route).observe(time.perf_counter() - began)
