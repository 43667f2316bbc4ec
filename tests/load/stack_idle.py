"""The embedded stack on one machine: time to ready, memory and processor time while it idles.

    python tests/load/stack_idle.py [--starts 3] [--idle 20] [--lmm FOLDER] [--json]

Wanted: `g3 up` ready within 30 s; the idle stack within 4 GiB. The first start also makes the database cluster and the
demo model, the later ones find them. Memory is that of every process below the supervisor, PostgreSQL's included: PSS
counts a page shared by n processes as 1/n in each, RSS counts it n times.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.servers.stack import LocalStack

WANTED_S = 30.0
WANTED_GIB = 4.0
_GIB = 2**30


def tree(stack: LocalStack) -> list[psutil.Process]:
    """The supervisor and everything below it."""
    supervisor = psutil.Process(int(stack.read_state()["supervisor"]))
    return [supervisor, *supervisor.children(recursive=True)]


def room_of(process: psutil.Process, rooms: dict[int, str]) -> str:
    """The name that the supervisor gave to the process or to the one that started it."""
    for one in (process, *process.parents()):
        if one.pid in rooms:
            return rooms[one.pid]
    return "supervisor"


def memory(stack: LocalStack) -> dict[str, dict[str, float]]:
    """GiB of each room, PSS and RSS."""
    rooms = {int(process["pid"]): name for name, process in stack.processes().items()}
    figures: dict[str, dict[str, float]] = {}
    for process in tree(stack):
        used = process.memory_full_info()
        figure = figures.setdefault(room_of(process, rooms), {"pss": 0.0, "rss": 0.0, "processes": 0})
        figure["pss"] += used.pss / _GIB
        figure["rss"] += used.rss / _GIB
        figure["processes"] += 1
    return {name: {key: round(value, 3) for key, value in figure.items()} for name, figure in sorted(figures.items())}


def processor_s(stack: LocalStack) -> dict[int, float]:
    """Seconds of processor time that each process has used."""
    return {process.pid: sum(process.cpu_times()[:2]) for process in tree(stack)}


def idle_percent(stack: LocalStack, seconds: float) -> dict[str, float]:
    """Processor time of each room while nothing is asked of it, as per cent of one core."""
    rooms = {int(process["pid"]): name for name, process in stack.processes().items()}
    before, began = processor_s(stack), time.monotonic()
    time.sleep(seconds)
    after, took = processor_s(stack), time.monotonic() - began
    used: dict[str, float] = {}
    for pid in before.keys() & after.keys():
        name = room_of(psutil.Process(pid), rooms)
        used[name] = used.get(name, 0.0) + (after[pid] - before[pid]) / took * 100
    return {name: round(value, 1) for name, value in sorted(used.items())}


def start_s(stack: LocalStack) -> float:
    """Seconds until `g3 up` came back."""
    began = time.monotonic()
    stack.up()
    return round(time.monotonic() - began, 1)


def measure(folder: Path, starts: int, idle_s: float, lmm: Path | None) -> dict[str, object]:
    """First start, later starts, and the idle stack of the last one; with the LMM in `lmm`, or the demo's."""
    stack = LocalStack(folder / "g3", {"G3_LMM_FOLDER": str(lmm)} if lmm else {})
    first = start_s(stack)
    later = []
    try:
        for _ in range(starts):
            stack.down()
            later.append(start_s(stack))
        percent = idle_percent(stack, idle_s)
        rooms = memory(stack)
    finally:
        stack.down()
    total = {key: round(sum(room[key] for room in rooms.values()), 2) for key in ("pss", "rss", "processes")}
    return {
        "first_start_s": first,
        "later_starts_s": later,
        "memory_gib": {**rooms, "total": total},
        "idle_percent_of_a_core": {**percent, "total": round(sum(percent.values()), 1)},
        "met": max(first, statistics.median(later)) <= WANTED_S and total["pss"] <= WANTED_GIB,
    }


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=3, help="starts after the first")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of idling")
    parser.add_argument("--lmm", type=Path, help="a LLaVA to serve in place of the demo's")
    parser.add_argument("--json", action="store_true", help="one line")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="g3-load-") as name:
        # PostgreSQL runs as another user when the stack is started by root.
        Path(name).chmod(0o755)
        figures = measure(Path(name), asked.starts, asked.idle, asked.lmm and asked.lmm.resolve())
    print(json.dumps(figures, indent=None if asked.json else 2))
    return 0 if figures["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
