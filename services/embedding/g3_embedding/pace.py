"""How fast the device answers, and so how long a refused caller should wait."""

# Bounds on the wait that a refused caller is told, and what is said before anything was measured.
_SHORTEST_S, _LONGEST_S, _UNMEASURED_S = 0.05, 30.0, 1.0
# Weight of the newest batch in the running rate: some ten batches of memory.
_WEIGHT = 0.2


class Pace:
    """Items per second of device time, as a running mean. Not thread-safe."""

    def __init__(self) -> None:
        """Nothing measured yet."""
        self._items_per_s = 0.0

    def measure(self, items: int, took_s: float) -> None:
        """A batch of `items` took the device `took_s` seconds."""
        rate = items / max(took_s, 1e-6)
        self._items_per_s = rate if self._items_per_s == 0.0 else (1 - _WEIGHT) * self._items_per_s + _WEIGHT * rate

    def retry_after_s(self, held: int) -> float:
        """Seconds until half of the `held` items are answered: then there is room, and for more than one caller."""
        if self._items_per_s == 0.0:
            return _UNMEASURED_S
        return min(max(0.5 * held / self._items_per_s, _SHORTEST_S), _LONGEST_S)
