"""The waiting line and the search for culprits, against simple models of what they promise."""

from collections.abc import Sequence
from concurrent.futures import Future
from math import ceil, log2

import pytest
from g3_embedding.forwarding import forward
from g3_embedding.lanes import DeviceLost, Lane
from g3_embedding.pace import Pace
from g3_embedding.waiting import Entry, WaitingLine
from g3_kit.errors import G3Error, Rejected
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

LANES: list[Lane[int, int, int]] = [
    Lane(name, 4, lambda item: item, lambda items: list(items), lambda: 0) for name in ("a", "b", "c")
]


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["wanted", "late", "cancelled"])), max_size=60),
    room=st.integers(1, 7),
)
def test_each_lane_is_in_order_and_the_oldest_item_leads_each_batch(arrivals: list[tuple[int, str]], room: int) -> None:
    line = WaitingLine()
    entries = []
    for number, (lane, fate) in enumerate(arrivals):
        entry = Entry(LANES[lane], number, 5.0 if fate == "late" else 50.0, 0.0, Future())
        if fate == "cancelled":
            entry.outcome.cancel()
        entries.append((entry, fate))
        line.push(entry)
    left = list(entries)
    while (lane_now := line.first_lane()) is not None:
        assert lane_now is left[0][0].lane
        wanted, unwanted = line.take(lane_now, room, now_s=10.0)
        assert len(wanted) + len(unwanted) > 0
        assert len(wanted) <= room
        mine = [(entry, fate) for entry, fate in left if entry.lane is lane_now]
        taken = mine[: len(wanted) + len(unwanted)]
        assert wanted == [entry for entry, fate in taken if fate == "wanted"]
        assert unwanted == [entry for entry, fate in taken if fate != "wanted"]
        left = [pair for pair in left if pair not in taken]
        assert len(line) == len(left)
    assert left == []


@given(fates=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40))
def test_a_purge_takes_just_what_nobody_wants(fates: list[tuple[int, bool]]) -> None:
    line = WaitingLine()
    for number, (lane, late) in enumerate(fates):
        line.push(Entry(LANES[lane], number, 5.0 if late else 50.0, 0.0, Future()))
    gone = sorted(entry.item for entry in line.purge(now_s=10.0))
    assert gone == [number for number, (_, late) in enumerate(fates) if late]
    assert sorted(entry.item for entry in line.empty()) == [n for n, (_, late) in enumerate(fates) if not late]
    assert len(line) == 0


class Poisoned:
    def __init__(self, poison: set[int]) -> None:
        self.poison = poison
        self.passes = 0

    def __call__(self, numbers: Sequence[int]) -> list[int | G3Error]:
        self.passes += 1
        if self.poison & set(numbers):
            raise RuntimeError("shape mismatch in /secret/path")
        return [number + 1 for number in numbers]


@given(size=st.integers(1, 40), data=st.data())
def test_neighbours_of_poison_never_fail(size: int, data: st.DataObject) -> None:
    poison = data.draw(st.sets(st.integers(0, size - 1), max_size=size))
    model = Poisoned(poison)
    with capture_logs() as logged:
        results = forward(Lane("n", 64, lambda n: n, model, lambda: -1), list(range(size)))
    assert bool(logged) == bool(poison)
    for number, result in enumerate(results):
        if number in poison:
            assert isinstance(result, G3Error)
            assert "secret" not in result.message
        else:
            assert result == number + 1
    if len(poison) == 1:
        # halving to the culprit, and the probe where the culprit was alone
        assert model.passes <= 1 + 2 * ceil(log2(size)) + 1


def test_an_error_of_the_tree_keeps_its_kind() -> None:
    def refuse(_: Sequence[int]) -> list[int | G3Error]:
        if _ == [-1]:
            return [0]
        raise Rejected("no such number")

    (error,) = forward(Lane("n", 4, lambda n: n, refuse, lambda: -1), [1])
    assert isinstance(error, Rejected)


def test_a_lost_device_is_not_searched_for_culprits() -> None:
    passes = []

    def lost(numbers: Sequence[int]) -> list[int | G3Error]:
        passes.append(list(numbers))
        raise DeviceLost("gone")

    with pytest.raises(DeviceLost):
        forward(Lane("n", 4, lambda n: n, lost, lambda: -1), [1, 2, 3])
    assert passes == [[1, 2, 3]]


def test_too_few_results_are_an_error_and_not_shifted() -> None:
    results = forward(Lane("n", 4, lambda n: n, lambda ns: [n for n in ns if n != 2], lambda: 0), [1, 2, 3])
    assert results[0] == 1
    assert isinstance(results[1], G3Error)
    assert results[2] == 3


def test_the_pace_tells_how_long_to_wait() -> None:
    pace = Pace()
    assert pace.retry_after_s(100) == 1.0
    pace.measure(items=10, took_s=1.0)
    assert pace.retry_after_s(100) == pytest.approx(5.0)
    assert pace.retry_after_s(0) == pytest.approx(0.05)
    assert pace.retry_after_s(10**9) == 30.0
    for _ in range(100):
        pace.measure(items=100, took_s=1.0)
    assert pace.retry_after_s(100) == pytest.approx(0.5, rel=0.01)
