"""Whether the evaluation overlaps its stages: its wall time against the slowest stage's own time, in one run.

    python tests/load/evaluation_overlap.py [--photos 120] [--latency 0.5] [--slots 4] [--json]

Wanted: the whole command `g3-eval run`, its start and its report counted, takes at most 1.2 times what the slowest
stage takes alone. Its own time is the time that its jobs worked (from their timings) over how many it works on at once.
The LMM is an HTTP server that answers `--slots` questions at a time, each after `--latency` seconds: it is the slowest
stage by far, as a real one is. The bare bound, questions times latency over slots, is printed beside it.
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
# What the rooms work on at once unless told otherwise (G3_GENERATION_CONCURRENCY, G3_COORDINATOR_CONCURRENCY).
AT_ONCE = {"retrieve": 8, "generate": 4, "verify": 8}


class PacedLmm(ScriptedLmm):
    """Answers so many questions at a time, each after so many seconds."""

    def __init__(self, slots: int, latency_s: float) -> None:
        super().__init__([Says('{"latitude": 45.46, "longitude": 9.19}', "41.89 N, 12.48 E", "48.86, 2.35")])
        self._slots = threading.Semaphore(slots)
        self._latency_s = latency_s

    def next_step(self, asked: Asked) -> Step:
        with self._slots:
            time.sleep(self._latency_s)
        return super().next_step(asked)


def own_times(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Seconds that each stage takes alone."""
    return {
        stage: sum(outcome.stages[stage].worked_s for outcome in outcomes if stage in outcome.stages) / at_once
        for stage, at_once in AT_ONCE.items()
    }


def measured(photos: int, slots: int, latency_s: float) -> dict[str, object]:
    """One evaluation on a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="g3-overlap-") as folder, PacedLmm(slots, latency_s) as lmm:
        references, queries = Path(folder) / "references", Path(folder) / "queries"
        write_photos(Plan(REFERENCES, seed=1), references, jobs=2)
        write_photos(Plan(photos + 8, seed=2), queries, jobs=2)
        with LocalStack(Path(folder) / "home", {"G3_LMM_URL": lmm.url, "G3_LMM_MODEL": "paced"}) as stack:
            ingested = stack.command("ingest", str(references), "--csv", str(references / "photos.csv"))
            assert ingested.returncode == 0, ingested.stderr
            program = [sys.executable, "-m", "g3_evaluation", "run", str(queries), "--ask", "paper"]
            warm_up = [*program, "--limit", "8", "--out", str(Path(folder) / "warm-up")]
            subprocess.run(warm_up, env=stack.environment, check=True, capture_output=True)
            before, began = len(lmm.asked), time.monotonic()
            out = Path(folder) / "run"
            told = [*program, "--limit", str(photos), "--out", str(out), "--in-flight", "12"]
            subprocess.run(told, env=stack.environment, check=True, capture_output=True)
            wall_s = time.monotonic() - began
            outcomes = list(RunFolder(out).outcomes().values())
            asked = len(lmm.asked) - before
    assert len(outcomes) == photos
    assert not any(outcome.failure or outcome.degraded for outcome in outcomes), "every photo was put to the LMM"
    own = own_times(outcomes)
    slowest = max(own, key=lambda stage: own[stage])
    return {
        "photos": photos,
        "wall_s": round(wall_s, 2),
        "own_s": {stage: round(seconds, 2) for stage, seconds in own.items()},
        "slowest": slowest,
        "bare_lmm_s": round(asked * latency_s / slots, 2),
        "ratio": round(wall_s / own[slowest], 3),
        "wanted": WANTED,
    }


def main() -> int:
    """0 when the aim is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=120)
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
