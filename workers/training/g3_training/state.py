"""Where a run stands, in one file: everything that the next step depends on."""

import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from g3_kit.errors import Conflict, Rejected

from g3_training.writing import replacing


@dataclass
class State:
    """`epoch` and `batch` say which batch comes next; `step` counts the optimiser's; `elapsed_s` the run's seconds.

    `losses` is one number a batch, `parts` the same apart; `validations` one entry an epoch. There is no state of
    random numbers: each batch draws from a seed of its own.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    elapsed_s: float = 0.0
    photos: int = 0
    losses: dict[str, list[float]] = field(default_factory=dict)
    validations: list[dict[str, float]] = field(default_factory=list)
    best: float = float("inf")
    best_epoch: int = -1
    finished: str = ""


def save_state(path: Path, state: State, key: str, weights: dict[str, Any], optimiser: dict[str, Any]) -> None:
    """Replaces the file in one step; a reader sees the old state or the new one, also after a loss of power."""
    with replacing(path) as draft:
        torch.save({"key": key, "state": asdict(state), "weights": weights, "optimiser": optimiser}, draft)


def load_state(path: Path, key: str) -> tuple[State, dict[str, Any], dict[str, Any]] | None:
    """The state kept in `path`, or None if there is none.

    Raises Conflict when it is of another run (recipe, data or starting weights), Rejected when it cannot be read.
    """
    if not path.exists():
        return None
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        state = State(**kept["state"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError):
        raise Rejected(f"{path.name} cannot be read: remove it to begin again.", field="out") from None
    if kept["key"] != key:
        raise Conflict(
            "This folder holds a run with another recipe, other data or another starting model: "
            "give the same ones to go on with it, or another folder.",
            field="out",
        )
    return state, kept["weights"], kept["optimiser"]
