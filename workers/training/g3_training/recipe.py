"""How a run trains: every number that a result depends on."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from g3_kit.errors import Rejected

from g3_training.schedule import Shape


@dataclass(frozen=True)
class Recipe:
    """The defaults are the reference's for G3's heads and GPS encoder, but for the shuffle.

    `batch` photos over all processes are contrasted with each other; `accumulate` batches make one step of AdamW.
    `minutes` ends the run by the clock instead of by `epochs`; it then depends on the machine and cannot be repeated
    bit by bit. `holdout` is the share of places kept for validation; after `patience` epochs without a better
    validation loss the run ends (0: never). `keep` says which weights are the result: those that validated best, or
    the last.
    """

    epochs: int = 10
    batch: int = 256
    accumulate: int = 1
    learning_rate: float = 3e-5
    weight_decay: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Shape = "exponential"
    warm_up: int = 0
    minutes: float | None = None
    holdout: float = 0.02
    patience: int = 3
    keep: Literal["best", "last"] = "best"
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises Rejected with the field at fault."""
        for name in ("epochs", "accumulate", "learning_rate"):
            _require(getattr(self, name) > 0, name, "above 0")
        for name in ("weight_decay", "warm_up", "patience", "seed"):
            _require(getattr(self, name) >= 0, name, "0 or more")
        _require(0 <= self.holdout < 1, "holdout", "a share below 1")
        _require(self.minutes is None or self.minutes > 0, "minutes", "above 0")

    def document(self) -> dict[str, Any]:
        """For reports and for the question whether a stopped run is the same one."""
        return asdict(self)


def _require(holds: bool, name: str, what: str) -> None:
    if not holds:
        raise Rejected(f"{name} must be {what}.", field=name)
