"""Reading a submitted body: multipart or JSON, under a limit that holds while the bytes arrive."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from g3_kit.errors import Exhausted, Late, Rejected, TooLarge
from g3_photo import Limits
from starlette.requests import Request

from g3_orchestrator import intake
from g3_orchestrator.rest import multipart

# Boundaries, part headers, parameters and label beside the photo.
_BESIDE_PHOTO_BYTES = 256 * 1024
_MAX_FIELD_BYTES = 128 * 1024
_MAX_PARTS = 8
_FIELDS = frozenset({"photo", "parameters", "label"})


class Unsupported(Rejected):
    """The body's content type is not taken."""

    code = "unsupported_media_type"
    http_status = 415


class Malformed(Rejected):
    """The body is not what its content type says."""

    code = "malformed"
    http_status = 400


@dataclass(frozen=True)
class Submission:
    """A body as read: the photo's bytes and the JSON values beside it, not yet validated."""

    photo: bytes
    parameters: Any
    label: Any


class Bodies:
    """Reads submissions, at most `at_once` at a time, so that uploads cannot fill the memory."""

    def __init__(self, limits: Limits, *, at_once: int = 32, patience_s: float = 60.0) -> None:
        """`patience_s` is the time in seconds that a body may take to arrive."""
        self._limits = limits
        self._free = at_once
        self._patience_s = patience_s

    async def read(self, request: Request) -> Submission:
        """The submission in `request`.

        Raises TooLarge as soon as the stated or the counted length is over the limit, Unsupported, Malformed,
        Rejected, Late when the body dribbles in, Exhausted when too many bodies are being read.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {"application/json", "multipart/form-data"}:
            raise Unsupported("Send multipart/form-data or application/json.")
        max_bytes = self._limits.max_bytes + _BESIDE_PHOTO_BYTES
        if kind == "application/json":
            # base64 makes four characters of three bytes
            max_bytes = self._limits.max_bytes * 4 // 3 + _BESIDE_PHOTO_BYTES
        await self._judge_stated_length(request, max_bytes)
        async with self._turn():
            try:
                async with asyncio.timeout(self._patience_s):
                    self._count(request, max_bytes)
                    return await (self._json(request) if kind == "application/json" else self._multipart(request))
            except TimeoutError:
                raise Late("The body took too long to arrive.") from None

    async def _judge_stated_length(self, request: Request, max_bytes: int) -> None:
        stated = request.headers.get("content-length", "")
        if not stated.isascii() or not stated.isdigit() or int(stated) <= max_bytes:
            return
        if request.headers.get("expect", "").lower() != "100-continue":
            await _discard(request, max_bytes)
        raise intake.too_large(self._limits)

    def _count(self, request: Request, max_bytes: int) -> None:
        """From here on the request's stream raises TooLarge once more than `max_bytes` have come."""
        receive, taken = request.receive, 0

        async def counted() -> Any:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > max_bytes:
                raise intake.too_large(self._limits)
            return message

        request._receive = counted

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._free <= 0:
            raise Exhausted("Too many uploads at this moment.", retry_after_s=2)
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1

    async def _json(self, request: Request) -> Submission:
        # 27 MB of JSON would hold up the loop
        body = await asyncio.to_thread(_parsed, await request.body())
        if not isinstance(body, dict):
            raise Rejected("The body must be a JSON object.")
        if "photo_url" in body:
            intake.from_url(str(body["photo_url"]))
        _judge_names(set(body))
        text = body.get("photo")
        if not isinstance(text, str):
            raise Rejected("Send the photo as base64 in a string.", field="photo")
        photo = await asyncio.to_thread(intake.from_base64, text, self._limits)
        return Submission(photo, body.get("parameters"), body.get("label"))

    async def _multipart(self, request: Request) -> Submission:
        try:
            reader = multipart.Reader(request.headers["content-type"], max_parts=_MAX_PARTS)
            parts = await reader.read(request.stream())
        except multipart.Broken:
            raise Malformed("The multipart body cannot be read or is cut short.") from None
        named = {part.name: part for part in parts}
        if "photo_url" in named:
            intake.from_url("")
        _judge_names(set(named))
        if len(named) != len(parts):
            raise Rejected("Send each part once.")
        if not named["photo"].is_file:
            raise Rejected("Send the photo as a file (a part with a filename).", field="photo")
        parameters, label = _text(named.get("parameters")), _text(named.get("label"))
        return Submission(
            bytes(named["photo"].data), None if parameters is None else _parsed(parameters, "parameters"), label
        )


def _judge_names(names: set[str]) -> None:
    for name in sorted(names - _FIELDS):
        shown = name[:64]
        raise Rejected(f"There is no field {shown!r}.", field=shown)
    if "photo" not in names:
        raise Rejected("A photo is needed.", field="photo")


def _text(part: multipart.Part | None) -> str | None:
    if part is None:
        return None
    if len(part.data) > _MAX_FIELD_BYTES:
        raise TooLarge(f"This field may have at most {_MAX_FIELD_BYTES // 1024} KiB.", field=part.name)
    try:
        return part.data.decode()
    except UnicodeDecodeError:
        raise Malformed("The text is not UTF-8.", field=part.name) from None


def _parsed(data: bytes | str, field: str = "") -> Any:
    """The JSON value (RFC 8259: without NaN and Infinity, without repeated names)."""
    try:
        return json.loads(data, parse_constant=_no_constant, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise Malformed("This is not JSON.", field=field) from None


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name is repeated")
    return value


async def _discard(request: Request, max_bytes: int) -> None:
    """Reads on for a while without keeping anything: a caller who is still sending would not see the answer."""
    left = 4 * max_bytes
    try:
        async with asyncio.timeout(10):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return
    except TimeoutError:
        return
