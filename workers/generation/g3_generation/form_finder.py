"""Which form of an answer the LMM server enforces: found out beside the work, and again when there is doubt."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from g3_kit import logs
from g3_kit.errors import G3Error, Rejected, Unavailable
from prometheus_client import Gauge

from g3_generation.forms import Form, Proof, proof_of

_log = logs.get("g3_generation.form_finder")
_FORM = Gauge(
    "g3_generation_lmm_form", "1 for the form of an answer that the LMM server was seen to enforce.", ["form"]
)
_UNKNOWN = "unknown"
_CONTROL = proof_of(Form.OBJECT).prompt

Put = Callable[[Proof], Awaitable[str]]
"""Puts the question of a proof to the server and gives the answer's text. Raises as a sampler does."""


class FormFinder:
    """Belongs to one event loop; `form` may be read from any thread.

    `form` is what requests ask for: FREE until something better was proved. A server that is away is asked again
    after `first_s`, doubling up to `most_s`; a doubt is looked into no sooner than `rest_s` after the last finding.
    """

    def __init__(
        self, put: Put, *, proof_s: float = 20.0, first_s: float = 1.0, most_s: float = 30.0, rest_s: float = 5.0
    ) -> None:
        """Nothing is known; `run` finds it out. `proof_s` bounds one question."""
        self._put, self._proof_s, self._first_s, self._most_s, self._rest_s = put, proof_s, first_s, most_s, rest_s
        self.form = Form.FREE
        self.known = False
        self._tried = asyncio.Event()
        self._doubted = asyncio.Event()
        self._doubted.set()
        self._show()

    async def run(self) -> None:
        """Works until it is cancelled."""
        found_at = -self._rest_s
        while True:
            await self._doubted.wait()
            await asyncio.sleep(max(0.0, found_at + self._rest_s - time.monotonic()))
            self._doubted.clear()
            await self._find()
            found_at = time.monotonic()

    async def settled(self, patience_s: float) -> None:
        """Returns once something is known or the first try was in vain, at the latest after `patience_s`."""
        if not self._tried.is_set():
            try:
                async with asyncio.timeout(patience_s):
                    await self._tried.wait()
            except TimeoutError:
                # The server is slow: work goes on without a form, the proof beside it.
                self._tried.set()

    def doubt(self, why: str) -> None:
        """What was found may not be so any more; it is used until something else is found."""
        if not self._doubted.is_set():
            _log.info("looking again which form of an answer the LMM server enforces", why=why)
            self._doubted.set()

    def refused(self) -> None:
        """The server refused a question for its form, which is asked for no more."""
        self._settle(Form.FREE)
        self.doubt("it was refused")

    async def _find(self) -> None:
        wait_s = self._first_s
        while True:
            try:
                self._settle(await self._strictest())
            except Unavailable as error:
                _log.info("the form of an answer is not known yet", reason=error.message, wait_s=wait_s)
            except G3Error as error:
                # A server that refuses every question: the questions of the stages will say so.
                _log.warning("the LMM server answers no proof", reason=error.message, wait_s=wait_s)
            else:
                return
            finally:
                self._tried.set()
            await asyncio.sleep(wait_s)
            wait_s = min(self._most_s, 2 * wait_s)

    async def _strictest(self) -> Form:
        """Raises Unavailable when the server is away and Rejected when it refuses a bare question."""
        if await self._proved(Form.PATTERN):
            return Form.PATTERN
        if await self._proved(Form.SCHEMA):
            return Form.SCHEMA
        # A model that answers in JSON whatever it is asked proves nothing.
        bare = proof_of(Form.OBJECT)
        natural = bare.holds(await self._answer(Proof(bare.prompt, {}, None)))
        return Form.OBJECT if not natural and await self._proved(Form.OBJECT) else Form.FREE

    async def _proved(self, form: Form) -> bool:
        proof = proof_of(form)
        try:
            return proof.holds(await self._answer(proof))
        except Rejected:
            return False
        except Unavailable:
            # Some engines fail over what they cannot compile: then they answer the bare question.
            await self._answer(Proof(_CONTROL, {}, None))
            return False

    async def _answer(self, proof: Proof) -> str:
        try:
            async with asyncio.timeout(self._proof_s):
                return await self._put(proof)
        except TimeoutError:
            raise Unavailable(f"no answer to a proof within {self._proof_s:g} s") from None

    def _settle(self, form: Form) -> None:
        if not self.known or form is not self.form:
            _log.info("the form of an answer that the LMM server enforces", form=form.value)
        self.form, self.known = form, True
        self._show()

    def _show(self) -> None:
        for name in (*(form.value for form in Form), _UNKNOWN):
            _FORM.labels(name).set(name == (self.form.value if self.known else _UNKNOWN))
