"""Ranking 40 candidates of a photo on one core: 20 answers of an LMM, 15 references, 5 gallery points, some agreeing.

    python tests/load/choice_ranking.py [--photos 300] [--json]

Wanted: under 5 ms at the median for `consensus` with calibrated confidence, from proposals to the choice, merging
within 1 km included. `similarity` is measured beside it.
"""

import argparse
import json
import sys
import time

import numpy as np
from g3_choice import Origin, Proposal, Ranking, choose, merged
from g3_choice.model import DEMO, ChoiceModel
from g3_geography import Coordinates

WANTED_MS = 5.0


def proposals(generator: np.random.Generator) -> list[Proposal]:
    """40 proposals around a few places, none within 1 km of another, so that all 40 are ranked."""
    places = np.column_stack([generator.uniform(-60, 60, 6), generator.uniform(-180, 180, 6)])
    found = []
    for number in range(40):
        latitude, longitude = places[generator.integers(6)] + generator.normal(0, 0.5, 2)
        found.append(
            Proposal(
                Coordinates(float(latitude), float(longitude)),
                Origin.LMM if number < 20 else Origin.RETRIEVED if number < 35 else Origin.GALLERY,
                similarity=float(generator.uniform(0.4, 0.7)),
                prompt=number // 5 if number < 20 else 0,
                sample=number % 5 if number < 20 else 0,
                rank=number - 19 if 20 <= number < 35 else number - 34 if number >= 35 else 0,
                evidence=float(generator.uniform(0.7, 0.9)) if 20 <= number < 35 else None,
            )
        )
    return found


def milliseconds(photos: list[list[Proposal]], ranking: Ranking, model: ChoiceModel) -> tuple[dict[str, float], float]:
    taken, ranked = [], []
    for one in photos:
        began = time.perf_counter()
        choice = choose(merged(one), ranking, model=model)
        taken.append((time.perf_counter() - began) * 1e3)
        ranked.append(len(choice.ranked))
    return {f"p{p}": round(float(np.percentile(taken, p)), 2) for p in (50, 95, 99)}, float(np.mean(ranked))


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--photos", type=int, default=300)
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    generator = np.random.default_rng(0)
    photos = [proposals(generator) for _ in range(chosen.photos)]
    model = ChoiceModel.load(DEMO)
    milliseconds(photos[:20], Ranking.CONSENSUS, model)
    report: dict[str, object] = {"photos": chosen.photos, "wanted_ms": WANTED_MS}
    began = time.process_time()
    consensus, count = milliseconds(photos, Ranking.CONSENSUS, model)
    processor_ms = round((time.process_time() - began) * 1e3 / len(photos), 2)
    similarity, _ = milliseconds(photos, Ranking.SIMILARITY, model)
    met = consensus["p50"] < WANTED_MS
    report |= {"candidates": count, "consensus_ms": consensus, "similarity_ms": similarity, "met": met}
    # on cores shared with other work the clock runs on while another has them
    report["consensus_processor_ms"] = processor_ms
    if chosen.json:
        print(json.dumps(report))
    else:
        print(f"ranking {count:.1f} candidates of {chosen.photos} photos")
        for name, figures in (("consensus", consensus), ("similarity", similarity)):
            print(f"  {name:11} p50 {figures['p50']} ms, p95 {figures['p95']} ms, p99 {figures['p99']} ms")
        print(f"  processor time of consensus: {processor_ms} ms a photo")
        print(f"  wanted: consensus p50 under {WANTED_MS:g} ms: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
