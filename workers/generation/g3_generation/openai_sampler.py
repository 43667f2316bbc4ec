"""An LMM behind an OpenAI-compatible `/chat/completions` (vLLM, TGI, llama.cpp, OpenAI, …)."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

from g3_kit import logs
from g3_kit.errors import Exhausted, G3Error, Late, Rejected, Unavailable
from prometheus_client import Counter, Histogram

from g3_generation.breaker import Breaker
from g3_generation.dialect import BARE, Dialect, Speech
from g3_generation.endpoint import Endpoint, Unreachable
from g3_generation.form_finder import FormFinder
from g3_generation.forms import Form, Proof
from g3_generation.sampler import OpenCircuit, Picture, Question, Reply
from g3_generation.server_metrics import Ledger
from g3_generation.window import Window

_log = logs.get("g3_generation.openai_sampler")
_PROOF_TOKENS = 96  # twice an answer spelled letter by letter
_FORM_WAIT_S = 5.0  # the first questions wait so long for a form
_LOOK_S, _SELDOM_S = 1.0, 30.0  # between two looks at the server's metrics; at most, while it shows none
# A call that had less than this, and less than half of its time because it waited for its turn, says nothing about the
# server by not ending in it.
_FAIR_S = 5.0

_SECONDS = Histogram(
    "g3_generation_lmm_seconds",
    "Duration of one call of the LMM endpoint, waiting for its turn included.",
    ["outcome"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300),
)
_CHOICES = Counter("g3_generation_lmm_answers_total", "Answers that the LMM endpoint gave.")
_TOKENS = Counter("g3_generation_lmm_tokens_total", "Tokens as the LMM endpoint states them.", ["kind"])
_DISOBEYED = Counter("g3_generation_lmm_disobeyed_total", "Whole answers without the form that was asked for.")


class OpenAISampler:
    """`Sampler` over HTTP. One event loop in a thread of its own carries all calls, so that any can be abandoned.

    It finds out what the endpoint understands: n, seeds, which form of an answer it enforces (`probe`), and how much
    it can take (`watch`, from a vLLM's metrics; else from its 429 and its speed).
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        max_tokens: int = 512,
        calls: int = 32,
        failures: int = 5,
        seeds: bool = False,
        probe: bool = False,
        watch: bool = False,
    ) -> None:
        """`url` ends before `/chat/completions` (usually in `/v1`); `max_tokens` bounds one answer; `calls` is the
        most that are ever in flight, further ones wait within their deadline; `failures` in a row open the circuit;
        `seeds` says whether the seeds of questions are sent.
        """
        self._max_tokens, self._seeds = max_tokens, seeds
        self._window = Window(calls)
        self._breaker = Breaker(failures, first_s=1.0)
        self._ledger = Ledger()
        self._speech = Speech()
        self._named = ""
        self._was_away = False
        self._finder: FormFinder | None = None
        self._beside: list[asyncio.Task[None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lmm", daemon=True)
        self._thread.start()
        # Two connections more than calls: a proof and a look at the metrics never wait for answers.
        self._endpoint = Endpoint(url, model, api_key=api_key, connections=calls + 2)
        asyncio.run_coroutine_threadsafe(self._begin(probe=probe, watch=watch), self._loop).result()

    def ask(self, question: Question) -> Future[list[Reply]]:
        return asyncio.run_coroutine_threadsafe(self._timed(question), self._loop)

    @property
    def calls(self) -> int:
        return self._window.size

    @property
    def form(self) -> Form | None:
        """The form of an answer that the endpoint was seen to enforce; None while that is not known."""
        return self._finder.form if self._finder is not None and self._finder.known else None

    def trouble(self) -> OpenCircuit | None:
        return self._breaker.trouble()

    def close(self) -> None:
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _begin(self, *, probe: bool, watch: bool) -> None:
        if probe:
            self._finder = FormFinder(self._prove)
            self._run_beside(self._finder.run())
        if watch:
            self._run_beside(self._watch())

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        self._beside.append(self._loop.create_task(work))

    async def _shut(self) -> None:
        calls = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._endpoint.close()

    async def _timed(self, question: Question) -> list[Reply]:
        began = self._loop.time()
        outcome = "abandoned"
        try:
            found = await self._admitted(question, began + question.deadline_s)
            outcome = "answered"
        except TimeoutError:
            outcome = Late.code
            raise Late(f"the LMM endpoint did not answer within {question.deadline_s:.3g} s") from None
        except G3Error as error:
            outcome = "open circuit" if isinstance(error, OpenCircuit) else error.code
            raise
        finally:
            _SECONDS.labels(outcome).observe(self._loop.time() - began)
        _CHOICES.inc(len(found))
        _TOKENS.labels("prompt").inc(max((reply.prompt_tokens for reply in found), default=0))
        _TOKENS.labels("cached").inc(max((reply.cached_tokens for reply in found), default=0))
        _TOKENS.labels("answer").inc(sum(reply.answer_tokens for reply in found))
        return found

    async def _admitted(self, question: Question, ends: float) -> list[Reply]:
        """Asks when circuit and window let it. `ends` by the loop's clock: TimeoutError past it."""
        async with asyncio.timeout_at(ends):
            if self._finder is not None:
                await self._finder.settled(_FORM_WAIT_S)
            trial = await self._breaker.admit()
        try:
            async with asyncio.timeout_at(ends):
                began = await self._window.enter()
            try:
                return await self._watched(question, began, ends, trial=trial)
            finally:
                self._window.leave()
        finally:
            if trial:
                self._breaker.abandoned()

    async def _watched(self, question: Question, began: float, ends: float, *, trial: bool) -> list[Reply]:
        """Asks, and tells circuit and window how it went."""
        try:
            async with asyncio.timeout_at(ends):
                found = await self._said(question)
        except TimeoutError:
            self._window.full(began, None)
            if time.monotonic() - began >= min(_FAIR_S, question.deadline_s / 2):
                self._breaker.failed(Late("it did not answer in time"), trial=trial)
            raise
        except Exhausted as error:
            self._window.full(began, error.retry_after_s)
            self._breaker.succeeded()
            raise
        except Unavailable as error:
            self._was_away = self._was_away or isinstance(error, Unreachable)
            self._breaker.failed(error, trial=trial)
            raise
        except Rejected:
            self._breaker.succeeded()
            raise
        self._window.answered(began, question.deadline_s)
        self._breaker.succeeded()
        self._noticed(found)
        return found

    def _noticed(self, found: list[Reply]) -> None:
        """A server that came back, or serves another model, may be another server."""
        named = found[0].model if found else self._named
        if self._was_away or (self._named and named != self._named):
            why = "it was away" if self._was_away else f"it serves {named}"
            self._speech = Speech()
            if self._finder is not None:
                self._finder.doubt(why)
        self._was_away, self._named = False, named

    async def _said(self, question: Question) -> list[Reply]:
        """Asks in the endpoint's dialect, and bare when it refuses that. Raises as `ask`."""
        speech, used = self._speech, self._speech.dialect
        form = self._finder.form if self._finder is not None and used.form else Form.FREE
        said = (used, form is not Form.FREE)
        try:
            found = await self._endpoint.complete(self._body(question, used, form))
        except Rejected:
            if said == (BARE, False) or (
                question.n == 1 and (question.seed is None or not self._seeds) and form is Form.FREE
            ):
                raise
            # Is it how the question was put? If the bare one is refused too, that refusal is the one to report.
            found = await self._endpoint.complete(self._body(question, BARE, Form.FREE))
            speech.refused(used, asked=question.n, formed=form is not Form.FREE)
            return found[: question.n]
        learned = speech.accepted(used, asked=question.n, got=len(found))
        if learned is not None:
            _log.info("the LMM endpoint is spoken to in another way", n=learned.many, seed=learned.seed)
            if not learned.form and self._finder is not None:
                self._finder.refused()
                speech.with_form()
        elif any(not reply.cut and not form.obeyed_by(reply.text) for reply in found):
            _DISOBEYED.inc()
            if self._finder is not None:
                self._finder.doubt("an answer has not the form")
        return found[: question.n if used.many else 1]

    def _body(self, question: Question, dialect: Dialect, form: Form) -> dict[str, Any]:
        body = {
            "messages": [{"role": "user", "content": [_part(part) for part in question.parts]}],
            "n": question.n if dialect.many else 1,
            "temperature": question.temperature,
            "max_tokens": self._max_tokens,
            **form.fields,
        }
        return body | {"seed": question.seed} if self._seeds and dialect.seed and question.seed is not None else body

    async def _prove(self, proof: Proof) -> str:
        body = {
            "messages": [{"role": "user", "content": proof.prompt}],
            "temperature": 0.0,
            "max_tokens": _PROOF_TOKENS,
            **proof.fields,
        }
        found = await self._endpoint.complete(body)
        if not found:
            raise Unavailable("the LMM endpoint answered without any choice")
        return found[0].text

    async def _watch(self) -> None:
        """Looks at the server's metrics for as long as the sampler lives; seldom where there are none."""
        pause_s = _LOOK_S
        while True:
            report = await self._endpoint.report()
            if report is not None:
                self._ledger.enter(report)
                self._window.reported(report.waiting, report.running)
            pause_s = _LOOK_S if report is not None else min(_SELDOM_S, 2 * pause_s)
            await asyncio.sleep(pause_s)


def _part(part: str | bytes) -> dict[str, object]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    picture = part if isinstance(part, Picture) else Picture(part)
    return {"type": "image_url", "image_url": {"url": picture.data_url}}
