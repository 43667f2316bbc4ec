"""The routes of jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.security import HTTPBearer
from starlette.responses import Response, StreamingResponse

from g3_orchestrator import problems
from g3_orchestrator.jobs import MAX_PAGE, Jobs
from g3_orchestrator.keys import Keys, Principal
from g3_orchestrator.rest import documents, headers, schemas
from g3_orchestrator.rest.bodies import Bodies
from g3_orchestrator.rest.streams import Streams, Threads
from g3_orchestrator.states import JobState, View

_REF = "#/components/schemas/"
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"$ref": _REF + "FormSubmission"},
                "encoding": {"parameters": {"contentType": "application/json"}},
            },
            "application/json": {"schema": {"$ref": _REF + "JsonSubmission"}},
        },
    }
}
_LOCATION = {"Location": {"description": "The path of the job.", "schema": {"type": "string"}}}

Prefer = Annotated[
    str | None, Header(description="`wait=N`: answer once the job has ended, or after N seconds, at most 60.")
]
JobId = Annotated[str, Path(description="The job.", max_length=100)]


class JobRoutes:
    """Converts, calls the service, converts back."""

    def __init__(
        self, jobs: Jobs, keys: Keys, bodies: Bodies, streams: Streams, *, reads: Threads, submissions: Threads
    ) -> None:
        """`reads` and `submissions` are apart, so that slow photos never keep a read waiting."""
        self._jobs = jobs
        self._keys = keys
        self._bodies = bodies
        self._streams = streams
        self._reads = reads
        self._submissions = submissions

    def router(self) -> APIRouter:
        """The routes under /v1/jobs."""
        known, bearer = self._principal, HTTPBearer(auto_error=False, description="An API key: `g3_…`.")
        router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[Depends(bearer)])
        wrong = problems.documented(401, 429, 500, 503)
        missing = wrong | problems.documented(404)
        caller = Annotated[Principal, Depends(known)]

        @router.post(
            "",
            status_code=202,
            summary="Submit a photo",
            openapi_extra=_BODY,
            responses={
                200: {"model": schemas.Job, "description": "The job has ended while the caller waited."},
                202: {"model": schemas.Job, "description": "Accepted.", "headers": _LOCATION},
                **wrong,
                **problems.documented(400, 413, 415, 422, 504),
            },
        )
        async def submit(
            request: Request,
            principal: caller,
            prefer: Prefer = None,
            idempotency_key: Annotated[
                str | None, Header(description="The same key and request give the same job; another request is 422.")
            ] = None,
        ) -> Response:
            return await self._submit(request, principal, prefer, idempotency_key)

        @router.get(
            "",
            summary="List jobs, newest first",
            responses={200: {"model": schemas.JobPage}, **wrong, **problems.documented(422)},
        )
        async def list_jobs(
            principal: caller,
            state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
            limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Jobs a page.")] = 50,
            cursor: Annotated[str, Query(max_length=200, description="`next_cursor` of the page before.")] = "",
            view: Annotated[
                View, Query(description="`summary`: without candidates, references, answers and timings.")
            ] = View.SUMMARY,
        ) -> Response:
            def read() -> bytes:
                # in the thread too: two hundred jobs are megabytes of JSON
                page = self._jobs.page(principal.tenant_id, state=state, limit=limit, cursor=cursor, view=view)
                return documents.written(documents.page(page))

            return _answer(await self._reads.run(read))

        @router.get("/{job_id}", summary="Read one job", responses={200: {"model": schemas.Job}, **missing})
        async def read(job_id: JobId, principal: caller, prefer: Prefer = None) -> Response:
            job = await self._reads.run(self._jobs.get, principal.tenant_id, job_id)
            wait_s = headers.wait_s(prefer)
            if wait_s:
                job = await self._streams.ended(principal.tenant_id, job, wait_s)
            return _answer(documents.written(documents.job(job)), headers=_applied(wait_s))

        @router.post(
            "/{job_id}/cancel",
            summary="Cancel a job",
            responses={200: {"model": schemas.Job}, **missing, **problems.documented(409)},
        )
        async def cancel(job_id: JobId, principal: caller) -> Response:
            job = await self._reads.run(self._jobs.cancel, principal.tenant_id, job_id)
            return _answer(documents.written(documents.job(job)))

        @router.get(
            "/{job_id}/events",
            summary="Follow a job (server-sent events)",
            responses={
                200: {
                    "description": "Events named `job`, whose data are JobEvent documents; ends when the job has.",
                    "content": {"text/event-stream": {"schema": {"type": "string"}}},
                },
                204: {"description": "The job has ended and its last event was seen: do not come back."},
                **missing,
                **problems.documented(422),
            },
        )
        async def events(
            job_id: JobId,
            principal: caller,
            last_event_id: Annotated[str | None, Header(description="Events up to this one were seen.")] = None,
        ) -> Response:
            after = headers.last_event_id(last_event_id)
            told = await self._streams.events(principal.tenant_id, job_id, after)
            if told is None:
                return Response(status_code=204)
            # proxies that buffer would keep the events to themselves
            quick = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return StreamingResponse(told, media_type="text/event-stream", headers=quick)

        return router

    async def _principal(self, request: Request) -> Principal:
        sent = request.headers.get("authorization")
        # most calls come with a key seen a moment ago and need no thread
        if principal := self._keys.remembered(sent):
            return principal
        return await self._reads.run(self._keys.authenticate, sent)

    async def _submit(self, request: Request, principal: Principal, prefer: str | None, key: str | None) -> Response:
        idempotency_key = headers.idempotency_key(key)
        submission = await self._bodies.read(request)
        asked, label = documents.asked(submission.parameters, submission.label)
        job, _ = await self._submissions.run(
            lambda: self._jobs.submit(
                principal.tenant_id, submission.photo, asked, idempotency_key=idempotency_key, label=label
            )
        )
        wait_s = headers.wait_s(prefer)
        if wait_s:
            job = await self._streams.ended(principal.tenant_id, job, wait_s)
        ended = bool(wait_s) and job.state.ended
        where = {"Location": f"/v1/jobs/{job.job_id}"}
        return _answer(
            documents.written(documents.job(job)), status=200 if ended else 202, headers=where | _applied(wait_s)
        )


def _applied(wait_s: int) -> dict[str, str]:
    return {"Preference-Applied": f"wait={wait_s}"} if wait_s else {}


def _answer(document: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        document,
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
