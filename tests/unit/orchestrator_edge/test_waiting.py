"""Waking those who wait for a job."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

from g3_orchestrator.waiting import Watches

JOB = "0190b5a0-0000-7000-8000-000000000001"


class Announcer:
    """Notifications by hand."""

    def __init__(self) -> None:
        self.heard: Callable[[Sequence[str]], None] | None = None
        self.listening = threading.Event()

    def listen(
        self, channel: str, stop: threading.Event, heard: Callable[[Sequence[str]], None], every_s: float = 1.0
    ) -> None:
        assert channel == "g3_jobs"
        self.heard = heard
        self.listening.set()
        stop.wait()

    def announce(self, *payloads: str) -> None:
        assert self.listening.wait(10)
        assert self.heard is not None
        self.heard(payloads)


def test_a_thread_is_woken_by_its_own_job_only() -> None:
    announcer = Announcer()
    with Watches(announcer, poll_s=0.4) as watches, watches.of_job(JOB) as waiter:
        announcer.announce("tenant/another", "nonsense", "")
        began = time.monotonic()
        waiter.sleep(10)
        assert time.monotonic() - began > 0.3
        announcer.announce(f"tenant/{JOB}")
        began = time.monotonic()
        waiter.sleep(0.3)
        assert time.monotonic() - began < 0.2


def test_a_change_between_reading_and_sleeping_is_not_missed() -> None:
    announcer = Announcer()
    with Watches(announcer, poll_s=30) as watches, watches.of_job(JOB) as waiter:
        announcer.announce(f"tenant/{JOB}")
        began = time.monotonic()
        waiter.sleep(30)
        assert time.monotonic() - began < 5


async def test_a_coroutine_is_woken_from_another_thread() -> None:
    announcer = Announcer()
    with Watches(announcer, poll_s=30) as watches, watches.of_job_async(JOB) as waiter:
        threading.Timer(0.1, lambda: announcer.announce(f"tenant/{JOB}")).start()
        began = time.monotonic()
        await waiter.sleep(30)
        assert time.monotonic() - began < 5


async def test_without_notifications_a_coroutine_looks_again_by_itself() -> None:
    with Watches(Announcer(), poll_s=0.1) as watches, watches.of_job_async(JOB) as waiter:
        async with asyncio.timeout(5):
            await waiter.sleep(30)


def test_closing_wakes_everybody() -> None:
    watches = Watches(Announcer(), poll_s=30).start()
    with watches.of_job(JOB) as waiter:
        threading.Timer(0.1, watches.close).start()
        began = time.monotonic()
        waiter.sleep(30)
        assert time.monotonic() - began < 5
        assert watches.closing


def test_many_waiters_look_less_often_each() -> None:
    watches = Watches(Announcer(), poll_s=1.0)
    assert watches.pause_s <= 1.0
    contexts = [watches.of_job(f"job {number}") for number in range(1000)]
    for context in contexts:
        context.__enter__()
    assert 8 <= watches.pause_s <= 10
    for context in contexts:
        context.__exit__(None, None, None)
    assert watches.pause_s <= 1.0
