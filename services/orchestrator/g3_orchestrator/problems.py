"""Errors as RFC 9457 problem details."""

import itertools
import math
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from g3_kit.errors import G3Error, Late, Rejected, TooLarge, Unauthenticated, Unavailable
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

_TITLES = {
    "rejected": "The request is not acceptable",
    "too_large": "The request is too large",
    "not_yet": "This is not available yet",
    "mismatch": "Model and collection do not match",
    "unauthenticated": "An API key is needed",
    "forbidden": "The API key may not do this",
    "missing": "There is no such thing",
    "conflict": "It has moved on",
    "unavailable": "Temporarily unavailable",
    "exhausted": "Too many requests",
    "late": "The deadline passed",
    "internal": "Something failed inside",
    "malformed": "The request cannot be read",
    "method_not_allowed": "This method is not known here",
    "unsupported_media_type": "This content type is not taken",
}

_WAITS_S = {"exhausted": 2, "unavailable": 5}
_MOST_FAULTS = 20
_LONGEST_NAME = 128


class FieldError(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(extra="forbid")

    field: str = Field(description="Path of the field, parts joined by dots.", examples=["parameters.temperature"])
    detail: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="`urn:g3:problem:` and the code.", examples=["urn:g3:problem:rejected"])
    title: str = Field(description="The kind of problem, the same for every occurrence.")
    status: int = Field(description="The HTTP status.", ge=400, le=599)
    detail: str = Field(description="What to do about this occurrence.")
    instance: str = Field(description="The path that was called, or the id under which a failure was logged.")
    code: str = Field(description="Stable machine-readable code.", examples=["rejected"])
    errors: list[FieldError] = Field(default=[], description="The fields at fault, when there are any.")


class Faults(Rejected):
    """Several fields are at fault at once."""

    def __init__(self, errors: list[FieldError]) -> None:
        """`errors` in the order found, at least one."""
        first = errors[0]
        super().__init__(f"{first.field}: {first.detail}" if first.field else first.detail, field=first.field)
        self.errors = errors


def faults(error: ValidationError) -> Faults:
    """What pydantic found wrong, without the values that were sent."""
    return faults_at((fault["loc"], fault["msg"]) for fault in error.errors(include_url=False, include_input=False))


def faults_at(found: Iterable[tuple[tuple[int | str, ...], str]]) -> Faults:
    """Faults from pairs of a location and a sentence; a caller's own field names are cut to a bearable length."""
    errors = [
        FieldError(field=".".join(str(part) for part in location)[:_LONGEST_NAME], detail=detail)
        for location, detail in itertools.islice(found, _MOST_FAULTS)
    ]
    return Faults(errors or [FieldError(field="", detail="The request is not acceptable.")])


def problem(code: str, status: int, detail: str, instance: str, errors: list[FieldError] | None = None) -> Problem:
    """A problem document of a code; `status` as in the error tree."""
    title = _TITLES.get(code) or HTTPStatus(status).phrase
    return Problem(
        type=f"urn:g3:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        errors=errors or [],
    )


def of_error(error: G3Error, instance: str) -> Problem:
    """The problem document of an error of the tree."""
    if isinstance(error, Faults):
        errors = error.errors
    else:
        errors = [FieldError(field=error.field, detail=error.message)] if error.field else []
    return problem(error.code, error.http_status, error.message, instance, errors)


def headers_of(error: G3Error) -> dict[str, str]:
    """Headers that go with an error: `Retry-After` in whole seconds (RFC 9110 §10.2.3), `WWW-Authenticate`."""
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, TooLarge):
        # what is left of the body is not worth reading
        return {"Connection": "close"}
    if isinstance(error, Unavailable) and not isinstance(error, Late):
        wait_s = error.retry_after_s if error.retry_after_s is not None else _WAITS_S.get(error.code, 5)
        return {"Retry-After": str(max(1, math.ceil(wait_s)))}
    return {}


def answer(document: Problem, headers: dict[str, str] | None = None) -> Response:
    """The HTTP response that carries a problem document."""
    return Response(
        document.model_dump_json(),
        status_code=document.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of problem responses of these statuses."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
