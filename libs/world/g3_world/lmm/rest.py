"""The HTTP surface: chat completions, models, health, metrics."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from g3_kit.errors import Exhausted, G3Error, Missing, Rejected, TooLarge, Unavailable
from g3_kit.health import Health
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from g3_world.lmm import openai
from g3_world.lmm.engine import Engine
from g3_world.lmm.questions import Question
from g3_world.lmm.work import Work


@dataclass(frozen=True)
class Served:
    """What the surface stands on: the model's `name`, what lays a question out (raises Rejected), and the engine."""

    name: str
    lay_out: Callable[[Question], Work]
    engine: Engine
    health: Health
    max_body_bytes: int = 16 * 1024 * 1024


def build(served: Served) -> Starlette:
    """The application: run it with uvicorn."""

    async def chat(request: Request) -> Response:
        asked = openai.read(await _body(request, served.max_body_bytes))
        if asked.model != served.name:
            raise Missing(f"no model {asked.model[:100]!r} is served here, but {served.name!r}", field="model")
        work = await run_in_threadpool(lambda: served.lay_out(openai.question(asked)))
        served.engine.submit(work)
        answers = asyncio.wrap_future(work.answers)
        gone = asyncio.ensure_future(_hung_up(request))
        awaited: set[asyncio.Future[Any]] = {answers, gone}
        try:
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if not answers.done():
                return Response(status_code=499)  # nobody reads it
            return JSONResponse(openai.completion(served.name, answers.result()))
        finally:
            gone.cancel()
            if not answers.done():
                answers.cancel()
                work.abandon()

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": served.name, "object": "model", "owned_by": "g3"}]})

    async def health(_: Request) -> Response:
        problems = dict(served.health.problems())
        return JSONResponse({"ready": not problems, "problems": problems}, 503 if problems else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/health", health),
            Route("/metrics", metrics),
        ],
        exception_handlers={G3Error: _refused, HTTPException: _not_there, Exception: _failed},
    )


async def _body(request: Request, most: int) -> bytes:
    """Raises TooLarge as soon as that is known."""
    too_large = TooLarge(f"a request may have {most} bytes at most")
    if int(request.headers.get("content-length", "0")) > most:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise too_large
    return bytes(body)


async def _hung_up(request: Request) -> None:
    # The body has been read: all that can still come is that the caller has gone.
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, G3Error)  # noqa: S101 - what the handler is registered for
    status = 400 if isinstance(error, Rejected) and not isinstance(error, TooLarge) else error.http_status
    kind = "invalid_request_error" if status < 429 else "overloaded" if isinstance(error, Unavailable) else "server"
    headers = {}
    if isinstance(error, Exhausted):
        headers["Retry-After"] = f"{error.retry_after_s or 1:g}"
    return JSONResponse(openai.refusal(error.message, kind, error.field, error.code), status, headers)


async def _not_there(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what the handler is registered for
    body = openai.refusal(str(error.detail), "invalid_request_error")
    return JSONResponse(body, error.status_code, dict(error.headers or {}))


async def _failed(_: Request, __: Exception) -> Response:
    return JSONResponse(openai.refusal("the server failed; its log says how", "server"), 500)
