"""An ingest run through the job path beside what it stands on: the embedding service for photos, Milvus for vectors.

    python tests/load/ingest_rate.py [--photos 256] [--small 4000] [--rows 40000] [--rounds 3] [--json]

Wanted: photos at 0.9 of the rate at which the embedding service embeds the same cleaned photos when nothing else is
done (by two or four callers, whichever were faster at first), ready-made vectors (3 of width 128) at 0.8 of the raw
client's insert rate, and the same memory of the worker over the last tenth as over the first 10,000 references. A run's
time is that of its shards: planning and publishing are told apart. Each pair is measured side by side in one round; the
figures are medians of the rounds. `--photos`, `--small` or `--rows` 0 leaves that part out.

Photos are measured twice: of 512 px with ViT-B/32, which has the aim, and of 64 px with the demo model. That one takes
a millisecond a photo and shares its cores with everything else, so that the processor time a photo of each process
stands beside it: the ratio cannot be above the share of the model's in it once the cores are full.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from g3_alignment import initialise, preset, save
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
_BATCH, _CALLERS, _INSERTED, _SHARDS = 32, (2, 4), 1000, 2
_MIB = 2**20
_names = count(1)


@dataclass
class Filled:
    """The shards of a run: seconds, processor seconds by process, the worker's resident MiB by rows read."""

    seconds: float
    processor_s: dict[str, float]
    memory: list[tuple[int, float]]


def filled(stack: LocalStack, **spec: Any) -> Filled:
    """Works a run to its end."""
    memory: list[tuple[int, float]] = []
    worker = psutil.Process(int(stack.processes()["ingest"]["pid"]))
    began: tuple[float, dict[str, float]] | None = None
    ended = began
    with stack.client() as g3:
        name = f"bench_{next(_names)}"
        run: Ingest = g3.submit_ingest(collection=name, alias=f"{name}_alias", shards=_SHARDS, **spec)
        while not run.ended:
            time.sleep(0.2)  # a look costs the API four milliseconds of the same cores
            run = g3.ingest(run)
            if run.state == "filling" and began is None:
                began = (time.monotonic(), processor_s(stack))
            if run.state in ("publishing", "succeeded") and ended is None:
                ended = (time.monotonic(), processor_s(stack))
            memory.append((run.total.read, worker.memory_info().rss / _MIB))
    assert run.succeeded, run.failure
    assert run.total.written == run.total.read
    assert began is not None
    assert ended is not None
    taken = {name: ended[1][name] - began[1][name] for name in ended[1]}
    return Filled(ended[0] - began[0], taken, memory)


def processor_s(stack: LocalStack) -> dict[str, float]:
    """What each process of the stack has used until now, with its children."""
    used = {}
    for name, process in stack.processes().items():
        parent = psutil.Process(int(process["pid"]))
        times = [each.cpu_times() for each in (parent, *parent.children(recursive=True))]
        used[name] = sum(each.user + each.system for each in times)
    return used


def embedded_s(stack: LocalStack, photos: list[bytes], callers: int) -> float:
    """Seconds in which the embedding service alone embeds the photos."""
    batches = [photos[start : start + _BATCH] for start in range(0, len(photos), _BATCH)]
    with grpc_client.channel(stack.address("embedding"), deadline_s=120) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)

        def embed(batch: list[bytes]) -> int:
            return len(stub.EmbedImages(embedding_pb2.EmbedImagesRequest(images=batch)).results)

        began = time.monotonic()
        with ThreadPoolExecutor(callers) as pool:
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


