"""The learning rate's factor over a run."""

import math
from typing import Literal

Shape = Literal["cosine", "exponential"]
DECAY_AN_EPOCH = 0.87  # the reference's


def factor(shape: Shape, *, progress: float, epoch: int, step: int, warm_up: int) -> float:
    """What the learning rate is multiplied by: a linear rise over `warm_up` steps, then a half cosine over
    `progress` (0 to 1), or the reference's factor of 0.87 an epoch (`epoch` counts from 0).
    """
    rise = min(1.0, (step + 1) / warm_up) if warm_up else 1.0
    if shape == "exponential":
        return rise * DECAY_AN_EPOCH**epoch
    return rise * max(0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0))), 1e-4)
