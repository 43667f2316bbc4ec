"""What goes over the wire: requests out of arguments, documents and errors out of answers. Nothing here does I/O."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from g3_client.config import Connection
from g3_client.errors import (
    ConnectionFailed,
    FieldError,
    G3ClientError,
    Missing,
    Problem,
    Rejected,
    TimedOut,
    Unintelligible,
    kind_of,
)
from g3_client.models import Job, JobState, Parameters

USER_AGENT = "g3-client/0.1.0"

READ_S = 30.0
"""Seconds of silence after which an ordinary call is given up."""

SILENCE_S = 60.0
"""Seconds of silence after which a stream of events is opened anew; the server sends a comment more often."""

AnyParameters = Parameters | Mapping[str, Any]
D = TypeVar("D", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    """One HTTP request. Every one may be repeated: a submission carries its Idempotency-Key."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    photo: bytes | None = None
    body: Mapping[str, Any] | None = None
    read_s: float = READ_S

    def arguments(self) -> dict[str, Any]:
        """The call as httpx takes it."""
        arguments: dict[str, Any] = {
            "method": self.method,
            "url": self.path,
            "params": dict(self.query),
            "headers": dict(self.headers),
            "timeout": httpx.Timeout(self.read_s, connect=10.0),
        }
        if self.photo is not None:
            # the name of the caller's file is no business of the server
            arguments["files"] = {"photo": ("photo", self.photo, "application/octet-stream")}
            arguments["data"] = dict(self.form or {})
        if self.body is not None:
            arguments["json"] = dict(self.body)
        return arguments


def submission(
    photo: bytes, parameters: AnyParameters | None, label: str, idempotency_key: str | None, wait_s: float
) -> Call:
    """POST /v1/jobs; without a key a fresh one is made, so that trying again cannot submit twice.

    Raises Rejected when the key or the parameters cannot be written at all.
    """
    form = {"label": label} if label else {}
    if parameters is not None:
        form["parameters"] = _json(parameters)
    key = idempotency_key or str(uuid.uuid4())
    if not (key.isascii() and key.isprintable()):
        raise _refused("Idempotency-Key", "It must have printable ASCII characters.")
    headers = {"Idempotency-Key": key, **_prefer(wait_s)}
    return Call("POST", "/v1/jobs", headers=headers, form=form, photo=photo, read_s=READ_S + wait_s)


def reading(job_id: str, wait_s: float = 0.0) -> Call:
    """GET /v1/jobs/{id}; the server answers once the job has ended or after `wait_s`."""
    return Call("GET", _of_job(job_id), headers=_prefer(wait_s), read_s=READ_S + wait_s)


def listing(state: JobState | str | None, limit: int | None, cursor: str, view: str = "") -> Call:
    """GET /v1/jobs; `view` is "summary" (the server's own choice) or "full"."""
    query = {"state": str(state or ""), "limit": str(limit or ""), "cursor": cursor, "view": view}
    return Call("GET", "/v1/jobs", query={name: value for name, value in query.items() if value})


def cancellation(job_id: str) -> Call:
    """POST /v1/jobs/{id}/cancel."""
    return Call("POST", f"{_of_job(job_id)}/cancel")


def following(job_id: str, last_event: str, read_s: float) -> Call:
    """GET /v1/jobs/{id}/events, after the event seen last."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if last_event:
        headers["Last-Event-ID"] = last_event
    return Call("GET", f"{_of_job(job_id)}/events", headers=headers, read_s=read_s)


def readiness() -> Call:
    """GET /readyz."""
    return Call("GET", "/readyz", read_s=10.0)


def headers(connection: Connection) -> dict[str, str]:
    """What every request to a server carries."""
    key = {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}
    return {"User-Agent": USER_AGENT, "Accept": "application/json", **key}


def id_of(job: Job | str) -> str:
    """The id of a job that is given as a document or by its id."""
    return job if isinstance(job, str) else job.job_id


def parsed(kind: type[D], response: httpx.Response) -> D:
    """The document of an answer. Raises Unintelligible."""
    return parsed_text(kind, response.content)


def parsed_text(kind: type[D], content: bytes | str) -> D:
    """The document in a JSON text. Raises Unintelligible."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"The server's answer is no {kind.__name__} ({where or 'document'}: {first['msg']})."
        raise Unintelligible(message) from error


def failure_of(outcome: httpx.Response | httpx.RequestError) -> G3ClientError:
    """The error that an unsuccessful answer, or the lack of one, stands for."""
    if isinstance(outcome, httpx.Response):
        return _problem(outcome) if outcome.is_error else Unintelligible(_not_ours(outcome))
    if isinstance(outcome, httpx.TimeoutException) and not isinstance(outcome, httpx.ConnectTimeout):
        return TimedOut("The server did not answer in time.")
    return ConnectionFailed(f"The server cannot be reached ({str(outcome) or type(outcome).__name__}).")


def _problem(response: httpx.Response) -> Problem:
    status = response.status_code
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    code = str(document.get("code") or f"http_{status}")
    detail = str(document.get("detail") or document.get("title") or f"The server answered {status}.")
    listed = document.get("errors")
    errors = [
        FieldError(str(e.get("field", "")), str(e.get("detail", "")))
        for e in (listed if isinstance(listed, list) else [])
        if isinstance(e, dict)
    ]
    wait_s = retry_after_s(response.headers)
    return kind_of(status, code)(detail, status=status, code=code, errors=errors, retry_after_s=wait_s)


def retry_after_s(headers: httpx.Headers) -> float | None:
    """Retry-After in seconds from the answer's own Date: a number or an HTTP date (RFC 9110 §10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(headers["Date"])).total_seconds())
    except (ValueError, KeyError, TypeError):
        return None


def _not_ours(response: httpx.Response) -> str:
    target = response.headers.get("location")
    if response.is_redirect and target:
        return f"The address leads elsewhere ({response.status_code} to {target}): give that one."
    return f"The server answered {response.status_code}, which is not an answer of this API."


def _of_job(job_id: str) -> str:
    # "." and ".." would be resolved away and name another resource
    if not job_id.strip("."):
        raise Missing(f"There is no job {job_id!r}.", status=404, code="missing")
    return f"/v1/jobs/{quote(job_id, safe='')}"


def _prefer(wait_s: float) -> dict[str, str]:
    return {"Prefer": f"wait={int(wait_s)}"} if wait_s >= 1 else {}


def _json(parameters: AnyParameters) -> str:
    plain = parameters.model_dump(mode="json", exclude_none=True) if isinstance(parameters, Parameters) else parameters
    try:
        return json.dumps(dict(plain), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise _refused("parameters", f"They cannot be written as JSON ({error}).") from error


def _refused(field: str, detail: str) -> Rejected:
    return Rejected(detail, status=422, code="rejected", errors=[FieldError(field, detail)])
