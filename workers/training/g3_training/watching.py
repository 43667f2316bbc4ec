"""What a person sees of a run: a progress bar, and curves in TensorBoard's format."""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter

from g3_training.state import State

_LINE_EVERY_S = 30.0
_CURVE_EVERY = 10


class Watch:
    """`Watcher` of one run. Without a terminal the bar is a line every half minute."""

    def __init__(self, folder: Path, title: str, state: State) -> None:
        """Curves go on where the state stands: what a killed process wrote beyond it is purged."""
        self._console = Console(stderr=True)
        self._curves = SummaryWriter(str(folder / "curves"), purge_step=_seen(state) or None)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=1.0, said="")
        self._title, self._told, self._photos, self._began = title, time.monotonic(), state.photos, time.monotonic()
        self._bar.start()

    def batch(self, state: State, rate: float, progress: float) -> None:
        """See `Watcher`."""
        number = _seen(state)
        if number % _CURVE_EVERY == 0 and state.losses:
            for name, losses in state.losses.items():
                self._curves.add_scalar(f"loss/{name}", losses[-1], number)
            self._curves.add_scalar("learning_rate", rate, number)
        now = time.monotonic()
        said = self._said(state, now)
        self._bar.update(self._task, completed=progress, said=said)
        if not self._console.is_terminal and now - self._told > _LINE_EVERY_S:
            self._told = now
            self._console.print(f"{self._title} {100 * progress:.0f} % {said}", highlight=False, soft_wrap=True)

    def validation(self, state: State) -> None:
        """See `Watcher`."""
        newest = state.validations[-1]
        for name, number in newest.items():
            if name != "epoch":
                self._curves.add_scalar(f"validation/{name}", number, _seen(state))
        text = ", ".join(f"{name} {number:.4g}" for name, number in newest.items())
        self._bar.console.print(f"held-out places: {text}", highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Ends the bar, writes what is left of the curves."""
        self._bar.stop()
        self._curves.close()

    def _said(self, state: State, now: float) -> str:
        rate = (state.photos - self._photos) / max(now - self._began, 1e-9)
        recent = [sum(losses[-50:]) / len(losses[-50:]) for losses in state.losses.values()]
        return f"epoch {state.epoch + 1}, loss {sum(recent):.3f}, {rate:,.0f} photos a second"


def _seen(state: State) -> int:
    """Batches so far."""
    return max((len(losses) for losses in state.losses.values()), default=0)
