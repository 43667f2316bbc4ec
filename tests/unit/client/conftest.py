"""A real HTTP server that answers like the API, and breaks when told to."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Document = dict[str, Any]


@dataclass
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What goes back. `chunks` are sent one by one and the connection is closed after them."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] | None = None
    cut: bool = False


@dataclass
class Api:
    """Jobs in memory behind a real socket. `faults` are used up first, one a request."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    faults: list[Answer] = field(default_factory=list)
    jobs: dict[str, Document] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    made: Callable[[str, Received], Document] | None = None

    def answer(self, request: Received) -> Answer:
        """What the API would say."""
        self.received.append(request)
        if self.faults:
            return self.faults.pop(0)
        path = request.path.partition("?")[0]
        if path == "/readyz":
            ready = not self.problems
            return Answer(200 if ready else 503, {"ready": ready, "problems": self.problems})
        if request.headers.get("authorization") != "Bearer secret":
            return problem(401, "unauthenticated", "Send a key.")
        if path == "/v1/jobs":
            return self.submitted(request) if request.method == "POST" else self.listed(request)
        found = re.fullmatch(r"/v1/jobs/([^/]+)(/cancel|/events)?", path)
        job = self.jobs.get(found.group(1)) if found else None
        if found is None or job is None:
            return problem(404, "missing", "There is no such job.")
        return self.of_job(job, found.group(2) or "")

    def submitted(self, request: Received) -> Answer:
        """POST /v1/jobs."""
        if b"not a photo" in request.body:
            return problem(422, "rejected", "This is no photo.", [{"field": "photo", "detail": "This is no photo."}])
        job_id = self.keys.setdefault(request.headers["idempotency-key"], f"job-{len(self.keys) + 1}")
        if job_id not in self.jobs:
            self.jobs[job_id] = (self.made or (lambda name, _: job(name)))(job_id, request)
        return Answer(202, self.jobs[job_id])

    def listed(self, request: Received) -> Answer:
        """GET /v1/jobs, two a page."""
        state = re.search(r"state=(\w+)", request.path)
        start = int((re.search(r"cursor=(\d+)", request.path) or ["", "0"])[1])
        found = [j for j in self.jobs.values() if state is None or j["state"] == state.group(1)]
        rest = str(start + 2) if start + 2 < len(found) else ""
        return Answer(200, {"jobs": found[start : start + 2], "next_cursor": rest})

    def of_job(self, document: Document, action: str) -> Answer:
        """One job."""
        if action == "/events":
            return Answer(200, headers={"Content-Type": "text/event-stream"}, chunks=[event(1, document)])
        if action == "/cancel":
            if document["state"] != "queued":
                return problem(409, "conflict", "The job has ended.")
            document |= {"state": "cancelled"}
        return Answer(200, document)


def problem(status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None) -> Answer:
    """An RFC 9457 answer."""
    body = {"type": f"urn:g3:problem:{code}", "title": code, "status": status, "code": code, "detail": detail}
    return Answer(status, body | {"errors": errors or []}, {"Content-Type": "application/problem+json"})


def event(number: int, document: Document) -> bytes:
    """A server-sent event of a job."""
    data = json.dumps({"event_id": number, "job": document}, ensure_ascii=False)
    return f"id: {number}\nevent: job\ndata: {data}\n\n".encode()


def job(job_id: str = "job-1", state: str = "succeeded", **changes: Any) -> Document:
    """A job as the API writes it."""
    place = {"city": "Paris", "state": "Île-de-France", "country": "France", "country_code": "FR"}
    point = {"latitude": 48.85837, "longitude": 2.29448}
    retrieved = {"origin": "retrieved", "similarity": None, "rank": 2, "place": None, "reference_id": "a/1.jpg"}
    candidate = {"coordinates": point, "origin": "lmm", "similarity": 0.4321, "rank": 1, "place": place}
    result = {
        "coordinates": point,
        "place": place,
        "similarity": 0.4321,
        "candidates": [
            candidate | {"prompt": 0, "sample": 1, "reference_id": ""},
            candidate | retrieved,
        ],
        "references": [
            {
                "reference": {"id": "a/1.jpg", "coordinates": point, "place": None, "author": ""},
                "similarity": 0.9,
            }
        ],
        "dropped": [{"prompt": 1, "sample": 0, "reason": "unparsable"}],
        "release": {"model": "m" * 8, "collection": "references_v1"},
    }
    return {
        "job_id": job_id,
        "state": state,
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:06Z",
        "label": "",
        "parameters": {"profile": "default"},
        "result": result if state == "succeeded" else None,
        "failure": {"code": "unavailable", "message": "No LMM answered."} if state == "failed" else None,
        "timings": [{"stage": "retrieve", "waited_s": 0.012, "worked_s": 0.345, "attempts": 1}],
        "degraded": ["generation"],
        **changes,
    }


def _handler(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            names = {name.lower(): value for name, value in self.headers.items()}
            answer = api.answer(Received(self.command, self.path, names, body))
            self.close_connection = answer.cut or answer.chunks is not None
            if answer.cut:
                return
            content = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
                self.send_header(name, value)
            if answer.chunks is None:
                self.send_header("Content-Length", str(len(content)))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            for chunk in answer.chunks or [content]:
                self.wfile.write(chunk)
                self.wfile.flush()

        do_GET = do_POST = _serve  # noqa: N815 - the names are the parent's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the parent's
            """Quiet."""

    return Handler


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Api]:
    """The server, with the environment pointing at it."""
    served = Api()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("G3_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("G3_URL", served.url)
    monkeypatch.setenv("G3_API_KEY", "secret")
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def made_job() -> Callable[..., Document]:
    """Makes a job's document."""
    return job


@pytest.fixture
def made_event() -> Callable[[int, Document], bytes]:
    """Makes a server-sent event."""
    return event


@pytest.fixture
def refusal() -> Callable[..., Answer]:
    """Makes a problem answer."""
    return problem


@pytest.fixture
def answering() -> type[Answer]:
    """Makes an answer."""
    return Answer
