"""Every error that leaves the REST API, as problem details."""

import uuid
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from g3_kit import logs
from g3_kit.errors import G3Error
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from g3_orchestrator import problems

_log = logs.get(__name__)

_CODES = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "missing",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}


def install(app: FastAPI) -> None:
    """Hangs the handlers on `app`."""
    app.add_exception_handler(G3Error, _on_known)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_gone)


async def _on_known(request: Request, error: Exception) -> Response:
    if not isinstance(error, G3Error):
        raise error
    if error.http_status >= 500 and error.http_status not in {503, 504}:
        return crashed(request.url.path, error)
    return problems.answer(problems.of_error(error, request.url.path), problems.headers_of(error))


async def _on_invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    # a location begins with where the value was: query, path, header
    found = problems.faults_at((tuple(fault["loc"][1:]), str(fault["msg"])) for fault in error.errors())
    return await _on_known(request, found)


async def _on_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = _CODES.get(error.status_code, "rejected" if error.status_code < 500 else "internal")
    detail = {404: "There is nothing at this path.", 405: "Use one of the methods in the Allow header."}.get(
        error.status_code, HTTPStatus(error.status_code).phrase
    )
    document = problems.problem(code, error.status_code, detail, request.url.path)
    return problems.answer(document, dict(error.headers or {}))


async def _on_gone(request: Request, error: Exception) -> Response:
    # nobody is there to read it
    return problems.answer(problems.problem("malformed", 400, "The body did not arrive whole.", request.url.path))


def crashed(path: str, error: Exception) -> Response:
    """The answer to a request that failed in an unforeseen way: the log has the failure, the caller gets its id."""
    failure_id = str(uuid.uuid4())
    _log.error("a request crashed", failure_id=failure_id, path=path, exc_info=error)
    document = problems.problem(
        "internal",
        500,
        "Something failed here, not on your side; it is logged under this id.",
        f"urn:uuid:{failure_id}",
    )
    return problems.answer(document)
