"""The loop: batches, steps, schedule, validation, early stop, and a state from which it goes on exactly."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from g3_training.processes import Processes
from g3_training.recipe import Recipe
from g3_training.sampling import Rows, Sampler
from g3_training.schedule import factor
from g3_training.state import State, load_state, save_state
from g3_training.writing import replacing

STATE, BEST = "state.pt", "best.pt"
# A step that took longer was a paused process, not work: a budget of minutes does not count it.
_LONGEST_STEP_S = 20.0


class Task(Protocol):
    """What is learnt from what."""

    module: nn.Module
    """Everything trained, and stored in the state."""
    shared: list[nn.Parameter]
    """Parameters of the loss, whole in every process."""

    def batches(self, rows: Iterable[Rows]) -> Iterator[Any]:
        """This process's share of each batch, loaded."""
        ...

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The loss by parts; their sum is what is minimised. With more processes, that of the whole batch in each."""
        ...

    def validate(self) -> dict[str, float]:
        """Numbers of the held-out places, `loss` among them; empty where none are held out."""
        ...


class Watcher(Protocol):
    """Sees what happens: the progress bar, the log of TensorBoard."""

    def batch(self, state: State, rate: float, progress: float) -> None:
        """After every batch; `rate` is the learning rate, `progress` the share of the run that is done."""
        ...

    def validation(self, state: State) -> None:
        """After every validation."""
        ...


class Training:
    """One run in one folder."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        rows: Rows,
        folder: Path,
        key: str,
        processes: Processes,
        *,
        save_s: float = 60,
    ) -> None:
        """`rows` are trained on; `key` names recipe, data and starting weights; the state is written every `save_s`.

        Raises Conflict when the folder holds another run, Rejected when rows or batch do not fit.
        """
        self._task, self._recipe, self._folder, self._key = task, recipe, folder, key
        self._processes, self._save_s = processes, save_s
        self._sampler = Sampler(rows, recipe.batch, recipe.seed)
        self._optimiser = torch.optim.AdamW(
            _groups(task.module, recipe.weight_decay), lr=recipe.learning_rate, betas=recipe.betas
        )
        self.state = State()
        self._unread: list[dict[str, Tensor]] = []
        kept = load_state(folder / STATE, key)
        if kept is not None:
            self.state, weights, optimiser = kept
            task.module.load_state_dict(weights)
            self._optimiser.load_state_dict(optimiser)
        processes.same_start(task.module)

    def run(self, watcher: Watcher | None = None) -> State:
        """Trains to the end, from where the folder's state stands. Puts the best weights back where one validates."""
        state, saved = self.state, time.monotonic()
        while not state.finished:
            for rate, progress in self._epoch():
                if watcher is not None:
                    watcher.batch(state, rate, progress)
                if time.monotonic() - saved > self._save_s:
                    self._save()
                    saved = time.monotonic()
            if state.batch:
                self._end_of_epoch(watcher)
            self._save()
            saved = time.monotonic()
        best = self._folder / BEST
        if self._recipe.keep == "best" and state.best_epoch >= 0 and best.exists():
            self._task.module.load_state_dict(torch.load(best, map_location="cpu", weights_only=True))
        return state

    def progress(self) -> float:
        """The share of the run that is done, the same in all processes."""
        if self._recipe.minutes is not None:
            return self._processes.agreed(min(1.0, self.state.elapsed_s / (60.0 * self._recipe.minutes)))
        return (self.state.epoch + self.state.batch / self._sampler.batches) / self._recipe.epochs

    def _epoch(self) -> Iterator[tuple[float, float]]:
        """What is left of the epoch; yields learning rate and progress after every batch."""
        state = self.state
        self._task.module.train()
        left = self._sampler.epoch(state.epoch)[state.batch :]
        began = time.monotonic()
        for batch in self._task.batches(left):
            progress = self.progress()
            if self._recipe.minutes is not None and progress >= 1.0:
                state.finished = "the time is up"
                return
            rate = self._step(batch, progress)
            now = time.monotonic()
            state.elapsed_s += min(now - began, _LONGEST_STEP_S)
            began = now
            yield rate, progress

    def _step(self, batch: Any, progress: float) -> float:
        """One batch forward and backward; every `accumulate` batches a step of the optimiser. The learning rate."""
        state, recipe = self.state, self._recipe
        # what towers drop at random is drawn from the batch's own seed
        torch.manual_seed(hash((recipe.seed, state.epoch, state.batch, self._processes.rank)) % 2**63)
        rate = recipe.learning_rate * factor(
            recipe.schedule, progress=progress, epoch=state.epoch, step=state.step, warm_up=recipe.warm_up
        )
        with self._precision():
            losses = self._task.losses(batch)
        torch.stack(list(losses.values())).sum().div(recipe.accumulate).backward()  # type: ignore[no-untyped-call]
        self._unread.append({name: loss.detach() for name, loss in losses.items()})
        state.batch += 1
        state.photos += recipe.batch
        if state.batch % recipe.accumulate == 0 or state.batch == self._sampler.batches:
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            self._processes.sum_gradients(self._task.module.parameters(), self._task.shared)
            self._optimiser.step()
            self._optimiser.zero_grad()
            state.step += 1
        if len(self._unread) >= 20 or self._processes.device.type == "cpu":
            self._read()
        return rate

    def _precision(self) -> AbstractContextManager[object]:
        # bfloat16 needs no scaling of the loss; on these CPUs it is many times slower than float32
        if self._processes.device.type == "cuda" and torch.cuda.is_bf16_supported():
            return torch.autocast("cuda", dtype=torch.bfloat16)
        return nullcontext()

    def _end_of_epoch(self, watcher: Watcher | None) -> None:
        state, recipe = self.state, self._recipe
        self._task.module.eval()
        numbers = self._task.validate()
        state.epoch, state.batch = state.epoch + 1, 0
        if numbers:
            state.validations.append({"epoch": state.epoch, **numbers})
            if watcher is not None:
                watcher.validation(state)
            if numbers["loss"] < state.best:
                state.best, state.best_epoch = numbers["loss"], state.epoch
                self._keep_best()
            elif recipe.patience and state.epoch - state.best_epoch >= recipe.patience and not state.finished:
                state.finished = f"no better validation for {recipe.patience} epochs"
        if recipe.minutes is None and state.epoch >= recipe.epochs and not state.finished:
            state.finished = "all epochs are done"

    def _keep_best(self) -> None:
        if self._processes.leads:
            with replacing(self._folder / BEST) as draft:
                torch.save(self._task.module.state_dict(), draft)

    def _save(self) -> None:
        # between two batches of one step the gradients are part of the state, and they are not in the file
        if self.state.batch % self._recipe.accumulate:
            return
        self._read()
        if self._processes.leads:
            weights, optimiser = self._task.module.state_dict(), self._optimiser.state_dict()
            save_state(self._folder / STATE, self.state, self._key, weights, optimiser)

    def _read(self) -> None:
        for losses in self._unread:
            for name, loss in losses.items():
                self.state.losses.setdefault(name, []).append(float(loss))
        self._unread.clear()


def _groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Biases, norms and temperatures do not decay."""
    learnt = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in learnt if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in learnt if parameter.ndim < 2], "weight_decay": 0.0},
    ]


Numbers = Mapping[str, float]
Progress = Callable[[int], None]
