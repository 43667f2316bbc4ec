"""A real HTTP server that speaks OpenAI's chat completions by a script, to test what stands before an LMM.

    with ScriptedLmm([Says("here"), Status(429, retry_after_s=1), Hang()]) as lmm:
        … http://127.0.0.1:{lmm.port}/v1 …

Questions with a photo play the script. Questions of text alone ask what the server is like: they are kept apart in
`aside`, and answered in the forms that it `enforces`, whatever else is asked ignored with status 200.

Also a process: `python tests/servers/scripted_lmm.py --port 8000 --say '{"latitude": 1.5, "longitude": 2.5}'`.
"""

import argparse
import json
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Says:
    """A chat completion with `texts` in turn as its choices, repeated up to n; at most `most` of them. `after_s` comes
    before it, `usage` says whether tokens are stated, `model` by which name.
    """

    texts: tuple[str, ...]
    most: int | None
    after_s: float
    usage: bool
    model: str

    def __init__(
        self,
        *texts: str,
        most: int | None = None,
        after_s: float = 0.0,
        usage: bool = True,
        model: str = "scripted-lmm",
    ) -> None:
        for name, value in {"texts": texts, "most": most, "after_s": after_s, "usage": usage, "model": model}.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Status:
    """An HTTP error with OpenAI's error body."""

    status: int
    retry_after_s: float | None = None
    message: str = "scripted"


@dataclass(frozen=True)
class Body:
    """Status 200 with these very bytes, called by any type."""

    content: bytes
    kind: str = "application/json"


@dataclass(frozen=True)
class HalfBody:
    """Promises a long body, sends a little of it and closes the connection."""


@dataclass(frozen=True)
class Hang:
    """Takes the question and never answers."""


@dataclass(frozen=True)
class Trickle:
    """Answers a byte every `every_s` seconds, so that no single read is ever late."""

    every_s: float = 0.05


@dataclass(frozen=True)
class Endless:
    """Sends a body that does not end."""


@dataclass(frozen=True)
class Picky:
    """Refuses whatever has the field `field` with 400, and says `text` else."""

    field: str
    text: str


@dataclass(frozen=True)
class OneOnly:
    """Refuses n > 1 with 400, as some servers do, and says `text` to n = 1."""

    text: str


Step = Says | Status | Body | HalfBody | Hang | Trickle | Endless | Picky | OneOnly


