"""A query set through the public API: photos to jobs, jobs to outcomes, a bounded number at a time."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from g3_client.errors import NotYet, Rejected
from g3_client.models import Job
from g3_kit.errors import Missing
from g3_kit.errors import Rejected as Unusable

from g3_evaluation import journal as journals
from g3_evaluation.asks import Ask, key_of, of_photo
from g3_evaluation.journal import Journal
from g3_evaluation.outcomes import Outcome, of_job
from g3_evaluation.photos import content_of, digest_of, stripped
from g3_evaluation.query_sets import Query
from g3_evaluation.run_folder import RunFolder, RunNote

LABEL = "g3-eval"
"""The same for every job: a photo's name may say where it was taken."""
_JOB_S = 3600.0
_MOST_EXCLUDED = 1_000  # of the API
_ATTEMPTS = 5
_Held = tuple[str, str]


class Geolocator(Protocol):
    """The role of the API. `AsyncG3` plays it."""

    async def locate(
        self,
        photo: bytes,
        *,
        parameters: Mapping[str, Any] | None = None,
        label: str = "",
        idempotency_key: str | None = None,
        timeout_s: float = 300.0,
    ) -> Job:
        """The job of a photo once it has ended. Raises the errors of `g3_client`."""
        ...


@dataclass
class Tally:
    """What a run did: jobs asked for now, outcomes that were there, and photos without an answer in this pass."""

    asked: int = 0
    kept: int = 0
    failed: int = 0


Progress = Callable[[bool], None]
"""Told of every photo that is done, and whether anything was asked for it now."""


class JobRun:
    """One pass over a run's photos. What is in the journal already is not asked for again."""

    def __init__(
        self, geolocator: Geolocator, folder: RunFolder, note: RunNote, *, in_flight: int, again: bool = False
    ) -> None:
        """At most `in_flight` jobs at a time. `again`: photos that failed, or went without the LMM, are asked anew."""
        self.geolocator = geolocator
        self._folder = folder
        self._note = note
        self._in_flight = in_flight
        self._again = again
        self.tally = Tally()

    async def run(self, queries: Sequence[Query], progress: Progress) -> Tally:
        """Asks what is missing. Raises the errors of `g3_client` when the server stays away or refuses the key."""
        there = {(outcome.key, outcome.photo): outcome for outcome in journals.read(self._folder.journal)}
        waiting = iter(queries)
        with Journal(self._folder.journal) as journal:
            pass_ = _Pass(self, self._note, journal, there)

            async def work() -> None:
                # Tasks of one loop: the next photo is nobody else's.
                for query in waiting:
                    progress(await pass_.photo(query))

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._in_flight):
                        group.create_task(work())
            except BaseExceptionGroup as errors:
                raise _first(errors) from None
        return self.tally

    @property
    def asks(self) -> list[Ask]:
        """The ways of asking that the server has not refused, in their order."""
        return [Ask(ask) for ask in self._note.asks if ask not in self._note.refused]

    def asks_again(self, held: Outcome) -> bool:
        """Whether an outcome that is there is asked for anew."""
        return self._again and (held.failure is not None or bool(held.degraded))

    def refuse(self, ask: Ask, words: str) -> None:
        """Notes that the server does not know this way of asking: it is not asked any more in this pass."""
        if ask not in self._note.refused:
            self._note.refused[ask] = words
            self._folder.keep(self._note)


