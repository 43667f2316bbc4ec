"""The two addresses of an OpenAI-compatible server that are used, over one HTTP client."""

import asyncio
import json
from typing import Any

import httpx
from g3_kit.errors import Rejected, Unavailable

from g3_generation.completion import bounded, replies
from g3_generation.sampler import Reply
from g3_generation.server_metrics import Report, report_of

_REPORT_S = 2.0


class Unreachable(Unavailable):
    """Nobody is there, or the connection broke: whoever answers next may be another server."""


class Endpoint:
    """Belongs to one event loop. Only the caller bounds the time of `complete`: cancel it."""

    def __init__(self, url: str, model: str, *, api_key: str | None, connections: int) -> None:
        """`url` ends before `/chat/completions`."""
        self.model = model
        self._chat = url.rstrip("/") + "/chat/completions"
        self._metrics = url.rstrip("/").removesuffix("/v1") + "/metrics"
        # httpx's own timeouts start anew with every chunk. What the server says is never followed elsewhere.
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            timeout=None,  # noqa: S113
            follow_redirects=False,
        )

    async def complete(self, body: dict[str, Any]) -> list[Reply]:
        """The choices that the server gives to `body`, to which the model's name is added.

        Raises Rejected, Exhausted, Unavailable as `completion.replies`, Unreachable.
        """
        content = json.dumps({"model": self.model, **body}, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json"}
        try:
            async with self._client.stream("POST", self._chat, content=content, headers=headers) as response:
                answer = await bounded(response)
        except httpx.UnsupportedProtocol:
            raise Rejected("the URL of the LMM endpoint must begin with http:// or https://") from None
        except httpx.HTTPError as error:
            raise Unreachable(f"the LMM endpoint cannot be reached: {type(error).__name__}") from error
        return replies(response.status_code, response.headers, answer, self.model)

    async def report(self) -> Report | None:
        """What the server says of itself; None when it says nothing of use."""
        try:
            async with asyncio.timeout(_REPORT_S), self._client.stream("GET", self._metrics) as response:
                content = await bounded(response)
        except (TimeoutError, httpx.HTTPError, Unavailable):
            return None
        return report_of(content.decode(errors="replace")) if response.status_code == httpx.codes.OK else None

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()