def of_photos(folder: Path, count: int, size: int, model: str, rounds: int) -> dict[str, Any]:
    """Photos of `size` px through runs beside the embedding service alone, which serves `model` ("": the demo's)."""
    place, settings = folder / "photos", {}
    table = write_photos(Plan(count, 3, size=size), place, jobs=os.cpu_count() or 1)
    cleaned = [clean(path.read_bytes()).jpeg for path in sorted(place.rglob("*.jpg"))]
    if model:
        save(initialise(preset(model), seed=0), folder / "model.safetensors")
        settings["G3_CHECKPOINT"] = str(folder / "model.safetensors")
    alone: list[float] = []
    runs: list[Filled] = []
    with LocalStack(folder / "g3", settings) as stack:
        few = cleaned[: max(4 * _BATCH, count // 4)]
        embedded_s(stack, few[:_BATCH], 1)  # the first pass builds what the later ones use
        callers = min(_CALLERS, key=lambda some: embedded_s(stack, few, some))
        for _ in range(rounds):
            alone.append(embedded_s(stack, cleaned, callers))
            runs.append(filled(stack, source=str(place), table=str(table)))
    milliseconds = {
        name: round(statistics.median(run.processor_s[name] for run in runs) / count * 1000, 3)
        for name in runs[0].processor_s
    }
    return {
        "alone_per_s": round(count / statistics.median(alone), 1),
        "callers": callers,
        "run_per_s": round(count / statistics.median(run.seconds for run in runs), 1),
        "ratio": round(statistics.median(b / run.seconds for b, run in zip(alone, runs, strict=True)), 3),
        "ratios": [round(b / run.seconds, 3) for b, run in zip(alone, runs, strict=True)],
        "processor_ms_a_photo": {name: spent for name, spent in milliseconds.items() if spent >= 0.01},
    }


def of_vectors(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Ready-made vectors through runs beside the raw client."""
    vectors = write_vectors(folder / "vectors", rows)
    raw: list[float] = []
    runs: list[Filled] = []
    with LocalStack(folder / "g3") as stack:
        for _ in range(rounds):
            raw.append(inserted_s(stack, vectors))
            runs.append(filled(stack, source=str(vectors), table=str(vectors.with_suffix(".csv"))))
    seen = runs[0].memory
    early = max((size for read, size in seen if read <= 10_000), default=0.0)
    late = max(size for read, size in seen if read >= 0.9 * rows)
    return {
        "raw_per_s": round(rows / statistics.median(raw), 1),
        "run_per_s": round(rows / statistics.median(run.seconds for run in runs), 1),
        "ratio": round(statistics.median(b / run.seconds for b, run in zip(raw, runs, strict=True)), 3),
        "worker_mib": {"up_to_10000": round(early), "last_tenth": round(late)},
        "memory": round(late / early, 3),
    }


def measure(folder: Path, asked: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The figures, and which of them miss their aim."""
    figures: dict[str, Any] = {}
    for part in ("photos", "small", "vectors"):
        (folder / part).mkdir(mode=0o755)
    if asked.photos:
        figures["photos"] = of_photos(folder / "photos", asked.photos, 512, "vit-b-32", asked.rounds)
    if asked.small:
        figures["small"] = of_photos(folder / "small", asked.small, 64, "", asked.rounds)
    if asked.rows:
        figures["vectors"] = of_vectors(folder / "vectors", asked.rows, asked.rounds)
    missed = []
    if asked.photos and figures["photos"]["ratio"] < WANTED_PHOTOS:
        missed.append(f"photos {figures['photos']['ratio']} of the embedding service, wanted {WANTED_PHOTOS}")
    if asked.rows and figures["vectors"]["ratio"] < WANTED_VECTORS:
        missed.append(f"vectors {figures['vectors']['ratio']} of the raw client, wanted {WANTED_VECTORS}")
    if asked.rows and figures["vectors"]["memory"] > WANTED_MEMORY:
        missed.append(f"memory grew {figures['vectors']['memory']} times, wanted at most {WANTED_MEMORY}")
    return figures, missed


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--small", type=int, default=4000)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one line")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="g3-load-") as name:
        # PostgreSQL runs as another user when the stack is started by root.
        Path(name).chmod(0o755)
        figures, missed = measure(Path(name), asked)
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({**figures, "load": load, "missed": missed}, indent=None if asked.json else 2))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
