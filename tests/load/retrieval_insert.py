"""Ready-made vectors into Milvus: through `RetrievalService.Upsert` against the raw client, side by side in one run.

    python tests/load/retrieval_insert.py [--server core] [--dimension 768] [--rows 10000] [--rounds 5]

Both write the same rows in the same batches to the same server, one caller each, taking turns; every turn fills a
collection of its own. The raw client inserts; the room upserts, which is what lets a worker repeat a batch, and checks
every vector and text on the way. Aim: at least 0.8 of the raw client's rate, the median of the rounds.
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
from collections.abc import Iterator
from contextlib import closing, contextmanager
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


def raw(client: MilvusClient, name: str, batches: list[ReferenceVectors]) -> float:
    """Rows a second of the raw client, each batch as rows that it takes as they are."""
    index = MilvusClient.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="IP")
    width = 3 * batches[0].dimension
    client.create_collection(name, schema=schema(width), index_params=index, consistency_level="Strong")
    rows = [
        [
            {"id": reference.id, "vector": vector, **columns(reference)}
            for reference, vector in zip(drawn.references, drawn.stored(), strict=True)
        ]
        for drawn in batches
    ]
    began = time.perf_counter()
    for some in rows:
        assert client.insert(name, some)["insert_count"] == BATCH
    rate = BATCH * len(rows) / (time.perf_counter() - began)
    client.drop_collection(name)
    return rate


def served(stub: RetrievalServiceStub, name: str, batches: list[ReferenceVectors]) -> float:
    """Rows a second through the room."""
    stub.CreateCollection(pb.CreateCollectionRequest(collection=name, dimension=batches[0].dimension, model=MODEL))
    requests = [request(name, drawn) for drawn in batches]
    began = time.perf_counter()
    for each in requests:
        answer = stub.Upsert(each, timeout=120)
        assert (answer.written, len(answer.errors)) == (BATCH, 0)
    rate = BATCH * len(requests) / (time.perf_counter() - began)
    stub.Drop(pb.DropRequest(collection=name), timeout=60)
    return rate


def measured(server: str, dimension: int, rows: int, rounds: int) -> dict[str, float | str]:
    batches = [batch(number, dimension) for number in range(rows // BATCH)]
    start = milvus_core if server == "core" else milvus_lite
    pairs = []
    with (
        tempfile.TemporaryDirectory() as folder,
        start(Path(folder)) as uri,
        room(uri) as stub,
        closing(MilvusClient(uri)) as client,
    ):
        raw(client, "warm", batches[:1]), served(stub, "warmer", batches[:1])
        for turn in range(rounds):
            if turn % 2:
                through = served(stub, f"v{turn}", batches)
                plain = raw(client, f"raw_{turn}", batches)
            else:
                plain = raw(client, f"raw_{turn}", batches)
                through = served(stub, f"v{turn}", batches)
            pairs.append((plain, through))
    ratios = [through / plain for plain, through in pairs]
    return {
        "server": server,
        "dimension": dimension,
        "rows": rows,
        "raw_per_s": round(statistics.median(plain for plain, _ in pairs)),
        "room_per_s": round(statistics.median(through for _, through in pairs)),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
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
    print(f"ratio {found['ratio']} ({found['ratio_min']} to {found['ratio_max']}), wanted at least {WANTED}")
    return 0 if float(found["ratio"]) >= WANTED else 1


if __name__ == "__main__":
    raise SystemExit(main())
