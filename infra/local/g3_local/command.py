"""`g3 up`, `g3 down` and `g3 ps`: the embedded stack from the command line."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from g3_kit import grpc_client, logs
from g3_kit.errors import G3Error, Missing
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc
from rich.console import Console
from rich.table import Table

from g3_local.home import Home
from g3_local.stack import ROOMS_S, bring_up

_UP_S = ROOMS_S + 120.0
_DOWN_S = 90.0
_FIRST_REFERENCES = 500
# Whoever brings a model or a vector store brings the references too.
_OWN_PARTS = {"G3_CHECKPOINT", "G3_MILVUS_URI"}
_err = Console(stderr=True)


def up(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop the stack on Ctrl-C.")] = False,
    bare: Annotated[bool, typer.Option("--bare", help="Leave an empty collection empty.")] = False,
    no_lmm: Annotated[bool, typer.Option("--no-lmm", help="Answer from retrieved candidates alone.")] = False,
) -> None:
    """Start the whole stack on this machine and return once every room is ready.

    A stack with the demo model and no reference yet gets a few hundred synthetic ones, so that photos have an answer.
    """
    home = Home.find()
    # An empty address is how every room is told that there is no LMM.
    _start(home, foreground, os.environ | {"G3_LMM_URL": ""} if no_lmm else os.environ)
    if not (foreground or bare or _OWN_PARTS & os.environ.keys() or has_references(home)):
        _err.print(f"no references yet: rendering {_FIRST_REFERENCES} synthetic ones (--bare does without)")
        from g3_local import demo

        demo.seed(home, _FIRST_REFERENCES)


def _start(home: Home, foreground: bool, environment: Mapping[str, str]) -> None:
    if home.is_supervised():
        _wait_ready(home, None)
        return
    if foreground:
        supervise(home, environment)
        return
    home.logs.mkdir(exist_ok=True)
    home.write_state({"phase": "starting", "processes": []})
    with (home.logs / "supervisor.log").open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "g3_local", "supervise"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _wait_ready(home, supervisor)


def has_references(home: Home) -> bool:
    """Whether the running stack's retrieval service has a published collection."""
    with grpc_client.channel(address(home, "retrieval"), deadline_s=30.0) as channel:
        try:
            retrieval_pb2_grpc.RetrievalServiceStub(channel).Describe(retrieval_pb2.DescribeRequest())
        except Missing:
            return False
    return True


def address(home: Home, process: str) -> str:
    """Where a process of the running stack listens."""
    return str(next(p["address"] for p in home.read_state()["processes"] if p["name"] == process))


def supervise(home: Home, environment: Mapping[str, str] = os.environ) -> None:
    """Run the supervisor in this process until SIGTERM or SIGINT."""
    logs.configure("local", "INFO", "json")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        with home.locked():
            bring_up(home, environment, stopping)
    except G3Error as error:
        home.write_state(home.read_state() | {"phase": f"failed: {error.message}"})
        sys.stderr.write(f"{error.message}\n")
        raise SystemExit(1) from None


def _wait_ready(home: Home, supervisor: "subprocess.Popen[bytes] | None") -> None:
    deadline = time.monotonic() + _UP_S
    with _err.status("starting the stack") as status:
        while time.monotonic() < deadline:
            state = home.read_state()
            phase = str(state.get("phase", ""))
            if phase == "ready":
                break
            if phase.startswith("failed") or (supervisor is not None and supervisor.poll() is not None):
                _err.print(f"[red]{phase or 'the supervisor ended'}[/red]; see {home.logs}")
                raise typer.Exit(1)
            waiting = [str(p["name"]) for p in state.get("processes", []) if not p["ready"]]
            status.update(f"starting: waiting for {', '.join(waiting) or 'PostgreSQL'}")
            time.sleep(0.1)
        else:
            _err.print(f"not ready after {_UP_S:.0f} s; see {home.logs}")
            raise typer.Exit(1)
    api = next(p["address"] for p in state["processes"] if p["name"] == "api")
    _err.print(f"[green]ready[/green] at {api}; logs in {home.logs}; [bold]g3 locate PHOTO[/bold] asks it")


def down() -> None:
    """Stop the stack; its data stay for the next start."""
    home = Home.find()
    if not home.is_supervised():
        _err.print("no stack is running here")
        return
    os.kill(int(home.read_state()["supervisor"]), signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_S
    with _err.status("stopping the stack"):
        while home.is_supervised():
            if time.monotonic() > deadline:
                _err.print(f"still stopping after {_DOWN_S:.0f} s; see {home.logs}")
                raise typer.Exit(1)
            time.sleep(0.1)
    _err.print("stopped")


def ps() -> None:
    """Show the processes of the stack on this machine."""
    home = Home.find()
    state = home.read_state() if home.is_supervised() else {}
    if not state:
        _err.print("no stack is running here; start one with `g3 up`")
        raise typer.Exit(1)
    table = Table("process", "pid", "state", "restarts", "address")
    for process in state.get("processes", []):
        table.add_row(*_row(process))
    Console().print(table)


def _row(process: dict[str, Any]) -> list[str]:
    state = "ready" if process["ready"] else str(process["problem"])
    return [process["name"], str(process["pid"] or "-"), state, str(process["restarts"]), process["address"]]
