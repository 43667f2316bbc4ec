"""The composition root: settings to a running worker."""

import sys
from contextlib import ExitStack
from functools import partial

from g3_kit import grpc_client, logs, telemetry
from g3_kit.celery_app import celery_app, work
from g3_kit.errors import G3Error
from g3_kit.health import Health
from g3_kit.settings import load, redacted

from g3_generation.generation import Generation
from g3_generation.grpc_stages import GrpcStages
from g3_generation.openai_sampler import OpenAISampler
from g3_generation.retries import Retries
from g3_generation.sampler import Sampler
from g3_generation.settings import GenerationSettings
from g3_generation.tasks import leave_when_told, register

_ROOM = "generation"


def main() -> None:
    """Works until SIGTERM, then ends what is in hand or gives it back. Exit status 2 for a missing or bad setting."""
    settings = load(GenerationSettings)
    logs.configure(_ROOM, settings.log_level, settings.log_format)
    log = logs.get(_ROOM)
    log.info("starting", settings=redacted(settings))
    try:
        _work(settings)
    except G3Error as error:
        log.error("cannot start", code=error.code, reason=error.message)
        sys.stderr.write(f"{_ROOM}: {error.message}\n")
        raise SystemExit(1) from None
    log.info("stopped")


def _work(settings: GenerationSettings) -> None:
    log = logs.get(_ROOM)
    health = Health()
    consuming = False
    health.add("broker", lambda: None if consuming else "not consuming yet")

    def ready() -> None:
        nonlocal consuming
        consuming = True
        log.info("started")

    with ExitStack() as stack:
        if settings.metrics_port:
            stack.callback(telemetry.serve(settings.host, settings.metrics_port, health))
        channel = grpc_client.channel(settings.stages_target)
        stack.callback(channel.close)
        sampler = sampler_of(settings)
        if sampler is None:
            log.warning("no LMM endpoint is configured: jobs are answered from retrieved candidates")
        else:
            stack.callback(sampler.close)
            health.add("lmm", partial(_problem, sampler))
        generation = Generation(
            GrpcStages(channel),
            sampler,
            Retries(tries=settings.lmm_tries),
            call_s=settings.lmm_timeout_s,
            warm_s=settings.lmm_timeout_s / 3,
            drain_s=settings.lmm_drain_s,
            photo_px=settings.lmm_photo_px,
        )
        concurrency = settings.generation_concurrency
        app = celery_app(_ROOM, settings.broker_url, queues=["generate"], concurrency=concurrency)
        stack.callback(app.close)
        register(app, generation)
        leave_when_told(generation)
        work(app, concurrency=concurrency, on_ready=ready, level=settings.log_level)


def _problem(sampler: Sampler) -> str | None:
    trouble = sampler.trouble()
    return None if trouble is None else trouble.message


def sampler_of(settings: GenerationSettings) -> OpenAISampler | None:
    """The LMM that the settings name; None when they name none."""
    if not settings.lmm_url:
        return None
    return OpenAISampler(
        settings.lmm_url,
        settings.lmm_model,
        api_key=settings.lmm_api_key.get_secret_value() or None,
        max_tokens=settings.lmm_max_tokens,
        calls=settings.lmm_calls,
        failures=settings.lmm_failures,
        seeds=settings.lmm_seeds,
        probe=True,
        watch=True,
    )
