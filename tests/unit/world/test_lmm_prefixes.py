"""What was computed of earlier prompts is found by the longest beginning, and is bounded."""

import numpy as np
import pytest
from g3_world.lmm.prefixes import Marks, Prefixes, common


def marks(*values: int) -> Marks:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("one", "other", "length"), [((1, 2, 3), (1, 2, 4), 2), ((1, 2), (1, 2, 4), 2), ((5,), (1,), 0), ((), (1,), 0)]
)
def test_the_common_beginning(one: tuple[int, ...], other: tuple[int, ...], length: int) -> None:
    assert common(marks(*one), marks(*other)) == length


def test_the_longest_beginning_is_found() -> None:
    prefixes = Prefixes[str](100)
    assert prefixes.longest(marks(1, 2)) == (0, None)
    prefixes.keep(marks(1, 2, 3), "a")
    prefixes.keep(marks(1, 9, 9, 9), "b")
    assert prefixes.longest(marks(1, 2, 3, 4)) == (3, "a")
    assert prefixes.longest(marks(1, 9, 9)) == (3, "b")
    assert prefixes.longest(marks(7)) == (0, None)


def test_a_longer_prompt_takes_the_place_of_its_beginning() -> None:
    prefixes = Prefixes[str](100)
    prefixes.keep(marks(1, 2), "short")
    prefixes.keep(marks(1, 2, 3), "long")
    assert prefixes.tokens == 3
    prefixes.keep(marks(1, 2), "short again")
    assert prefixes.longest(marks(1, 2)) == (2, "long")


def test_the_least_recently_used_is_forgotten() -> None:
    prefixes = Prefixes[str](6)
    prefixes.keep(marks(1, 1), "a")
    prefixes.keep(marks(2, 2), "b")
    prefixes.keep(marks(3, 3), "c")
    assert prefixes.longest(marks(1, 1)) == (2, "a")
    prefixes.keep(marks(4, 4), "d")
    assert prefixes.tokens == 6
    assert prefixes.longest(marks(2, 2)) == (0, None)
    assert prefixes.longest(marks(1, 1)) == (2, "a")


def test_what_is_too_long_is_not_kept() -> None:
    prefixes = Prefixes[str](1)
    prefixes.keep(marks(1, 2), "a")
    assert prefixes.tokens == 0
