"""The REST application."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from g3_kit.health import Health
from g3_photo import Limits
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from g3_orchestrator import problems
from g3_orchestrator.ingests import Ingests
from g3_orchestrator.jobs import Jobs
from g3_orchestrator.keys import Keys
from g3_orchestrator.rest import handlers, ingest_schemas, schemas
from g3_orchestrator.rest.bodies import Bodies
from g3_orchestrator.rest.ingests import IngestRoutes
from g3_orchestrator.rest.jobs import JobRoutes
from g3_orchestrator.rest.observed import Observed
from g3_orchestrator.rest.streams import Streams, Threads

_DESCRIPTION = (
    "Says where a photo was taken: submit it, then read, wait for or follow the job. "
    "Every error is an RFC 9457 problem document."
)
# Written in `openapi_extra` and `documented`, where FastAPI does not see them.
_REFERENCED: tuple[type[BaseModel], ...] = (
    problems.Problem,
    schemas.JsonSubmission,
    schemas.FormSubmission,
    schemas.Parameters,
    schemas.JobEvent,
    ingest_schemas.IngestSubmission,
)


def build(
    jobs: Jobs,
    ingests: Ingests,
    keys: Keys,
    health: Health,
    *,
    limits: Limits | None = None,
    uploads_at_once: int = 32,
    streams_at_once: int = 1000,
    heartbeat_s: float = 15.0,
    version: str = "0.1.0",
) -> FastAPI:
    """The application over the services `jobs` and `ingests`: run it with uvicorn.

    `limits` as the intake has them. At most `uploads_at_once` bodies are read and `streams_at_once` callers wait at a
    time; more are 429.
    """
    app = FastAPI(
        title="G3", description=_DESCRIPTION, version=version, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    reads = Threads(32)
    routes = JobRoutes(
        jobs,
        keys,
        Bodies(limits or Limits(), at_once=uploads_at_once),
        Streams(jobs, reads, at_once=streams_at_once, heartbeat_s=heartbeat_s),
        reads=reads,
        # every body that was read may wait in the intake, whose own bound is smaller
        submissions=Threads(uploads_at_once),
    )
    app.include_router(routes.router())
    app.include_router(IngestRoutes(ingests, keys, reads=reads).router())
    _add_operations(app, health, reads)
    handlers.install(app)
    app.add_middleware(Observed)
    # FastAPI's own way of extending the document
    app.openapi = _described(app)  # type: ignore[method-assign]
    return app


def _add_operations(app: FastAPI, health: Health, threads: Threads) -> None:
    @app.get("/healthz", tags=["operations"], summary="Alive", include_in_schema=False)
    async def alive() -> Response:
        return Response("alive\n", media_type="text/plain")

    @app.get("/readyz", tags=["operations"], summary="Ready", responses={503: {"model": schemas.Readiness}})
    async def ready() -> Response:
        found = dict(await threads.run(health.problems))
        document = schemas.Readiness(ready=not found, problems=found)
        return Response(document.model_dump_json(), 503 if found else 200, media_type="application/json")

    @app.get("/metrics", tags=["operations"], summary="Prometheus metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, referenced = models_json_schema(
                [(model, "validation") for model in _REFERENCED], ref_template="#/components/schemas/{model}"
            )
            known = document.setdefault("components", {}).setdefault("schemas", {})
            for name, schema in referenced["$defs"].items():
                known.setdefault(name, schema)
            _without_defaults_of_fastapi(document)
            app.openapi_schema = document
        return app.openapi_schema

    return openapi


def _without_defaults_of_fastapi(document: dict[str, Any]) -> None:
    """FastAPI documents a 422 of its own shape for every route; here each is a problem."""
    for path in document["paths"].values():
        for operation in path.values():
            content = operation["responses"].get("422", {}).get("content", {})
            if "application/json" in content:
                operation["responses"]["422"] = problems.documented(422)[422]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