@dataclass
class Asked:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set when the asker hung up before it had an answer (seen for Hang, Trickle and Endless)."""


class ScriptedLmm:
    """Plays `steps` one a question; the last is repeated for ever. Listens on 127.0.0.1, `port` 0 chooses a free one.

    `enforces`: "pattern", "schema" and "object" in any number. `metrics` is its page of metrics, none while empty.
    """

    def __init__(self, steps: Sequence[Step], *, port: int = 0, enforces: Sequence[str] = ()) -> None:
        if not steps:
            raise ValueError("a script has at least one step")
        self.asked: list[Asked] = []
        self.aside: list[Asked] = []
        self.most_at_once = 0
        """Questions that were being answered side by side."""
        self.enforces = set(enforces)
        self.metrics = ""
        self._at_once = 0
        self._steps = list(steps)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.lmm, self._server.over = self, self._over
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> "ScriptedLmm":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Ends it at once, connections included, as SIGKILL does. May be repeated."""
        if self._over.is_set():
            return
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()
        self._thread.join()

    def serve_forever(self) -> None:
        """Serves in this thread."""
        self._server.serve_forever()

    def play(self, *steps: Step) -> None:
        """From the next question on this is the script."""
        with self._lock:
            self._steps = list(steps)

    def next_step(self, asked: Asked) -> Step:
        """Notes the request and says what to do with it."""
        with self._lock:
            if isinstance(asked.body["messages"][0]["content"], str):
                self.aside.append(asked)
                return Says(enforced(asked.body, self.enforces))
            self.asked.append(asked)
            return self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]

    @contextmanager
    def busy(self) -> Iterator[None]:
        """One question is being answered."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    lmm: ScriptedLmm
    over: threading.Event

    def __init__(self, *arguments: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut(self) -> None:
        """Breaks the connections that are kept alive."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if self.path == "/metrics" and self.server.lmm.metrics:
            content = self.server.lmm.metrics.encode()
            self.send(200, content, len(content), {"Content-Type": "text/plain; version=0.0.4"})
            return
        known = self.path == "/v1/models"
        self.reply(200 if known else 404, {"object": "list", "data": [{"id": "scripted"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = Asked(self.path, dict(self.headers.items()), body)
        if self.path != "/v1/chat/completions":
            self.reply(404, {"error": {"message": "no such path"}})
            return
        with self.server.lmm.busy():
            self.play(self.server.lmm.next_step(asked), asked)

    def play(self, step: Step, asked: Asked) -> None:
        n = int(asked.body.get("n", 1))
        match step:
            case Says():
                self.say(step, n)
            case Picky(name, text):
                refusal = {"error": {"message": f"{name} is not supported"}}
                self.reply(
                    400 if name in asked.body else 200, refusal if name in asked.body else completion([text] * n)
                )
            case OneOnly(text):
                self.one_only(text, n)
            case Status(status, retry_after_s, message):
                headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
                self.reply(status, {"error": {"message": message}}, headers)
            case Body(content, kind):
                self.send(200, content, len(content), {"Content-Type": kind})
            case HalfBody():
                self.send(200, b'{"choices": [', 4096)
                self.close_connection = True
            case Hang():
                self.await_hangup(asked)
            case Trickle(every_s):
                self.trickle(asked, every_s)
            case Endless():
                self.never_end(asked)

    def say(self, step: Says, n: int) -> None:
        self.server.over.wait(step.after_s)
        count = n if step.most is None else min(n, step.most)
        body = completion([step.texts[k % len(step.texts)] for k in range(count)]) | {"model": step.model}
        if not step.usage:
            del body["usage"]
        self.reply(200, body)

    def never_end(self, asked: Asked) -> None:
        try:
            self.send(200, b"", 2**40)
            while not self.server.over.is_set():
                self.wfile.write(b" " * 65536)
        except OSError:
            asked.abandoned.set()
        self.close_connection = True

    def one_only(self, text: str, n: int) -> None:
        if n == 1:
            self.reply(200, completion([text]))
        else:
            self.reply(400, {"error": {"message": "only one completion choice is allowed"}})

    def await_hangup(self, asked: Asked) -> None:
        self.connection.settimeout(0.05)
        while not self.server.over.is_set():
            try:
                gone = not self.connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                continue
            except OSError:
                gone = True
            if gone:
                asked.abandoned.set()
                break
        self.close_connection = True

    def trickle(self, asked: Asked, every_s: float) -> None:
        try:
            self.send(200, b"", 1_000_000)
            while not self.server.over.wait(every_s):
                self.wfile.write(b" ")
        except OSError:
            asked.abandoned.set()
        self.close_connection = True

    def reply(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send(status, content, len(content), headers)

    def send(self, status: int, content: bytes, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": length, **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the parent's
        """Silent: tests read what pytest prints."""


def enforced(body: dict[str, Any], forms: set[str]) -> str:
    """What a server says that enforces these forms and knows nothing: the only text that a pinned form allows."""
    regex = body.get("structured_outputs", {}).get("regex")
    if regex is not None and "pattern" in forms:
        return str(re.sub(r"\\(.)", r"\1", regex))
    asked = body.get("response_format", {})
    if asked.get("type") == "json_schema" and "schema" in forms:
        properties = asked["json_schema"]["schema"]["properties"]
        return json.dumps({name: schema["enum"][0] for name, schema in properties.items()})
    return "{}" if asked.get("type") == "json_object" and "object" in forms else "It warns ships."


def completion(texts: list[str]) -> dict[str, object]:
    """A chat completion with these choices, 100 prompt tokens and 7 tokens an answer."""
    return {
        "id": "scripted",
        "object": "chat.completion",
        "model": "scripted-lmm",
        "choices": [
            {"index": k, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for k, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 7 * len(texts), "total_tokens": 100 + 7 * len(texts)},
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="An OpenAI-compatible server that says what it is told to.")
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--say", action="append", default=[], metavar="TEXT")
    chosen = arguments.parse_args()
    server = ScriptedLmm([Says(*(chosen.say or ['{"latitude": 48.85837, "longitude": 2.294481}']))], port=chosen.port)
    print(server.url, flush=True)
    server.serve_forever()
