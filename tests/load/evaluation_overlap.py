"""Whether the evaluation overlaps its stages: its wall time against the slowest stage's own time, in one run.

    python tests/load/evaluation_overlap.py [--photos 160] [--latency 0.5] [--slots 4] [--json]

Wanted: the whole command `g3-eval run`, its start and its report counted, takes at most 1.2 times what the slowest
stage takes alone. The LMM is an HTTP server that answers `--slots` questions at a time, each after `--latency` seconds:
it is the slowest stage by far, as a real one is. Its own time is what it was busy, over its slots. That of the other
stages is the time that the jobs' timings say they worked, over how many jobs the coordinator works on at once. (The
time that the generate stages worked cannot be taken: they wait in the LMM's queue for each other.)
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from g3_evaluation.outcomes import Outcome
from g3_evaluation.run_folder import RunFolder
from g3_world.dataset import Plan, write_photos

from tests.servers.scripted_lmm import Asked, Says, ScriptedLmm, Step
from tests.servers.stack import LocalStack

WANTED = 1.2
REFERENCES = 300
AT_ONCE = 8
"""Stages that the coordinator works on at once unless told otherwise (G3_COORDINATOR_CONCURRENCY)."""


class PacedLmm(ScriptedLmm):
    """Answers so many questions at a time, each after so many seconds; `busy_s` is the sum over them."""

    def __init__(self, slots: int, latency_s: float) -> None:
        super().__init__([Says('{"latitude": 45.46, "longitude": 9.19}', "41.89 N, 12.48 E", "48.86, 2.35")])
        self.busy_s = 0.0
        self._slots = threading.Semaphore(slots)
        self._latency_s = latency_s
        self._counting = threading.Lock()

    def next_step(self, asked: Asked) -> Step:
        with self._slots:
            began = time.monotonic()
            time.sleep(self._latency_s)
            with self._counting:
                self.busy_s += time.monotonic() - began
        return super().next_step(asked)


def worked_s(outcomes: Sequence[Outcome], stage: str) -> float:
    """Seconds that a stage of the coordinator takes alone."""
    return sum(outcome.stages[stage].worked_s for outcome in outcomes if stage in outcome.stages) / AT_ONCE


def measured(photos: int, slots: int, latency_s: float) -> dict[str, object]:
    """One evaluation on a stack of its own."""
    lmm = PacedLmm(slots, latency_s)
    with tempfile.TemporaryDirectory(prefix="g3-overlap-") as folder, lmm:
        references, queries = Path(folder) / "references", Path(folder) / "queries"
        write_photos(Plan(REFERENCES, seed=1), references, jobs=2)
        write_photos(Plan(photos + 8, seed=2), queries, jobs=2)
        with LocalStack(Path(folder) / "home", {"G3_LMM_URL": lmm.url, "G3_LMM_MODEL": "paced"}) as stack:
            ingested = stack.command("ingest", str(references), "--csv", str(references / "photos.csv"))
            assert ingested.returncode == 0, ingested.stderr
            program = [sys.executable, "-m", "g3_evaluation", "run", str(queries), "--ask", "paper"]
            warm_up = [*program, "--limit", "8", "--out", str(Path(folder) / "warm-up")]
            subprocess.run(warm_up, env=stack.environment, check=True, capture_output=True)
            before, began, asked = lmm.busy_s, time.time(), len(lmm.asked)
            out = Path(folder) / "run"
            told = [*program, "--limit", str(photos), "--out", str(out), "--in-flight", "12"]
            subprocess.run(told, env=stack.environment, check=True, capture_output=True)
            wall_s = time.time() - began
            asking_s = RunFolder(out).journal.stat().st_mtime - began
            outcomes = list(RunFolder(out).outcomes().values())
            own = {stage: worked_s(outcomes, stage) for stage in ("retrieve", "verify")}
            own["generate"] = (lmm.busy_s - before) / slots
            asked = len(lmm.asked) - asked
    assert len(outcomes) == photos
    assert not any(outcome.failure or outcome.degraded for outcome in outcomes), "every photo was put to the LMM"
    slowest = max(own, key=lambda stage: own[stage])
    return {
        "photos": photos,
        "questions": asked,
        "wall_s": round(wall_s, 2),
        "until_the_last_answer_s": round(asking_s, 2),
        "own_s": {stage: round(seconds, 2) for stage, seconds in own.items()},
        "slowest": slowest,
        "ratio": round(wall_s / own[slowest], 3),
        "wanted": WANTED,
    }


def main() -> int:
    """0 when the aim is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=160)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds of one answer of the LMM")
    parser.add_argument("--slots", type=int, default=4, help="questions that the LMM answers at a time")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = measured(chosen.photos, chosen.slots, chosen.latency)
    if chosen.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{name}: {value}" for name, value in found.items()))
    return 0 if float(str(found["ratio"])) <= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
