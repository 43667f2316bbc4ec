"""An ingest run through the job path beside what it stands on: the embedding service for photos, Milvus for vectors.

    python tests/load/ingest_rate.py [--photos 3000] [--rows 40000] [--rounds 3] [--json]

Wanted: photos at 0.9 of the rate at which the embedding service embeds the same cleaned photos when nothing else is
done, ready-made vectors (3 of width 128) at 0.8 of the raw client's insert rate, and the same memory of the worker over
the last tenth as over the first 10,000 references. A run's time is that of its shards: planning and publishing are told
apart. Each pair is measured side by side in one round; the figures are medians of the rounds.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from g3_client import Ingest
from g3_kit import grpc_client
from g3_photo import clean
from g3_protos.embedding.v1 import embedding_pb2, embedding_pb2_grpc
from g3_world.dataset import write_photos
from g3_world.plan import Plan
from pymilvus import DataType, MilvusClient

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.servers.ingest_storm import WIDTH, write_vectors
from tests.servers.stack import LocalStack

WANTED_PHOTOS, WANTED_VECTORS, WANTED_MEMORY = 0.9, 0.8, 1.15
_BATCH, _CALLERS, _INSERTED = 32, 2, 1000
_MIB = 2**20
_names = count(1)


def filled_s(stack: LocalStack, **spec: Any) -> tuple[float, list[tuple[int, float]]]:
    """Seconds that the shards of a run took, and the worker's resident MiB by rows read."""
    memory: list[tuple[int, float]] = []
    worker = psutil.Process(int(stack.processes()["ingest"]["pid"]))
    began, ended = 0.0, 0.0
    with stack.client() as g3:
        name = f"bench_{next(_names)}"
        run: Ingest = g3.submit_ingest(collection=name, alias=f"{name}_alias", **spec)
        while not run.ended:
            time.sleep(0.05)
            run = g3.ingest(run)
            now = time.monotonic()
            if run.state == "filling" and not began:
                began = now
            if run.state in ("publishing", "succeeded") and not ended:
                ended = now
            memory.append((run.total.read, worker.memory_info().rss / _MIB))
    assert run.succeeded, run.failure
    assert run.total.written == run.total.read
    return ended - began, memory


def embedded_s(stack: LocalStack, photos: list[bytes]) -> float:
    """Seconds in which the embedding service alone embeds the photos, two callers at a time."""
    batches = [photos[start : start + _BATCH] for start in range(0, len(photos), _BATCH)]
    with grpc_client.channel(stack.address("embedding"), deadline_s=120) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)

        def embed(batch: list[bytes]) -> int:
            return len(stub.EmbedImages(embedding_pb2.EmbedImagesRequest(images=batch)).results)

        began = time.monotonic()
        with ThreadPoolExecutor(_CALLERS) as pool:
            assert sum(pool.map(embed, batches)) == len(photos)
        return time.monotonic() - began


def inserted_s(stack: LocalStack, vectors: Path) -> float:
    """Seconds in which the raw client inserts the same rows into the same Milvus, 1,000 a call."""
    client = MilvusClient(uri=f"http://{stack.address('milvus')}")
    name = f"raw_{next(_names)}"
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=200)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=3 * WIDTH)
    for number in ("latitude", "longitude"):
        schema.add_field(number, DataType.DOUBLE)
    for text in ("city", "state", "country", "country_code", "author"):
        schema.add_field(text, DataType.VARCHAR, max_length=200)
    params = MilvusClient.prepare_index_params()
    params.add_index("vector", index_type="FLAT", metric_type="IP")
    client.create_collection(name, schema=schema, index_params=params)
    array = np.load(vectors, mmap_mode="r")
    texts = {"city": "X", "state": "", "country": "Y", "country_code": "FR", "author": "author 1"}
    began = time.monotonic()
    for start in range(0, len(array), _INSERTED):
        part = np.ascontiguousarray(array[start : start + _INSERTED]).reshape(-1, 3 * WIDTH)
        rows = [
            {"id": f"{start + place:07d}", "vector": vector, "latitude": 1.0, "longitude": 2.0, **texts}
            for place, vector in enumerate(part)
        ]
        client.insert(name, rows)
    took = time.monotonic() - began
    client.drop_collection(name)
    client.close()
    return took


def measure(folder: Path, photos: int, rows: int, rounds: int) -> dict[str, Any]:
    """Both pairs, round by round."""
    place, vectors = folder / "photos", write_vectors(folder / "vectors", rows)
    table = write_photos(Plan(photos, 3), place)
    cleaned = [clean(path.read_bytes()).jpeg for path in sorted(place.rglob("*.jpg"))]
    pairs: dict[str, list[float]] = {"embedding": [], "photos": [], "raw": [], "vectors": []}
    memory: list[tuple[int, float]] = []
    with LocalStack(folder / "g3") as stack:
        work: dict[str, Callable[[], float]] = {
            "embedding": lambda: embedded_s(stack, cleaned),
            "photos": lambda: filled_s(stack, source=str(place), table=str(table), shards=4)[0],
            "raw": lambda: inserted_s(stack, vectors),
        }
        for _ in range(rounds):
            for name, once in work.items():
                pairs[name].append(once())
            seconds, seen = filled_s(stack, source=str(vectors), table=str(vectors.with_suffix(".csv")), shards=4)
            pairs["vectors"].append(seconds)
            memory = memory or seen
    at = {"embedding": photos, "photos": photos, "raw": rows, "vectors": rows}
    rates = {name: [at[name] / seconds for seconds in taken] for name, taken in pairs.items()}
    early = max((size for read, size in memory if read <= 10_000), default=0.0)
    late = max(size for read, size in memory if read >= 0.9 * rows)
    ratios = {
        "photos": statistics.median(a / b for a, b in zip(rates["photos"], rates["embedding"], strict=True)),
        "vectors": statistics.median(a / b for a, b in zip(rates["vectors"], rates["raw"], strict=True)),
        "memory": late / early,
    }
    return {
        "per_second": {name: round(statistics.median(found), 1) for name, found in rates.items()},
        "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "worker_mib": {"up_to_10000": round(early), "last_tenth": round(late)},
        "met": ratios["photos"] >= WANTED_PHOTOS
        and ratios["vectors"] >= WANTED_VECTORS
        and ratios["memory"] <= WANTED_MEMORY,
    }


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one line")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="g3-load-") as name:
        # PostgreSQL runs as another user when the stack is started by root.
        Path(name).chmod(0o755)
        figures = measure(Path(name), asked.photos, asked.rows, asked.rounds)
    print(json.dumps(figures, indent=None if asked.json else 2))
    return 0 if figures["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
