"""The life of a room's process: settings, logs, metrics, start, wait for a signal, drain, leave."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from g3_kit import logs, telemetry
from g3_kit.errors import G3Error
from g3_kit.health import Health
from g3_kit.settings import RoomSettings, redacted


def run(
    room: str, settings: RoomSettings, health: Health, start: Callable[[ExitStack], None]
) -> None:  # pragma: no cover - runs in processes of its own
    """Run a room until SIGTERM or SIGINT, then drain it.

    `start` builds the room and pushes what closes each part onto the stack; parts close in reverse order.
    An error of the tree raised by `start` is one line on standard error and exit status 1.
    """
    logs.configure(room, settings.log_level, settings.log_format)
    log = logs.get(room)
    log.info("starting", settings=redacted(settings))
    stopping, started = threading.Event(), threading.Event()
    # The metrics listener answers before the room does.
    health.add("start", lambda: None if started.is_set() else "the room is starting")
    with ExitStack() as stack, _signals(stopping):
        try:
            if settings.metrics_port:
                stack.callback(telemetry.serve(settings.host, settings.metrics_port, health))
            start(stack)
        except G3Error as error:
            log.error("cannot start", code=error.code, reason=error.message)
            sys.stderr.write(f"{room}: {error.message}\n")
            raise SystemExit(1) from None
        started.set()
        log.info("started")
        stopping.wait()
        log.info("draining")
        health.drain()
    log.info("stopped")


@contextmanager
def _signals(stopping: threading.Event) -> Iterator[None]:
    def stop(number: int, _: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
