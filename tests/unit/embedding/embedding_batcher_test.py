"""The batcher against a device that the test holds in its hand: nothing here waits for a clock."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import pytest
from g3_embedding.batcher import Batcher
from g3_embedding.lanes import DeviceLost, Lane
from g3_kit.errors import Exhausted, G3Error, Late, Unavailable

PATIENCE_S = 20.0
FAR_S = 1e9


class Device:
    """Doubles numbers. Once `hold` was called each batch waits for a `step`; `broken` numbers raise."""

    def __init__(self, max_items: int = 4) -> None:
        self.batches: list[list[int]] = []
        self.broken: set[int] = set()
        self.lost: Exception | None = None
        self.entered = threading.Semaphore(0)
        self._steps = threading.Semaphore(0)
        self._held = False
        self.numbers: Lane[int, int, int] = self.lane("numbers", max_items)
        self.others: Lane[int, int, int] = self.lane("others", max_items)

    def lane(self, name: str, max_items: int) -> Lane[int, int, int]:
        return Lane(name, max_items, self._stage, self._forward, lambda: 0)

    def hold(self) -> None:
        self._held = True

    def step(self) -> None:
        self._steps.release()

    def release(self) -> None:
        self._held = False
        self._steps.release()

    def wait_entered(self) -> None:
        assert self.entered.acquire(timeout=PATIENCE_S)

    @staticmethod
    def _stage(number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return number

    def _forward(self, numbers: Sequence[int]) -> list[int | G3Error]:
        self.batches.append(list(numbers))
        self.entered.release()
        if self._held:
            assert self._steps.acquire(timeout=PATIENCE_S)
        if self.lost is not None:
            raise self.lost
        if self.broken & set(numbers):
            raise ValueError("broken number")
        return [2 * number for number in numbers]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def batcher(device: Device, clock: Clock) -> Iterator[Batcher]:
    made = Batcher(capacity=16, clock=clock)
    made.start()
    yield made
    device.release()
    made.drain(PATIENCE_S)


def submit(
    batcher: Batcher, lane: Lane[int, int, int], number: int, deadline_s: float = FAR_S
) -> "Future[int | G3Error]":
    with batcher.admit(1) as admission:
        return admission.submit(lane, number, deadline_s)


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "it never came to pass"
        time.sleep(0.001)


def occupied(batcher: Batcher, device: Device) -> "Future[int | G3Error]":
    """The device is busy with the number 100 from here on."""
    device.hold()
    first = submit(batcher, device.numbers, 100)
    device.wait_entered()
    return first


def test_an_idle_device_takes_a_lone_item_at_once(batcher: Batcher, device: Device) -> None:
    assert submit(batcher, device.numbers, 21).result(PATIENCE_S) == 42
    assert device.batches == [[21]]


def test_what_arrives_while_the_device_is_busy_is_one_batch_up_to_the_bound(batcher: Batcher, device: Device) -> None:
    first = occupied(batcher, device)
    futures = [submit(batcher, device.numbers, number) for number in range(6)]
    until(lambda: len(batcher._next) == 4)
    device.release()
    assert [future.result(PATIENCE_S) for future in [first, *futures]] == [200, 0, 2, 4, 6, 8, 10]
    assert device.batches == [[100], [0, 1, 2, 3], [4, 5]]


def test_lanes_never_mix_and_the_oldest_item_goes_first(batcher: Batcher, device: Device) -> None:
    occupied(batcher, device)
    order = [(device.numbers, 1), (device.others, 2), (device.numbers, 3), (device.others, 4)]
    futures = [submit(batcher, lane, number) for lane, number in order]
    until(lambda: len(batcher._next) == 2)
    device.release()
    assert [future.result(PATIENCE_S) for future in futures] == [2, 4, 6, 8]
    assert device.batches == [[100], [1, 3], [2, 4]]


def test_a_cancelled_item_costs_no_forward_pass(batcher: Batcher, device: Device) -> None:
    first = occupied(batcher, device)
    staged = submit(batcher, device.numbers, 1)
    until(lambda: len(batcher._next) == 1)
    kept = submit(batcher, device.numbers, 2)
    assert staged.cancel()
    device.release()
    assert first.result(PATIENCE_S) == 200
    assert kept.result(PATIENCE_S) == 4
    assert device.batches == [[100], [2]]
    with pytest.raises(CancelledError):
        staged.result(0)
    until(lambda: batcher._held == 0)


def test_a_late_item_costs_no_forward_pass_wherever_it_waits(batcher: Batcher, device: Device, clock: Clock) -> None:
    occupied(batcher, device)
    staged = [submit(batcher, device.numbers, number, deadline_s=clock.now_s + 1) for number in range(4)]
    until(lambda: len(batcher._next) == 4)
    waiting = submit(batcher, device.numbers, 5, deadline_s=clock.now_s + 1)
    patient = submit(batcher, device.numbers, 6)
    clock.now_s += 2
    device.release()
    assert patient.result(PATIENCE_S) == 12
    for future in [*staged, waiting]:
        with pytest.raises(Late):
            future.result(PATIENCE_S)
    assert device.batches == [[100], [6]]


def test_an_item_that_runs_can_no_longer_be_cancelled(batcher: Batcher, device: Device) -> None:
    first = occupied(batcher, device)
    assert not first.cancel()
    device.release()
    assert first.result(PATIENCE_S) == 200


def test_a_poisoned_item_fails_alone(batcher: Batcher, device: Device) -> None:
    device.broken = {2}
    occupied(batcher, device)
    futures = [submit(batcher, device.numbers, number) for number in (1, 2, 3)]
    until(lambda: len(batcher._next) == 3)
    device.release()
    assert futures[0].result(PATIENCE_S) == 2
    assert futures[2].result(PATIENCE_S) == 6
    error = futures[1].result(PATIENCE_S)
    assert isinstance(error, G3Error)
    assert "broken number" not in error.message
    assert batcher.alive()


def test_an_item_that_cannot_be_staged_fails_alone(batcher: Batcher, device: Device) -> None:
    futures = [submit(batcher, device.numbers, number) for number in (1, -1, 3)]
    assert futures[0].result(PATIENCE_S) == 2
    assert isinstance(futures[1].result(PATIENCE_S), G3Error)
    assert futures[2].result(PATIENCE_S) == 6


def test_a_full_queue_is_refused_with_a_wait_and_recovers(batcher: Batcher, device: Device) -> None:
    first = occupied(batcher, device)
    futures = [submit(batcher, device.numbers, number) for number in range(15)]
    with pytest.raises(Exhausted) as refused:
        batcher.admit(1)
    assert refused.value.retry_after_s is not None
    assert refused.value.retry_after_s > 0
    assert batcher.problem() == "the queue is full"
    device.release()
    assert [future.result(PATIENCE_S) for future in [first, *futures]] == [200, *range(0, 30, 2)]
    assert batcher.problem() is None
    assert submit(batcher, device.numbers, 5).result(PATIENCE_S) == 10


def test_items_nobody_wants_make_room(batcher: Batcher, device: Device) -> None:
    occupied(batcher, device)
    futures = [submit(batcher, device.numbers, number) for number in range(15)]
    until(lambda: len(batcher._next) == 4)
    for future in futures:
        future.cancel()
    kept = submit(batcher, device.numbers, 50)
    device.release()
    assert kept.result(PATIENCE_S) == 100
    assert device.batches == [[100], [50]]


def test_slots_that_were_not_used_are_given_back(batcher: Batcher, device: Device) -> None:
    with batcher.admit(16) as admission:
        with pytest.raises(Exhausted):
            batcher.admit(1)
        used = admission.submit(device.numbers, 1, FAR_S)
    assert used.result(PATIENCE_S) == 2
    assert admission.submit(device.numbers, 2, FAR_S).cancelled()
    with batcher.admit(16):
        pass


@pytest.mark.parametrize("error", [DeviceLost("gone"), SystemExit("killed")])
def test_a_dead_device_fails_every_waiter_and_refuses_the_next(
    batcher: Batcher, device: Device, error: BaseException
) -> None:
    first = occupied(batcher, device)
    futures = [first, *(submit(batcher, device.numbers, number) for number in range(8))]
    until(lambda: len(batcher._next) == 4)
    with batcher.admit(1) as admission:
        device.lost = error  # type: ignore[assignment]
        device.release()
        for future in futures:
            with pytest.raises(Unavailable):
                future.result(PATIENCE_S)
        with pytest.raises(Unavailable):
            admission.submit(device.numbers, 1, FAR_S).result(PATIENCE_S)
    with pytest.raises(Unavailable):
        batcher.admit(1)
    assert not batcher.alive()
    assert batcher.problem() is not None
    assert batcher._held == 0


def test_a_device_that_fails_even_a_good_item_is_lost(batcher: Batcher, device: Device) -> None:
    device.lost = ValueError("fails on everything")
    with pytest.raises(Unavailable):
        submit(batcher, device.numbers, 1).result(PATIENCE_S)
    until(lambda: not batcher.alive())


def test_a_device_that_hangs_is_not_alive(batcher: Batcher, device: Device, clock: Clock) -> None:
    occupied(batcher, device)
    assert batcher.alive()
    clock.now_s += 1000
    assert not batcher.alive()
    device.release()
    until(batcher.alive)


def test_drain_answers_what_was_admitted_and_refuses_the_rest(batcher: Batcher, device: Device) -> None:
    first = occupied(batcher, device)
    admission = batcher.admit(1)
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(batcher.drain, PATIENCE_S)
        until(lambda: batcher._stopping)
        with pytest.raises(Unavailable):
            batcher.admit(1)
        with admission:
            admitted = admission.submit(device.numbers, 1, FAR_S)
        device.release()
        assert drained.result(PATIENCE_S)
    assert first.result(0) == 200
    assert admitted.result(0) == 2
    assert not batcher.alive()


def test_drain_under_load_loses_no_accepted_item(device: Device) -> None:
    batcher = Batcher(capacity=64)
    batcher.start()
    answered: list[tuple[int, object]] = []
    lock = threading.Lock()
    refused = threading.Semaphore(0)

    def caller(start: int) -> None:
        number = start
        while True:
            try:
                future = submit(batcher, device.numbers, number)
            except Unavailable:
                refused.release()
                return
            with lock:
                answered.append((number, future.result(PATIENCE_S)))
            number += 8

    threads = [threading.Thread(target=caller, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) > 200)
    assert batcher.drain(PATIENCE_S)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert all(refused.acquire(blocking=False) for _ in threads)
    assert all(result == 2 * number for number, result in answered)


def test_a_drain_that_is_too_short_fails_what_is_left(device: Device) -> None:
    batcher = Batcher(capacity=4)
    batcher.start()
    first = occupied(batcher, device)
    waiting = submit(batcher, device.numbers, 1)
    threading.Timer(0.2, device.release).start()
    assert not batcher.drain(0.0)
    for future in (first, waiting):
        with pytest.raises(Unavailable):
            future.result(PATIENCE_S)
