"""Runs processes: starts them in order, watches them, starts again what dies, stops them in reverse order."""

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from g3_kit import logs

_log = logs.get("g3_local.supervisor")
_MAX_LOG_BYTES = 10_000_000
# A process that dies at once again and again is started ever more slowly.
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_SETTLED_S = 30.0
# A death is seen at once; asking a ready process how it is costs it and us something.
_ASK_READY_EVERY_S = 1.0
# Deaths before it was ever ready after which waiting any longer is no use.
_HOPELESS = 3
_PR_SET_PDEATHSIG = 1
# Loaded before any fork: a child between fork and exec must not load a library.
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Program:
    """What to run and how to see that it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    problem: Callable[[], str | None]
    """None when ready."""
    user: str | None = None
    """The system user, with the group of the same name; None means whoever runs the supervisor."""
    stop_signal: signal.Signals = signal.SIGTERM
    address: str = ""
    """Where it listens, for people."""


@dataclass
class Child:
    """A program and its process of the moment."""

    program: Program
    rank: int
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    starts: int = 0
    failures: int = 0
    restart_at: float = 0.0
    problem: str | None = "not started"
    asked_at: float = 0.0

    def described(self) -> dict[str, Any]:
        """The state of this child, for the state file."""
        return {
            "name": self.program.name,
            "pid": self.process.pid if self.process is not None and self.process.poll() is None else None,
            "ready": self.problem is None,
            "problem": self.problem,
            "restarts": max(0, self.starts - 1),
            "address": self.program.address,
        }


class Supervisor:
    """The processes of one stack. Used from the main thread: children are tied to the thread that forks them."""

    def __init__(self, log_folder: Path, publish: Callable[[Sequence[dict[str, Any]]], None]) -> None:
        """`publish` is told the state of all children whenever it changes."""
        self._log_folder = log_folder
        self._publish = publish
        self._children: list[Child] = []
        self._published: list[dict[str, Any]] = []
        log_folder.mkdir(parents=True, exist_ok=True)

    def start(self, programs: Sequence[Program]) -> None:
        """Start a group of programs side by side; a later group is stopped before an earlier one."""
        rank = 1 + max((child.rank for child in self._children), default=0)
        for program in programs:
            child = Child(program, rank)
            self._children.append(child)
            self._spawn(child)
        self._tell()

    def wait_ready(self, stopping: threading.Event, *, timeout_s: float, names: Sequence[str]) -> bool:
        """Watch until the named ones are ready; False when one dies again and again, or time or patience runs out."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not stopping.is_set():
            self.watch()
            waiting = self.unready(names)
            if not waiting:
                return True
            if any(child.failures >= _HOPELESS for child in waiting):
                return False
            stopping.wait(0.1)
        return False

    def run(self, stopping: threading.Event) -> None:
        """Watch until a stop is asked for."""
        while not stopping.wait(0.25):
            self.watch()

    def watch(self) -> None:
        """Look at every child once: start again what has died, ask the others whether they are ready."""
        now = time.monotonic()
        for child in self._children:
            if child.process is None:
                if now >= child.restart_at:
                    self._spawn(child)
            elif child.process.poll() is not None:
                self._bury(child, now)
            elif child.problem is not None or now - child.asked_at >= _ASK_READY_EVERY_S:
                child.problem, child.asked_at = child.program.problem(), now
        self._tell()

    def stop(self, *, grace_s: float = 40.0) -> None:
        """Stop the groups in reverse order, each group at once; kill what outlives its grace."""
        for rank in sorted({child.rank for child in self._children}, reverse=True):
            group = [child for child in self._children if child.rank == rank]
            for child in group:
                if child.process is not None and child.process.poll() is None:
                    child.process.send_signal(child.program.stop_signal)
            for child in group:
                self._end(child, time.monotonic() + grace_s)
        self._tell()

    def _end(self, child: Child, deadline: float) -> None:
        child.problem = "stopped"
        if child.process is None:
            return
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _log.warning("killed: it did not stop", process=child.program.name)
            child.process.kill()
            child.process.wait()

    def _spawn(self, child: Child) -> None:
        log_file = self._log_folder / f"{child.program.name}.log"
        if log_file.exists() and log_file.stat().st_size > _MAX_LOG_BYTES:
            log_file.replace(log_file.with_suffix(".log.1"))
        with log_file.open("ab") as log:
            child.process = subprocess.Popen(  # noqa: S603 - our own rooms
                list(child.program.command),
                env=dict(child.program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=child.program.user,
                group=child.program.user,
                extra_groups=None if child.program.user is None else [],
                cwd="/",
                # A terminal's Ctrl-C is for the supervisor, who stops the others in order.
                start_new_session=True,
                preexec_fn=partial(_die_with_parent, os.getpid()),
            )
        child.starts += 1
        child.started_at = time.monotonic()
        child.problem = "starting"
        _log.info("started", process=child.program.name, pid=child.process.pid, start=child.starts)

    def _bury(self, child: Child, now: float) -> None:
        assert child.process is not None  # noqa: S101 - seen by the caller
        status = child.process.returncode
        child.failures = 1 if now - child.started_at > _SETTLED_S else child.failures + 1
        child.restart_at = now + _BACKOFF_S[min(child.failures, len(_BACKOFF_S)) - 1]
        child.process = None
        child.problem = f"ended with status {status}; starts again"
        _log.warning("died", process=child.program.name, status=status, failures=child.failures)

    def unready(self, names: Sequence[str]) -> list[Child]:
        """The named children that are not ready."""
        return [child for child in self._children if child.program.name in names and child.problem is not None]

    def announce(self) -> None:
        """Publish the state of all children, changed or not."""
        self._published = [child.described() for child in self._children]
        self._publish(self._published)

    def _tell(self) -> None:
        if [child.described() for child in self._children] != self._published:
            self.announce()


def _die_with_parent(parent: int) -> None:
    """In the child, before exec: SIGTERM when the supervisor dies, so that no room is left behind by a kill -9."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
