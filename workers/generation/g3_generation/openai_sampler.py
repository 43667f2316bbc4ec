"""An LMM behind an OpenAI-compatible `/chat/completions` (vLLM, TGI, llama.cpp, OpenAI, …)."""

import asyncio
import base64
import json
import math
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import httpx
from g3_kit.errors import Exhausted, G3Error, Late, Rejected, Unavailable
from prometheus_client import Counter, Histogram

from g3_generation.sampler import Question, Reply

_MAX_RESPONSE_BYTES = 4 * 1024 * 1024  # 32 answers of 16 KiB, eight times over
_RETRIED = {408, 425}  # the 4xx that say "later" rather than "mend it"; 429 has its own error
_UNTRUSTED_ASIDES = {401, 403}  # endpoints quote the key in these
_SINGLE_AFTER = 2  # one short answer may be an accident, two in a row are the server's way

_SECONDS = Histogram(
    "g3_generation_lmm_seconds",
    "Duration of one call of the LMM endpoint.",
    ["outcome"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300),
)
_CHOICES = Counter("g3_generation_lmm_answers_total", "Answers that the LMM endpoint gave.")
_TOKENS = Counter("g3_generation_lmm_tokens_total", "Tokens as the LMM endpoint states them.", ["kind"])


class OpenAISampler:
    """`Sampler` over HTTP. One event loop in a thread of its own carries all calls, so that any can be abandoned.

    Some servers ignore `n` and some refuse it; after that was seen the sampler asks them for one answer at a time.
    """

    def __init__(
        self, url: str, model: str, *, api_key: str | None = None, max_tokens: int = 512, calls: int = 32
    ) -> None:
        """`url` ends before `/chat/completions` (usually in `/v1`); `max_tokens` bounds one answer; `calls` bounds
        the calls in flight, further ones wait within their deadline.
        """
        self._endpoint = url.rstrip("/") + "/chat/completions"
        self._model = model
        self._max_tokens = max_tokens
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._single = False
        self._short = 0
        self._calls = asyncio.Semaphore(calls)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lmm", daemon=True)
        self._thread.start()
        self._client = asyncio.run_coroutine_threadsafe(self._open(calls), self._loop).result()

    def ask(self, question: Question) -> Future[list[Reply]]:
        return asyncio.run_coroutine_threadsafe(self._timed(question), self._loop)

    def close(self) -> None:
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self, calls: int) -> httpx.AsyncClient:
        # The one deadline of a call is asyncio's: httpx's own timeouts start anew with every chunk.
        limits = httpx.Limits(max_connections=calls, max_keepalive_connections=calls)
        return httpx.AsyncClient(headers=self._headers, limits=limits, timeout=None, follow_redirects=False)  # noqa: S113

    async def _shut(self) -> None:
        calls = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._client.aclose()

    async def _timed(self, question: Question) -> list[Reply]:
        began = self._loop.time()
        outcome = "abandoned"
        try:
            async with asyncio.timeout(question.deadline_s):
                replies = await self._answers(question)
            outcome = "answered"
        except TimeoutError:
            outcome = Late.code
            raise Late(f"the LMM endpoint did not answer within {question.deadline_s:.3g} s") from None
        except G3Error as error:
            outcome = error.code
            raise
        finally:
            _SECONDS.labels(outcome).observe(self._loop.time() - began)
        _CHOICES.inc(len(replies))
        _TOKENS.labels("prompt").inc(max((reply.prompt_tokens for reply in replies), default=0))
        _TOKENS.labels("answer").inc(sum(reply.answer_tokens for reply in replies))
        return replies

    async def _answers(self, question: Question) -> list[Reply]:
        async with self._calls:
            if self._single or question.n == 1:
                return await self._post(question, 1)
            try:
                replies = await self._post(question, question.n)
            except Rejected:
                # Is it n that the server refuses? If one answer is refused too, that refusal is the one to report.
                replies = await self._post(question, 1)
                self._single = True
            else:
                self._short = self._short + 1 if len(replies) == 1 else 0
                self._single = self._short >= _SINGLE_AFTER
            return replies

    async def _post(self, question: Question, n: int) -> list[Reply]:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": [_part(part) for part in question.parts]}],
            "n": n,
            "temperature": question.temperature,
            "max_tokens": self._max_tokens,
        }
        try:
            async with self._client.stream("POST", self._endpoint, json=body) as response:
                content = await _bounded(response)
        except httpx.UnsupportedProtocol:
            raise Rejected("the URL of the LMM endpoint must begin with http:// or https://") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"the LMM endpoint cannot be reached: {type(error).__name__}") from error
        if response.status_code != httpx.codes.OK:
            raise _refusal(response.status_code, response.headers, content)
        return _replies(content, self._model)[:n]


def _part(part: str | bytes) -> dict[str, object]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(part).decode()}}


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _MAX_RESPONSE_BYTES:
            raise Unavailable(f"the LMM endpoint answered with more than {_MAX_RESPONSE_BYTES} bytes")
    return bytes(content)


def _refusal(status: int, headers: Mapping[str, str], content: bytes) -> G3Error:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Exhausted("the LMM endpoint is full (HTTP 429)", retry_after_s=_retry_after_s(headers))
    if status >= 500 or status in _RETRIED:
        return Unavailable(f"the LMM endpoint failed (HTTP {status})", retry_after_s=_retry_after_s(headers))
    aside = "" if status in _UNTRUSTED_ASIDES else _aside(content)
    return Rejected(f"the LMM endpoint refused the question (HTTP {status})" + (f": {aside}" if aside else ""))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """RFC 9110, 10.2.3, in its form of seconds; the form of a date is ignored, the back-off does without."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _aside(content: bytes) -> str:
    """What the endpoint says about its refusal, in one short line."""
    match _json(content):
        case {"error": {"message": str(message)}} | {"error": str(message)} | {"message": str(message)}:
            return " ".join(message.split())[:200]
    return ""


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _replies(content: bytes, model: str) -> list[Reply]:
    """The choices of a chat completion. Raises Unavailable for anything else: proxies answer 200 with pages."""
    body = _json(content)
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        raise Unavailable("the LMM endpoint answered something that is no chat completion")
    choices = [choice for choice in body["choices"] if isinstance(choice, dict)]
    named = body.get("model")
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    # `usage` counts the answers of all choices together; the split is even because nobody states it.
    share = _count(usage.get("completion_tokens")) // max(1, len(choices))
    return [
        Reply(_text(choice), named if isinstance(named, str) else model, _count(usage.get("prompt_tokens")), share)
        for choice in choices
    ]


def _text(choice: dict[str, Any]) -> str:
    """The raw text; a refusal or an empty message has arrived too, and is for the orchestrator to judge."""
    match choice.get("message"):
        case {"content": str(text)} | {"refusal": str(text)}:
            return text
        case {"content": list(parts)}:
            return "".join(
                part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
    return ""


def _count(value: object) -> int:
    return min(value, 2**32 - 1) if isinstance(value, int) and value > 0 else 0
