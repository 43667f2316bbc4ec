"""What a batcher can be asked for: one lane for each kind of input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from g3_kit.errors import G3Error

Item = TypeVar("Item")
Staged = TypeVar("Staged")
Result = TypeVar("Result")


class DeviceLost(Exception):
    """The device itself failed, not an item: no later forward pass in this process can succeed."""


@dataclass(frozen=True, eq=False)
class Lane(Generic[Item, Staged, Result]):
    """One kind of input. Lanes are equal only to themselves.

    `stage` readies one item for the device (checks it, moves it there) while another batch runs; `forward` turns up to
    `max_items` staged items into as many results, in order. Both may raise anything: it concerns the items alone,
    unless it is DeviceLost. A result that is a G3Error is what is wrong with that item. `probe` makes an item that is
    known to be good: whether it passes tells a poisoned item from a device that fails everything.
    """

    name: str
    max_items: int
    stage: Callable[[Item], Staged]
    forward: Callable[[Sequence[Staged]], Sequence[Result | G3Error]]
    probe: Callable[[], Item]
