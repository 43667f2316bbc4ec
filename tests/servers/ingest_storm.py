"""An ingest run of ready-made vectors through the whole stack, and processes that are killed in the middle of it."""

import csv
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from g3_client import Ingest
from g3_kit import grpc_client
from g3_protos.retrieval.v1 import retrieval_pb2, retrieval_pb2_grpc

from tests.servers.stack import LocalStack, eventually

MODEL = "f" * 64
WIDTH = 128
_PAGE = 1000
_MIB = 2**20


def write_vectors(folder: Path, count: int, *, repeated: int = 0) -> Path:
    """A source of random unit vectors, float32 [count, 3, 128]; its last `repeated` rows have ids of earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    array = np.lib.format.open_memmap(folder / "v.npy", mode="w+", dtype=np.float32, shape=(count, 3, WIDTH))
    draw = np.random.default_rng(7)
    for start in range(0, count, 10_000):
        part = draw.standard_normal((min(10_000, count - start), 3, WIDTH), dtype=np.float32)
        array[start : start + len(part)] = part / np.linalg.norm(part, axis=2, keepdims=True)
    array.flush()
    (folder / "v.json").write_text(json.dumps({"model": MODEL}))
    where = draw.random((count, 2)) * [160, 350] - [80, 175]
    with (folder / "v.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["img_id", "latitude", "longitude", "city", "country", "country_code", "author"])
        for row, (latitude, longitude) in enumerate(where.tolist()):
            number = row if row < count - repeated else row - (count - repeated)
            writer.writerow(
                [f"{number:07d}", f"{latitude:.6f}", f"{longitude:.6f}", "X", "Y", "FR", f"author {number % 97}"]
            )
    return folder / "v.npy"


@dataclass
class Storm:
    """What a run was seen to do. Memory in MiB: resident size of the ingest worker by rows read."""

    run: Ingest
    seconds: float
    killed: list[str]
    ids: list[str]
    memory: list[tuple[int, float]] = field(default_factory=list)


def storm(
    stack: LocalStack,
    source: Path,
    *,
    collection: str,
    kills: Sequence[tuple[float, str]],
    shards: int,
    within_s: float,
) -> Storm:
    """Ingests `source` and kills a process with SIGKILL whenever a share of its rows is read: (share, process)."""
    waiting, killed, memory = sorted(kills), [], []
    with stack.client() as g3:
        began = time.monotonic()
        run = g3.submit_ingest(
            str(source),
            table=str(source.with_suffix(".csv")),
            collection=collection,
            alias=collection + "_alias",
            shards=shards,
            at_once=2,
        )
        while not run.ended:
            assert time.monotonic() - began < within_s, run
            time.sleep(0.1)
            run = g3.ingest(run)
            share = run.total.read / run.plan.rows if run.plan else 0.0
            if waiting and share >= waiting[0][0]:
                killed.append(_kill(stack, waiting.pop(0)[1]))
            elif (pid := stack.processes()["ingest"]["pid"]) is not None:
                memory += [(run.total.read, size)] if (size := _resident_mib(pid)) else []
        seconds = time.monotonic() - began
    eventually(
        lambda: all(process["ready"] for process in stack.processes().values()), within_s=90, what="everything ready"
    )
    return Storm(run, seconds, killed, ids_of(stack, collection), memory)


def ids_of(stack: LocalStack, collection: str) -> list[str]:
    """Every id that a collection holds, as its index lists them."""
    found: list[str] = []
    with grpc_client.channel(stack.address("retrieval"), deadline_s=60) as channel:
        stub, token = retrieval_pb2_grpc.RetrievalServiceStub(channel), ""
        while True:
            request = retrieval_pb2.ListReferencesRequest(collection=collection, page_size=_PAGE, page_token=token)
            page = stub.ListReferences(request)
            found += [reference.id for reference in page.references]
            token = page.next_page_token
            if not token:
                return found


def _kill(stack: LocalStack, process: str) -> str:
    pid = stack.processes()[process]["pid"]
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    return process if pid is not None else f"{process} (was down)"


def _resident_mib(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss) / _MIB
    except psutil.NoSuchProcess:
        return 0.0
