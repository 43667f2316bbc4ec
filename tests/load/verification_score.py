"""Score of 40 candidates through gRPC on a CPU with the `g3` preset's full-size GPS encoder (random weights).

    python tests/load/verification_score.py [--calls 300] [--threads 0] [--json]

Wanted: under 10 ms at the median. The client is in the same process over a real socket; the plain forward pass is
measured beside it, so that what gRPC and the room add can be read off.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from g3_alignment import AlignmentConfiguration, GpsConfiguration, GpsModel, initialise, preset, save
from g3_kit import grpc_client
from g3_kit.health import Health
from g3_protos.geography.v1.geography_pb2 import Coordinates
from g3_protos.vector.v1.vector_pb2 import Vector
from g3_protos.verification.v1 import verification_pb2 as pb
from g3_protos.verification.v1.verification_pb2_grpc import VerificationServiceStub
from g3_verification.app import server
from g3_verification.galleries import Galleries
from g3_verification.gallery_shelf import Shelf
from g3_verification.scorer import Scorer
from g3_verification.torch_scorer import TorchScorer

CANDIDATES = 40
WANTED_MS = 10.0


def checkpoint(folder: Path) -> Path:
    """The g3 preset's GPS encoder, full size, beside the demo's towers at d = 768: the towers are never loaded."""
    small = preset("demo")
    tower = {**small.tower, "embed_dim": 768}
    path = folder / "g3-gps.safetensors"
    save(initialise(AlignmentConfiguration(tower, small.preprocessing, GpsConfiguration()), seed=0), path)
    return path


def milliseconds(call: Callable[[int], object], calls: int) -> dict[str, float]:
    for warm in range(20):
        call(warm)
    taken = []
    for number in range(calls):
        began = time.perf_counter()
        call(number)
        taken.append((time.perf_counter() - began) * 1e3)
    return {f"p{p}": round(float(np.percentile(taken, p)), 2) for p in (50, 95, 99)}


def requests(scorer: Scorer, count: int) -> list[pb.ScoreRequest]:
    """Each with fresh places: nothing could be remembered from one call to the next."""
    generator = np.random.default_rng(0)
    vector = generator.normal(size=scorer.model.dimension)
    values = (vector / np.linalg.norm(vector)).astype("<f4").tobytes()
    return [
        pb.ScoreRequest(
            gps_aligned=Vector(values=values, dimension=scorer.model.dimension),
            candidates=[
                Coordinates(latitude=generator.uniform(-90, 90), longitude=generator.uniform(-180, 180))
                for _ in range(CANDIDATES)
            ],
            model=scorer.model.fingerprint,
        )
        for _ in range(count)
    ]


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--calls", type=int, default=300)
    arguments.add_argument("--threads", type=int, default=0, help="threads of one forward pass; 0: torch decides")
    arguments.add_argument("--json", action="store_true")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scorer = TorchScorer(checkpoint(Path(folder)), "cpu", threads=chosen.threads)
    shelf = tempfile.TemporaryDirectory()
    galleries = Galleries(scorer, Shelf(Path(shelf.name)))
    serving = server(scorer, galleries, Health(), host="127.0.0.1", port=0)
    serving.start()
    try:
        with closing(grpc_client.channel(f"127.0.0.1:{serving.port}")) as channel:
            stub, asked = VerificationServiceStub(channel), requests(scorer, 50)
            through_grpc = milliseconds(lambda number: stub.Score(asked[number % 50], timeout=10), chosen.calls)
    finally:
        serving.stop(0)
        galleries.close()
        shelf.cleanup()
    plain, places = GpsModel(GpsConfiguration(), 768).eval(), torch.rand(CANDIDATES, 2, dtype=torch.float64) * 90
    forward = milliseconds(lambda _: plain.encode_gps(places), chosen.calls)
    met = through_grpc["p50"] < WANTED_MS
    report = {
        "candidates": CANDIDATES,
        "threads": torch.get_num_threads(),
        "grpc_ms": through_grpc,
        "forward_ms": forward,
        "wanted_ms": WANTED_MS,
        "met": met,
    }
    if chosen.json:
        print(json.dumps(report))
    else:
        print(f"Score of {CANDIDATES} candidates, {report['threads']} threads, {chosen.calls} calls")
        print(
            f"  through gRPC  p50 {through_grpc['p50']} ms, p95 {through_grpc['p95']} ms, p99 {through_grpc['p99']} ms"
        )
        print(f"  forward pass  p50 {forward['p50']} ms, p95 {forward['p95']} ms, p99 {forward['p99']} ms")
        print(f"  wanted: p50 under {WANTED_MS:g} ms: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
