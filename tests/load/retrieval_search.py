"""Search through gRPC beside the raw Milvus client, on one milvus-lite with 20,000 references of width 3 x 128.

    python tests/load/retrieval_search.py [--references 20000] [--rounds 9] [--seconds 3] [--json]

Eight callers ask for the 15 most similar references at once, in turns of a few seconds: raw, room, raw, room, …, so
that whatever else the machine does falls on both. The room is a process of its own; the raw client asks Milvus for the
very same: same query vector, same fields, same limit (the room reads a few more to get ties right, and asks what the
alias means). Wanted: at least 0.8 of the raw client's rate, by the median over the pairs of turns.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from g3_geography import Coordinates, Place
from g3_kit import grpc_client
from g3_kit.errors import Unavailable
from g3_protos.retrieval.v1 import retrieval_pb2 as pb
from g3_protos.retrieval.v1.retrieval_pb2_grpc import RetrievalServiceStub
from g3_protos.vector.v1 import vector_pb2
from g3_retrieval.milvus_index import MilvusIndex
from g3_retrieval.milvus_schema import FIELDS
from g3_retrieval.references import ImageVectors, Reference, ReferenceVectors, RetrievalVector, Vectors
from pymilvus import MilvusClient

from tests.servers.milvus import free_port, milvus_lite

DIMENSION, CALLERS, SIMILAR, QUERIES = 128, 8, 15, 256
MODEL = "5" * 64
WANTED = 0.8


def unit(generator: np.random.Generator, *shape: int) -> Vectors:
    rows = generator.normal(size=shape)
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def fill(uri: str, references: int) -> None:
    generator = np.random.default_rng(0)
    with closing(MilvusIndex(uri)) as index:
        index.create("bench", DIMENSION, MODEL)
        for start in range(0, references, 1_000):
            rows = tuple(
                Reference(f"photo-{n:07}", Coordinates(n % 90, n % 180), Place("a city", "", "France", "FR"), f"{n}")
                for n in range(start, min(start + 1_000, references))
            )
            clip, text_aligned, gps_aligned = unit(generator, 3, len(rows), DIMENSION)
            index.upsert("bench", MODEL, ReferenceVectors(rows, clip, text_aligned, gps_aligned))
        index.publish("bench", "references")


@contextmanager
def room(uri: str) -> Iterator[str]:
    port = free_port()
    told = {"G3_MILVUS_URI": uri, "G3_RETRIEVAL_PORT": str(port), "G3_LOG_LEVEL": "WARNING"}
    process = subprocess.Popen([sys.executable, "-m", "g3_retrieval"], env={**os.environ, **told})
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def queries() -> list[ImageVectors]:
    drawn = unit(np.random.default_rng(1), QUERIES, 3, DIMENSION)
    return [ImageVectors(*three) for three in drawn]


def through_the_room(stub: RetrievalServiceStub, asked: list[ImageVectors]) -> Callable[[int], int]:
    def message(values: Vectors) -> vector_pb2.Vector:
        return vector_pb2.Vector(values=values.astype("<f4").tobytes(), dimension=DIMENSION)

    requests = [
        pb.SearchRequest(
            model=MODEL,
            similar=SIMILAR,
            vectors=vector_pb2.ImageVectors(
                clip=message(one.clip), text_aligned=message(one.text_aligned), gps_aligned=message(one.gps_aligned)
            ),
        )
        for one in asked
    ]
    return lambda number: len(stub.Search(requests[number % QUERIES], timeout=30).similar)


def through_the_raw_client(client: MilvusClient, asked: list[ImageVectors]) -> Callable[[int], int]:
    vectors = [one.query(RetrievalVector.ALL) for one in asked]

    def search(number: int) -> int:
        [hits] = client.search(
            "references",
            data=[vectors[number % QUERIES]],
            limit=SIMILAR,
            output_fields=FIELDS,
            search_params={"metric_type": "IP"},
            consistency_level="Session",
        )
        return len(hits)

    return search


def rate(search: Callable[[int], int], seconds: float) -> float:
    """Searches a second of all callers together."""
    stop = threading.Event()

    def call(caller: int) -> int:
        done = 0
        while not stop.is_set():
            assert search(caller * 31 + done) == SIMILAR
            done += 1
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        calling = [pool.submit(call, caller) for caller in range(CALLERS)]
        time.sleep(seconds)
        stop.set()
        done = sum(called.result() for called in calling)
    return done / (time.perf_counter() - began)


def ready(stub: RetrievalServiceStub) -> None:
    ends = time.monotonic() + 30
    while True:
        try:
            stub.Describe(pb.DescribeRequest(), timeout=5)
            return
        except Unavailable:
            if time.monotonic() > ends:
                raise
            time.sleep(0.2)


def measured(references: int, rounds: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, milvus_lite(Path(folder)) as uri:
        fill(uri, references)
        asked = queries()
        with room(uri) as target, closing(grpc_client.channel(target)) as channel, closing(MilvusClient(uri)) as client:
            stub = RetrievalServiceStub(channel)
            ready(stub)
            raw, served = through_the_raw_client(client, asked), through_the_room(stub, asked)
            rate(raw, 1.0), rate(served, 1.0)
            pairs = [(rate(raw, seconds), rate(served, seconds)) for _ in range(rounds)]
    ratios = [through / plain for plain, through in pairs]
    return {
        "references": references,
        "raw_per_s": round(statistics.median(plain for plain, _ in pairs), 1),
        "room_per_s": round(statistics.median(through for _, through in pairs), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--references", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    found = measured(told.references, told.rounds, told.seconds)
    if told.json:
        print(json.dumps(found))
    else:
        print(f"{'raw client':12} {found['raw_per_s']:8} searches/s\n{'room':12} {found['room_per_s']:8} searches/s")
        print(f"ratio {found['ratio']} ({found['ratio_min']} to {found['ratio_max']}), wanted at least {WANTED}")
    return 0 if found["ratio"] >= WANTED else 1


if __name__ == "__main__":
    raise SystemExit(main())
