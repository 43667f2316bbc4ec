"""A real HTTP server with the routes of jobs, to test what asks them: it answers at once, and remembers its keys.

with GeolocationApi() as api:
    … G3(api.url, "a key") …
"""

import contextlib
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Document = dict[str, Any]


@dataclass(frozen=True)
class Submitted:
    """One submission that made a job: what came."""

    key: str
    photo: bytes
    parameters: Document
    label: str


@dataclass(frozen=True)
class Refusal:
    """A problem instead of a job."""

    status: int
    code: str
    detail: str
    field: str = ""

    def document(self) -> Document:
        """RFC 9457."""
        faults = [{"field": self.field, "detail": self.detail}] if self.field else []
        return {
            "type": "about:blank",
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "errors": faults,
        }


Answer = Callable[[Submitted], Document | Refusal]
"""The job's result (or `{"failure": …}`), or a refusal."""


def result(latitude: float = 10.0, longitude: float = 20.0, **more: Any) -> Document:
    """A result with one retrieved candidate, and whatever else is stated."""
    where = {"latitude": latitude, "longitude": longitude}
    candidate = {"coordinates": where, "origin": "retrieved", "similarity": 0.5, "rank": 1, "reference_id": "r1"}
    reference = {"reference": {"id": "r1", "coordinates": where, "author": "ann"}, "similarity": 0.97}
    usual = {"coordinates": where, "similarity": 0.5, "candidates": [candidate], "references": [reference]}
    return usual | {"release": {"model": "m", "collection": "c"}} | more


@dataclass
class GeolocationApi:
    """Listens on 127.0.0.1. `jobs` are the submissions that made one; `calls` counts every request."""

    answer: Answer = field(default=lambda submitted: result())
    slow_s: float = 0.0
    jobs: list[Submitted] = field(default_factory=list)
    calls: int = 0
    most_at_once: int = 0
    _at_once: int = 0
    _by_key: dict[str, Document] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def submit(self, submitted: Submitted) -> tuple[int, Document]:
        """The job of a key; made on the first call."""
        with self._lock:
            self.calls += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            if submitted.key not in self._by_key:
                said = self.answer(submitted)
                if isinstance(said, Refusal):
                    self._at_once -= 1
                    return said.status, said.document()
                self.jobs.append(submitted)
                self._by_key[submitted.key] = _job(said, submitted.parameters)
            job = self._by_key[submitted.key]
        time.sleep(self.slow_s)
        with self._lock:
            self._at_once -= 1
        return 200, job

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _job(said: Mapping[str, Any], parameters: Document) -> Document:
    failure = said.get("failure")
    timings = [{"stage": "retrieve", "waited_s": 0.5, "worked_s": 1.5, "attempts": 1}]
    return {
        "job_id": str(uuid.uuid4()),
        "state": "failed" if failure else "succeeded",
        "parameters": parameters,
        "result": None if failure else {k: v for k, v in said.items() if k != "degraded"},
        "failure": failure,
        "timings": timings,
        "degraded": said.get("degraded", []),
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    api: GeolocationApi


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = _parts(body, self.headers["Content-Type"])
        submitted = Submitted(
            self.headers["Idempotency-Key"],
            parts["photo"],
            json.loads(parts.get("parameters", b"{}")),
            parts.get("label", b"").decode(),
        )
        status, document = self.server.api.submit(submitted)
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # whoever asked was killed
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the parent's
        """Silent: tests read what pytest prints."""


def _parts(body: bytes, content_type: str) -> dict[str, bytes]:
    boundary = re.search("boundary=(.+)", content_type)
    assert boundary is not None
    parts = {}
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="(\w+)"', head)
        assert name is not None
        parts[name[1].decode()] = content[:-2]
    return parts
