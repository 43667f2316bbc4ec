"""Prometheus metrics: the listener that serves them, and the buckets that every duration in G3 uses."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from g3_kit.errors import Unavailable
from g3_kit.health import Health

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Histogram buckets in seconds, from a cache hit to a slow LMM."""


def serve(host: str, port: int, health: Health) -> Callable[[], None]:
    """Serve `/metrics`, `/healthz` (alive) and `/readyz` (200 or 503 with the problems) and return what closes it.

    Raises Unavailable when the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
            elif path == "/healthz":
                self._answer(200, "text/plain", b"alive\n")
            elif path == "/readyz":
                problems = dict(health.problems())
                body = json.dumps({"ready": not problems, "problems": problems}).encode()
                self._answer(503 if problems else 200, "application/json", body)
            else:
                self._answer(404, "text/plain", b"/metrics, /healthz or /readyz\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the parent's
            """Scrapes are not news."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise Unavailable(f"cannot listen on {host}:{port} for metrics ({error.strerror})") from error
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close
