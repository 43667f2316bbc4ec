"""How long to wait before asking again."""

import random
from dataclasses import dataclass

from g3_kit.errors import Unavailable


@dataclass(frozen=True)
class Retries:
    """`tries` in a row before giving up; waits grow from `first_s`, doubling up to `most_s`, with full jitter.

    Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015) keeps workers that failed together
    from coming back together.
    """

    tries: int = 4
    first_s: float = 0.5
    most_s: float = 8.0

    def wait_s(self, failures: int, error: Unavailable) -> float:
        """Seconds to wait after `failures` (1, 2, …) in a row; at least what the error asks for."""
        drawn = random.uniform(0, min(self.most_s, self.first_s * 2 ** (failures - 1)))  # noqa: S311
        return max(drawn, error.retry_after_s or 0.0)
