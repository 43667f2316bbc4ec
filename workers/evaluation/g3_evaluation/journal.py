"""Outcomes as they come, one line each, on the disk before the next is counted: a run that is killed loses none.

A line that was half-written when the power went is cut off at the next start; its job is asked for again by its key,
and the server answers with the job that it has.
"""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from g3_kit.errors import Rejected

from g3_evaluation.outcomes import Outcome

_BLOCK = 1 << 16


class Journal:
    """The file, open for appending; threads may share it. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file and cuts off a last line without an end."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, _whole(self._file))
        os.lseek(self._file, 0, os.SEEK_END)

    def append(self, outcome: Outcome) -> None:
        """Writes one outcome; on return it is on the disk. Raises OSError when the disk is full."""
        line = json.dumps(outcome.to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
        with self._lock:
            rest = memoryview(line.encode())
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path) -> Iterator[Outcome]:
    """The whole lines, in the order written; none where there is no file. Raises Rejected for a damaged line."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return  # half-written
            try:
                outcome = Outcome.from_json(json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError, AttributeError):
                raise Rejected(
                    f"Line {number} of {path} is damaged: delete that line, and the run asks for its job again.",
                    field="out",
                ) from None
            yield outcome


def _whole(file: int) -> int:
    """The length up to and with the last line end."""
    at = os.lseek(file, 0, os.SEEK_END)
    while at:
        start = max(0, at - _BLOCK)
        block = os.pread(file, at - start, start)
        found = block.rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0
