"""What an endpoint answered: a chat completion as OpenAI has it, a refusal, or something else altogether."""

import json
import math
from collections.abc import Mapping
from typing import Any

import httpx
from g3_kit.errors import Exhausted, G3Error, Rejected, Unavailable

from g3_generation.sampler import Reply

MAX_RESPONSE_BYTES = 4 * 1024 * 1024  # 32 answers of 16 KiB, eight times over
_RETRIED = {408, 425}  # the 4xx that say "later" rather than "mend it"; 429 has its own error
_UNTRUSTED_ASIDES = {401, 403}  # endpoints quote the key in these


async def bounded(response: httpx.Response) -> bytes:
    """The body. Raises Unavailable past MAX_RESPONSE_BYTES: what never ends is no answer."""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_RESPONSE_BYTES:
            raise Unavailable(f"the LMM endpoint answered with more than {MAX_RESPONSE_BYTES} bytes")
    return bytes(content)


def replies(status: int, headers: Mapping[str, str], content: bytes, model: str) -> list[Reply]:
    """The choices of a chat completion; `model` is the name where the answer states none. The type that the answer
    claims to have is not asked: proxies and small servers name any.

    Raises Exhausted for 429, Rejected for other 4xx, Unavailable for everything else that is no chat completion:
    proxies answer 200 with pages, and servers 200 with an error. A choice that the server abandoned (`abort`: vLLM says
    so, with status 200, of what it no longer takes or ends once it is told to stop) has not been answered.
    """
    if status != httpx.codes.OK:
        raise _refusal(status, headers, content)
    body = _json(content)
    if not isinstance(body, dict) or not isinstance(body.get("choices"), list):
        aside = _aside(body)
        raise Unavailable(
            "the LMM endpoint answered something that is no chat completion" + (f": {aside}" if aside else "")
        )
    choices = [choice for choice in body["choices"] if isinstance(choice, dict)]
    answered = [choice for choice in choices if choice.get("finish_reason") != "abort"]
    if choices and not answered:
        raise Unavailable("the LMM endpoint abandoned the question")
    named = body.get("model")
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    # `usage` counts the answers of all choices together; the split is even because nobody states it.
    share = _count(usage.get("completion_tokens")) // max(1, len(choices))
    return [
        Reply(
            _text(choice),
            named if isinstance(named, str) else model,
            _count(usage.get("prompt_tokens")),
            share,
            cut=choice.get("finish_reason") == "length",
            cached_tokens=cached,
        )
        for choice in answered
    ]


def _refusal(status: int, headers: Mapping[str, str], content: bytes) -> G3Error:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Exhausted("the LMM endpoint is full (HTTP 429)", retry_after_s=_retry_after_s(headers))
    if status >= 500 or status in _RETRIED:
        return Unavailable(f"the LMM endpoint failed (HTTP {status})", retry_after_s=_retry_after_s(headers))
    aside = "" if status in _UNTRUSTED_ASIDES else _aside(_json(content))
    return Rejected(f"the LMM endpoint refused the question (HTTP {status})" + (f": {aside}" if aside else ""))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """RFC 9110, 10.2.3, in its form of seconds; the form of a date is ignored, the back-off does without."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _aside(body: object) -> str:
    """What the endpoint says about its refusal, in one short line."""
    match body:
        case {"error": {"message": str(message)}} | {"error": str(message)} | {"message": str(message)}:
            return " ".join(message.split())[:200]
    return ""


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


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
