"""How every command of the room begins and ends: its processes, one line for what went wrong, the exit status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
import typer
from g3_kit.errors import G3Error, Rejected

from g3_training.processes import Processes

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130


@contextmanager
def processes_of(device: str, threads: int) -> Iterator[Processes]:
    if threads:
        torch.set_num_threads(threads)
    processes = Processes(device)
    try:
        yield processes
    finally:
        processes.close()


@contextmanager
def ended() -> Iterator[None]:
    """What went wrong as one line, and the exit status that says who must act."""
    try:
        yield
    except Rejected as error:
        _fail(error.message, _USAGE)
    except G3Error as error:
        _fail(error.message, _FAILED)
    except KeyboardInterrupt:
        _fail("stopped; run it again to go on", _INTERRUPTED)


def _fail(message: str, status: int) -> NoReturn:
    sys.stderr.write(f"g3-train: {message}\n")
    raise typer.Exit(status)
