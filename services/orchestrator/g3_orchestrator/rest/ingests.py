"""The routes of ingest runs."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.security import HTTPBearer
from g3_kit.errors import TooLarge
from starlette.responses import Response, StreamingResponse

from g3_orchestrator import problems
from g3_orchestrator.ingests import Ingests
from g3_orchestrator.jobs import MAX_PAGE
from g3_orchestrator.keys import Keys, Principal
from g3_orchestrator.overflow import HEADINGS
from g3_orchestrator.rest import documents, headers, ingest_documents
from g3_orchestrator.rest import ingest_schemas as schemas
from g3_orchestrator.rest.streams import Threads
from g3_orchestrator.states import JobState

_MAX_BODY_BYTES = 64 * 1024
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/IngestSubmission"}}},
    }
}
_LOCATION = {"Location": {"description": "The path of the run.", "schema": {"type": "string"}}}
IngestId = Annotated[str, Path(description="The run.", max_length=100)]


class IngestRoutes:
    """Converts, calls the service, converts back."""

    def __init__(self, ingests: Ingests, keys: Keys, *, reads: Threads) -> None:
        self._ingests = ingests
        self._keys = keys
        self._reads = reads

    def router(self) -> APIRouter:
        """The routes under /v1/ingests."""
        bearer = HTTPBearer(auto_error=False, description="An API key: `g3_…`.")
        router = APIRouter(prefix="/v1/ingests", tags=["ingests"], dependencies=[Depends(bearer)])
        wrong = problems.documented(401, 429, 500, 503)
        missing = wrong | problems.documented(404)
        caller = Annotated[Principal, Depends(self._principal)]

        @router.post(
            "",
            status_code=202,
            summary="Submit an ingest run",
            openapi_extra=_BODY,
            responses={
                202: {"model": schemas.Ingest, "description": "Accepted.", "headers": _LOCATION},
                **wrong,
                **problems.documented(400, 413, 422),
            },
        )
        async def submit(
            request: Request,
            principal: caller,
            idempotency_key: Annotated[
                str | None, Header(description="The same key and request give the same run; another request is 422.")
            ] = None,
        ) -> Response:
            key = headers.idempotency_key(idempotency_key)
            spec, label = ingest_documents.asked(await _body(request))
            run, _ = await self._reads.run(
                lambda: self._ingests.submit(principal.tenant_id, spec, idempotency_key=key, label=label)
            )
            where = {"Location": f"/v1/ingests/{run.ingest_id}"}
            return _answer(ingest_documents.ingest(run), status=202, headers=where)

        @router.get(
            "",
            summary="List ingest runs, newest first",
            responses={200: {"model": schemas.IngestPage}, **wrong, **problems.documented(422)},
        )
        async def list_ingests(
            principal: caller,
            state: Annotated[JobState | None, Query(description="Only runs in this state.")] = None,
            limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Runs a page.")] = 50,
            cursor: Annotated[str, Query(max_length=200, description="`next_cursor` of the page before.")] = "",
        ) -> Response:
            page = await self._reads.run(
                lambda: self._ingests.page(principal.tenant_id, state=state, limit=limit, cursor=cursor)
            )
            return _answer(ingest_documents.page(page))

        @router.get(
            "/{ingest_id}", summary="Read one ingest run", responses={200: {"model": schemas.Ingest}, **missing}
        )
        async def read(ingest_id: IngestId, principal: caller) -> Response:
            run = await self._reads.run(self._ingests.get, principal.tenant_id, ingest_id)
            return _answer(ingest_documents.ingest(run))

        @router.post(
            "/{ingest_id}/cancel",
            summary="Cancel an ingest run",
            responses={200: {"model": schemas.Ingest}, **missing, **problems.documented(409)},
        )
        async def cancel(ingest_id: IngestId, principal: caller) -> Response:
            run = await self._reads.run(self._ingests.cancel, principal.tenant_id, ingest_id)
            return _answer(ingest_documents.ingest(run))

        @router.get(
            "/{ingest_id}/rejects",
            summary="Every row that was not inserted, and why",
            responses={
                200: {
                    "description": "CSV with the columns row, id, code and reason.",
                    "content": {"text/csv": {"schema": {"type": "string"}}},
                },
                **missing,
            },
        )
        async def rejects(ingest_id: IngestId, principal: caller) -> Response:
            lines = await self._reads.run(self._ingests.rejects, principal.tenant_id, ingest_id)
            return StreamingResponse(_headed(lines), media_type="text/csv", headers={"Cache-Control": "no-store"})

        return router

    async def _principal(self, request: Request) -> Principal:
        sent = request.headers.get("authorization")
        if principal := self._keys.remembered(sent):
            return principal
        return await self._reads.run(self._keys.authenticate, sent)


async def _body(request: Request) -> bytes:
    """The whole body. Raises TooLarge while it is still arriving."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise TooLarge(f"This body may have at most {_MAX_BODY_BYTES // 1024} KiB.")
    return bytes(body)


def _headed(lines: Iterator[bytes]) -> Iterator[bytes]:
    yield (",".join(HEADINGS) + "\r\n").encode()
    yield from lines


def _answer(document: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        documents.written(document),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
