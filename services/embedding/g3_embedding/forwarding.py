"""One batch through its lane: a poisoned item is found by halving, so that its neighbours never pay for it."""

from collections.abc import Sequence
from typing import TypeVar

from g3_kit import logs
from g3_kit.errors import G3Error

from g3_embedding.lanes import DeviceLost, Item, Lane, Result, Staged

log = logs.get(__name__)

Anything = TypeVar("Anything")


def forward(lane: Lane[Item, Staged, Result], staged: Sequence[Staged]) -> list[Result | G3Error]:
    """One result for each of `staged`, in order; where the model fails on an item alone, what is wrong with it.

    One culprit among n costs at most 2·log2(n) further passes. Halving is also what helps when a batch does not fit
    the device's memory. Raises DeviceLost when the lane does, or when even its probe fails after every item has.
    """
    failures = 0

    def halved(part: Sequence[Staged]) -> list[Result | G3Error]:
        nonlocal failures
        try:
            return _checked(list(lane.forward(part)), len(part))
        except DeviceLost:
            raise
        except Exception as error:
            log.exception("forward pass failed", lane=lane.name, items=len(part))
            if len(part) == 1:
                failures += 1
                return [_of_item(error)]
        middle = len(part) // 2
        return halved(part[:middle]) + halved(part[middle:])

    results = halved(staged)
    if failures == len(staged):
        _probe(lane)
    return results


def stage(lane: Lane[Item, Staged, Result], item: Item) -> Staged | G3Error:
    """The item readied for the device, or what is wrong with it. Raises DeviceLost when the lane does."""
    try:
        return lane.stage(item)
    except DeviceLost:
        raise
    except Exception as error:
        log.exception("staging failed", lane=lane.name)
        return _of_item(error)


def _probe(lane: Lane[Item, Staged, Result]) -> None:
    try:
        _checked(list(lane.forward([lane.stage(lane.probe())])), 1)
    except Exception as error:
        log.exception("the known good item failed too", lane=lane.name)
        raise DeviceLost("the device fails on everything") from error


def _checked(results: list[Anything], expected: int) -> list[Anything]:
    if len(results) != expected:
        raise RuntimeError(f"{len(results)} results for {expected} items")
    return results


def _of_item(error: Exception) -> G3Error:
    return error if isinstance(error, G3Error) else G3Error("The model failed on this item; the server's log has it.")