class _Pass:
    """What the tasks of one pass share."""

    def __init__(self, run: JobRun, note: RunNote, journal: Journal, there: Mapping[_Held, Outcome]) -> None:
        self._run = run
        self._note = note
        self._journal = journal
        self._there = dict(there)

    async def photo(self, query: Query) -> bool:
        """All ways of asking about one photo, one after the other; whether anything was asked for now."""
        photo, before = _Photo(query), self._run.tally.asked
        await asyncio.to_thread(photo.read)
        excluded: list[str] = []
        if Ask.NEAR in self._run.asks:
            excluded = await self._near(photo)
        for ask in self._run.asks:
            if ask is not Ask.NEAR:
                await self._outcome(photo, ask, ask, self._asking(ask, query, excluded))
        return self._run.tally.asked > before

    def _asking(self, ask: Ask, query: Query, excluded: Sequence[str]) -> dict[str, Any]:
        # The look for near references is at all of them: what would have been found is reported either way.
        exclude_author = self._note.exclude_author and ask is not Ask.NEAR
        return of_photo(ask, self._note.superset, query, exclude_author=exclude_author, excluded=excluded)

    async def _near(self, photo: "_Photo") -> list[str]:
        """The references that are nearly identical to the photo, by plain CLIP; none when they are not excluded."""
        excluded: list[str] = []
        for look in range(_MOST_EXCLUDED):
            name = Ask.NEAR.value if look == 0 else f"{Ask.NEAR}+{look}"
            outcome = await self._outcome(photo, Ask.NEAR, name, self._asking(Ask.NEAR, photo.query, excluded))
            least = self._note.exclude_near
            if outcome is None or not least:
                break
            found = [reference.id for reference in outcome.references if reference.similarity >= least]
            excluded += found
            # As long as all that was found is near, there may be more of them.
            if not found or len(found) < len(outcome.references) or len(excluded) >= _MOST_EXCLUDED:
                break
        return excluded[:_MOST_EXCLUDED]

    async def _outcome(self, photo: "_Photo", ask: Ask, name: str, asked: Mapping[str, Any]) -> Outcome | None:
        """The outcome, from the journal or asked for now; None when the server does not know this way."""
        held: Outcome | None = None
        for attempt in range(_ATTEMPTS):
            key = key_of(self._note.run, photo.sha256 or f"unread {photo.query.id}", asked, attempt)
            held = self._there.get((key, photo.query.id), held)
            if held is not None and held.key == key and not (photo.sha256 and self._run.asks_again(held)):
                break
            if held is not None and held.key == key:
                continue
            try:
                return await self._keep(await self._asked(photo, name, asked, key))
            except Rejected as error:
                if _is_of(error, "idempotency_key"):
                    continue  # the server resolves the same parameters differently since
                if isinstance(error, NotYet) or _is_of(error, "parameters"):
                    self._refuse(ask, error)
                    return None
                failure = (error.code, error.detail)
                return await self._keep(Outcome(key, name, photo.query.id, photo.sha256, failure=failure))
        self._run.tally.kept += held is not None
        return held

    async def _asked(self, photo: "_Photo", name: str, asked: Mapping[str, Any], key: str) -> Outcome:
        if not photo.jpeg and photo.failure is None:
            await asyncio.to_thread(photo.strip)
        if photo.failure is not None:
            return Outcome(key, name, photo.query.id, photo.sha256, failure=photo.failure)
        began = time.monotonic()
        job = await self._run.geolocator.locate(
            photo.jpeg, parameters=asked, label=LABEL, idempotency_key=key, timeout_s=_JOB_S
        )
        wall_s = time.monotonic() - began
        return of_job(job, key=key, ask=name, photo=photo.query.id, sha256=photo.sha256, wall_s=wall_s)

    async def _keep(self, outcome: Outcome) -> Outcome:
        await asyncio.to_thread(self._journal.append, outcome)
        self._there[outcome.key, outcome.photo] = outcome
        self._run.tally.asked += 1
        self._run.tally.failed += outcome.place is None
        return outcome

    def _refuse(self, ask: Ask, error: Rejected) -> None:
        if ask is Ask.NEAR and self._note.exclude_near:
            raise error  # what was to be excluded cannot be known
        self._run.refuse(ask, str(error))


class _Photo:
    """One photo on its way: read, and stripped when something is asked about it."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.sha256 = ""
        self.jpeg = b""
        self.failure: tuple[str, str] | None = None
        self._content = b""

    def read(self) -> None:
        """Reads the file; one that cannot be read is a failure."""
        try:
            self._content = content_of(self.query.path)
            self.sha256 = digest_of(self._content)
        except (Unusable, Missing) as error:
            self.failure = (error.code, error.message)

    def strip(self) -> None:
        """What is sent: pixels, and nothing that says where they are from."""
        try:
            self.jpeg = stripped(self._content)
        except (Unusable, Missing) as error:
            self.failure = (error.code, error.message)


def _is_of(error: Rejected, field_: str) -> bool:
    """Whether the server finds fault with this field, and so not with the photo."""
    return any(fault.field.split(".")[0].lower().replace("-", "_") == field_ for fault in error.errors)


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of the errors that ended the tasks: the others followed from the same server being away."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
