"""The circuit before the LMM endpoint, and the window of calls in flight."""

import asyncio
import time

import pytest
from g3_generation.breaker import Breaker, State
from g3_generation.sampler import OpenCircuit
from g3_generation.window import Window
from g3_kit.errors import Unavailable
from hypothesis import given, settings
from hypothesis import strategies as st

DOWN = Unavailable("HTTP 500")


async def opened(**settings: float) -> Breaker:
    breaker = Breaker(3, **settings)
    for _ in range(3):
        assert not await breaker.admit()
        breaker.failed(DOWN, trial=False)
    return breaker


async def test_failures_in_a_row_open_it_and_one_answer_starts_the_count_anew() -> None:
    breaker = Breaker(3)
    for _ in range(5):
        breaker.failed(DOWN, trial=False)
        breaker.failed(DOWN, trial=False)
        breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.trouble() is None
    breaker = await opened(first_s=60)
    assert breaker.state is State.OPEN
    trouble = breaker.trouble()
    assert trouble is not None
    assert "3 times in a row" in trouble.message
    assert "HTTP 500" in trouble.message
    with pytest.raises(OpenCircuit) as caught:
        await breaker.admit()
    assert caught.value.retry_after_s is not None
    assert 30 < caught.value.retry_after_s <= 75


async def test_one_call_is_the_trial_and_the_others_wait_for_its_outcome() -> None:
    breaker = await opened(first_s=0.02)
    await asyncio.sleep(0.03)
    assert breaker.trouble() is None
    assert await breaker.admit()
    assert breaker.state is State.TRIAL
    assert breaker.trouble() is not None
    waiting = [asyncio.create_task(breaker.admit()) for _ in range(3)]
    await asyncio.sleep(0)
    breaker.succeeded()
    assert await asyncio.gather(*waiting) == [False] * 3
    assert breaker.trouble() is None


async def test_a_trial_that_fails_opens_it_for_longer() -> None:
    breaker = await opened(first_s=0.02, most_s=0.04)
    pauses = []
    for _ in range(3):
        await asyncio.sleep(0.06)
        assert await breaker.admit()
        waiting = asyncio.create_task(breaker.admit())
        await asyncio.sleep(0)
        breaker.failed(DOWN, trial=True)
        with pytest.raises(OpenCircuit) as caught:
            await waiting
        pauses.append(caught.value.retry_after_s or 0.0)
    assert all(0.02 < pause <= 0.05 for pause in pauses), "twice the first, and no more than the most"


async def test_who_waits_for_a_trial_does_not_wait_for_ever() -> None:
    breaker = await opened(first_s=0.01, trial_s=0.05)
    await asyncio.sleep(0.02)
    assert await breaker.admit()
    began = time.monotonic()
    with pytest.raises(OpenCircuit):
        await breaker.admit()
    assert time.monotonic() - began < 1


async def test_an_abandoned_trial_is_the_next_calls() -> None:
    breaker = await opened(first_s=0.01)
    await asyncio.sleep(0.02)
    assert await breaker.admit()
    breaker.abandoned()
    assert breaker.state is State.OPEN
    assert await breaker.admit()


async def test_stragglers_of_before_do_not_prolong_it() -> None:
    breaker = await opened(first_s=0.05)
    for _ in range(50):
        breaker.failed(DOWN, trial=False)
    await asyncio.sleep(0.08)
    assert await breaker.admit()


async def full(window: Window) -> float:
    """Takes every turn there is; returns when the last came."""
    began = time.monotonic()
    while window.taken < window.size:
        began = await window.enter()
    return began


def drained(window: Window) -> None:
    while window.taken:
        window.leave()


async def test_a_window_opens_up_to_its_ceiling_while_all_goes_well() -> None:
    window = Window(20)
    sizes = [window.size]
    for _ in range(30):
        began = await full(window)
        for _ in range(window.taken):
            window.answered(began, 60)
            window.leave()
        sizes.append(window.size)
    assert sizes[0] == 8
    assert sizes[1] == 16, "twice as many with the first round"
    assert sizes[-1] == 20


async def test_a_window_that_is_not_used_does_not_grow() -> None:
    window = Window(32)
    for _ in range(50):
        window.answered(await window.enter(), 60)
        window.leave()
    assert window.size == 8


async def test_calls_past_the_window_wait_in_turn() -> None:
    window = Window(2)
    await full(window)
    waiting = [asyncio.create_task(window.enter()) for _ in range(2)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    window.leave()
    await asyncio.sleep(0.01)
    assert [task.done() for task in waiting] == [True, False]
    # a turn that comes to somebody who has gone is the next one's
    window.leave()
    waiting[1].cancel()
    await asyncio.sleep(0.01)
    assert window.taken == 1
    await asyncio.wait_for(window.enter(), 1)


async def test_a_429_halves_it_once_for_all_calls_that_were_in_flight_together() -> None:
    window = Window(8)
    await full(window)
    began = time.monotonic()
    for _ in range(8):
        window.full(began, None)
        window.leave()
    assert window.size == 4
    await full(window)
    window.full(time.monotonic(), None)
    assert window.size == 2
    drained(window)
    for _ in range(40):
        began = await full(window)
        for _ in range(window.taken):
            window.answered(began, 60)
            window.leave()
    assert window.size == 8, "it comes back by one a round"


async def test_retry_after_holds_every_call() -> None:
    window = Window(8)
    await window.enter()
    began = time.monotonic()
    window.full(began, 0.1)
    window.leave()
    await asyncio.wait_for(window.enter(), 2)
    assert time.monotonic() - began >= 0.099


async def test_a_queue_at_the_server_closes_it_and_an_empty_one_opens_it() -> None:
    window = Window(32)
    await full(window)
    window.reported(waiting=100, running=20)
    assert window.size == 6
    window.reported(waiting=100, running=20)
    assert window.size == 6, "what is in flight drains first"
    drained(window)
    began = await full(window)
    window.answered(began, 60)
    assert window.size == 6, "there is a queue still"
    window.reported(waiting=0, running=20)
    for _ in range(7):
        window.answered(began, 60)
    assert window.size == 7


async def test_without_a_report_slow_answers_close_it() -> None:
    window = Window(8)
    await full(window)
    window.answered(time.monotonic() - 40, 60)
    assert window.size == 6
    reported = Window(8)
    await full(reported)
    reported.reported(waiting=0, running=4)
    reported.answered(time.monotonic() - 40, 60)
    assert reported.size == 8, "who says that nothing waits is slow by nature"


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["answered", "slow", "full", "queue", "empty"])), st.integers(1, 40))
def test_it_stays_within_its_bounds(events: list[str], ceiling: int) -> None:
    async def play() -> None:
        window = Window(ceiling)
        for event in events:
            began = await full(window)
            match event:
                case "answered":
                    window.answered(began, 60)
                case "slow":
                    window.answered(time.monotonic() - 59, 60)
                case "full":
                    window.full(time.monotonic(), None)
                case "queue":
                    window.reported(1e9, 0)
                case "empty":
                    window.reported(0, 0)
            assert 1 <= window.size <= ceiling
            drained(window)

    asyncio.run(play())
