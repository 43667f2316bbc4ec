"""Ready-made vectors into Milvus: through `RetrievalService.Upsert` against the raw client, side by side in one run.

    python tests/load/retrieval_insert.py [--server core] [--dimension 768] [--rows 10000] [--rounds 5]

Both write the same rows in the same batches to the same server, one caller each, into a collection of their own, batch
by batch in turn: the two of a pair lie within a second of each other, so that other work on the machine meets both, and
which of them is first changes from pair to pair. The raw client inserts; the room upserts, which is what lets a worker
repeat a batch, and checks every vector and text on the way. Aim: at least 0.8 of the raw client's rate, the median of
all pairs; the quartiles beside it say what that median is worth.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from g3_geography import Coordinates, Place
from g3_kit import grpc_client
from g3_kit.errors import Unavailable
from g3_protos.geography.v1 import geography_pb2
from g3_protos.retrieval.v1 import retrieval_pb2 as pb
from g3_protos.retrieval.v1.retrieval_pb2_grpc import RetrievalServiceStub
from g3_protos.vector.v1 import vector_pb2
from g3_retrieval.milvus_schema import columns, schema
from g3_retrieval.references import Reference, ReferenceVectors, Vectors
from pymilvus import MilvusClient

from tests.servers.milvus import free_port, milvus_core, milvus_lite

MODEL, BATCH, WANTED = "5" * 64, 1_000, 0.8


def unit(generator: np.random.Generator, *shape: int) -> Vectors:
    rows = generator.normal(size=shape)
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def batch(number: int, dimension: int) -> ReferenceVectors:
    """The rows that both sides write."""
    rows = tuple(
        Reference(f"ab/cd/photo-{n:07}.jpg", Coordinates(n % 90, n % 180), Place("a city", "a state", "France", "FR"))
        for n in range(number * BATCH, (number + 1) * BATCH)
    )
    clip, text_aligned, gps_aligned = unit(np.random.default_rng(number), 3, BATCH, dimension)
    return ReferenceVectors(rows, clip, text_aligned, gps_aligned)


def request(collection: str, drawn: ReferenceVectors) -> pb.UpsertRequest:
    """A batch as a message, made before anything is timed."""

    def vector(values: Vectors) -> vector_pb2.Vector:
        return vector_pb2.Vector(values=values.astype("<f4").tobytes(), dimension=len(values))

    made = pb.UpsertRequest(collection=collection, model=MODEL)
    for row, reference in enumerate(drawn.references):
        where, place = reference.coordinates, reference.place
        made.references.add(
            reference=pb.Reference(
                id=reference.id,
                coordinates=geography_pb2.Coordinates(latitude=where.latitude, longitude=where.longitude),
                place=geography_pb2.Place(
                    city=place.city, state=place.state, country=place.country, country_code=place.country_code
                ),
                author=reference.author,
            ),
            vectors=vector_pb2.ImageVectors(
                clip=vector(drawn.clip[row]),
                text_aligned=vector(drawn.text_aligned[row]),
                gps_aligned=vector(drawn.gps_aligned[row]),
            ),
        )
    return made


@contextmanager
def room(uri: str) -> Iterator[RetrievalServiceStub]:
    port = free_port()
    told = {"G3_MILVUS_URI": uri, "G3_RETRIEVAL_PORT": str(port), "G3_LOG_LEVEL": "WARNING"}
    process = subprocess.Popen([sys.executable, "-m", "g3_retrieval"], env={**os.environ, **told})
    try:
        with closing(grpc_client.channel(f"127.0.0.1:{port}")) as channel:
            stub, ends = RetrievalServiceStub(channel), time.monotonic() + 60
            while True:
                try:
                    stub.ListCollections(pb.ListCollectionsRequest(), timeout=10)
                    break
                except Unavailable:
                    if time.monotonic() > ends:
                        raise
                    time.sleep(0.2)
            yield stub
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@dataclass
class Side:
    """One of the two: `write` writes batch `number` to the collection of round `turn`, after `open`, before `drop`."""

    open: Callable[[int], None]
    write: Callable[[int, int], None]
    drop: Callable[[int], None]


def raw(client: MilvusClient, batches: list[ReferenceVectors]) -> Side:
    """The raw client, each batch as rows that it takes as they are."""
    width = 3 * batches[0].dimension
    rows = [
        [
            {"id": reference.id, "vector": vector, **columns(reference)}
            for reference, vector in zip(drawn.references, drawn.stored(), strict=True)
        ]
        for drawn in batches
    ]

    def opened(turn: int) -> None:
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        client.create_collection(f"raw_{turn}", schema=schema(width), index_params=index, consistency_level="Strong")

    def write(turn: int, number: int) -> None:
        assert client.insert(f"raw_{turn}", rows[number])["insert_count"] == BATCH

    return Side(opened, write, lambda turn: client.drop_collection(f"raw_{turn}"))


def served(stub: RetrievalServiceStub, batches: list[ReferenceVectors]) -> Side:
    """The room."""
    requests = [request("", drawn) for drawn in batches]

    def opened(turn: int) -> None:
        wanted = pb.CreateCollectionRequest(collection=f"v{turn}", dimension=batches[0].dimension, model=MODEL)
        stub.CreateCollection(wanted)
        for each in requests:
            each.collection = f"v{turn}"

    def write(turn: int, number: int) -> None:
        answer = stub.Upsert(requests[number], timeout=120)
        assert (answer.written, len(answer.errors)) == (BATCH, 0)

    def drop(turn: int) -> None:
        stub.Drop(pb.DropRequest(collection=f"v{turn}"), timeout=60)

    return Side(opened, write, drop)


def round_of(sides: tuple[Side, Side], turn: int, batches: int) -> list[tuple[float, float]]:
    """Seconds of each pair of batches: the raw client's, the room's."""
    pairs = []
    for side in sides:
        side.open(turn)
    for number in range(batches):
        took = [0.0, 0.0]
        for which in (0, 1) if (turn + number) % 2 else (1, 0):
            began = time.perf_counter()
            sides[which].write(turn, number)
            took[which] = time.perf_counter() - began
        pairs.append((took[0], took[1]))
    for side in sides:
        side.drop(turn)
    return pairs


def measured(server: str, dimension: int, rows: int, rounds: int) -> dict[str, float | str]:
    batches = [batch(number, dimension) for number in range(rows // BATCH)]
    start = milvus_core if server == "core" else milvus_lite
    with (
        tempfile.TemporaryDirectory() as folder,
        start(Path(folder)) as uri,
        room(uri) as stub,
        closing(MilvusClient(uri)) as client,
    ):
        sides = raw(client, batches), served(stub, batches)
        round_of(sides, 0, 1)  # warm
        pairs = [pair for turn in range(1, rounds + 1) for pair in round_of(sides, turn, len(batches))]
    ratios = [plain / through for plain, through in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "server": server,
        "dimension": dimension,
        "pairs": len(pairs),
        "raw_per_s": round(BATCH / statistics.median(plain for plain, _ in pairs)),
        "room_per_s": round(BATCH / statistics.median(through for _, through in pairs)),
        "ratio": round(middle, 3),
        "ratio_of_sums": round(sum(plain for plain, _ in pairs) / sum(through for _, through in pairs), 3),
        "quartiles": f"{low:.3f} to {high:.3f}",
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", choices=["lite", "core"], default="lite")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    told = parser.parse_args()
    found = measured(told.server, told.dimension, told.rows, told.rounds)
    print(json.dumps(found))
    print(f"ratio {found['ratio']} (quartiles {found['quartiles']}), wanted at least {WANTED}")
    return 0 if float(found["ratio"]) >= WANTED else 1


if __name__ == "__main__":
    raise SystemExit(main())
