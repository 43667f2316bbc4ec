"""EmbedImages against the plain model on the same photos: ViT-B/32 with random weights, decoding on both sides.

    python tests/load/embedding_throughput.py [--photos 192] [--rounds 5] [--callers 32] [--threads 2] [--json]

Wanted: with 32 callers at least 0.90 of the plain model's photos per second; one call alone at most 5 ms over a direct
call. The room is a process of its own, called over a real socket by threads of this one, one photo a call. The plain
model reads, preprocesses and encodes the photos here, in batches of the same size, with as many torch threads and as
many decoding threads, in two ways: in turns (decode a batch, encode it) and overlapped (decode the next batch while
this one is encoded); the faster counts. Rounds alternate, so that what else the machine does falls on all; medians.
"""

import argparse
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import g3_photo
import numpy as np
import torch
from g3_alignment import AlignmentModel, PhotoPreprocessor, initialise, preset, save
from g3_kit import grpc_client
from g3_protos.embedding.v1 import embedding_pb2 as pb
from g3_protos.embedding.v1.embedding_pb2_grpc import EmbeddingServiceStub
from g3_world import photo as rendered
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

A_BATCH = 32
WANTED_RATIO = 0.90
WANTED_OVER_MS = 5.0
_PAUSE_S = 0.03
CLIP_ROWS = NDArray[np.float32]


def photographs(count: int) -> list[bytes]:
    """JPEGs of 640 by 480 pixels from the procedural world, all different."""
    generator = np.random.default_rng(0)
    files = []
    for seed in range(count):
        pixels = rendered(float(generator.uniform(-60, 70)), float(generator.uniform(-180, 180)), seed, 512)
        file = io.BytesIO()
        Image.fromarray(pixels[64:448]).resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


class Plain:
    """The model as a careful script would use it."""

    def __init__(self, model: AlignmentModel, threads: int) -> None:
        self._model = model
        self._preprocessor = PhotoPreprocessor(model.configuration.preprocessing)
        self._pool = ThreadPoolExecutor(threads)

    def _pixels(self, photo: bytes) -> Tensor:
        return self._preprocessor.pixels(g3_photo.read(photo))

    def one(self, photo: bytes) -> CLIP_ROWS:
        with torch.inference_mode():
            return self._model.encode_image(self._pixels(photo)[None]).clip.numpy()

    def in_turns(self, photos: Sequence[bytes]) -> CLIP_ROWS:
        rows = []
        for start in range(0, len(photos), A_BATCH):
            pixels = list(self._pool.map(self._pixels, photos[start : start + A_BATCH]))
            with torch.inference_mode():
                rows.append(self._model.encode_image(torch.stack(pixels)).clip.numpy())
        return np.concatenate(rows)

    def overlapped(self, photos: Sequence[bytes]) -> CLIP_ROWS:
        rows = []
        batches = [photos[start : start + A_BATCH] for start in range(0, len(photos), A_BATCH)]
        decoding = [self._pool.submit(self._pixels, photo) for photo in batches[0]]
        for following in [*batches[1:], []]:
            pixels = [future.result() for future in decoding]
            decoding = [self._pool.submit(self._pixels, photo) for photo in following]
            with torch.inference_mode():
                rows.append(self._model.encode_image(torch.stack(pixels)).clip.numpy())
        return np.concatenate(rows)


class Service:
    """The room, called by as many threads as there are callers."""

    def __init__(self, stub: EmbeddingServiceStub, callers: int) -> None:
        self._stub = stub
        self._pool = ThreadPoolExecutor(callers)

    def one(self, photo: bytes) -> CLIP_ROWS:
        response = self._stub.EmbedImages(pb.EmbedImagesRequest(images=[photo]), timeout=60)
        return np.frombuffer(response.results[0].vectors.clip.values, "<f4")[None]

    def all(self, photos: Sequence[bytes]) -> CLIP_ROWS:
        return np.concatenate(list(self._pool.map(self.one, photos)))


@contextmanager
def serving(checkpoint: Path, threads: int) -> Iterator[EmbeddingServiceStub]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {
        "G3_CHECKPOINT": str(checkpoint),
        "G3_DEVICE": "cpu",
        "G3_EMBEDDING_PORT": str(port),
        "G3_EMBEDDING_PHOTOS_A_BATCH": str(A_BATCH),
        "G3_EMBEDDING_DECODERS": str(threads),
        "G3_TORCH_THREADS": str(threads),
        "G3_LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen([sys.executable, "-m", "g3_embedding"], env={**os.environ, **environment})
    try:
        with closing(grpc_client.channel(f"127.0.0.1:{port}")) as channel:
            stub = EmbeddingServiceStub(channel)
            stub.DescribeModel(pb.DescribeModelRequest(), wait_for_ready=True, timeout=120)
            yield stub
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def throughput(plain: Plain, service: Service, photos: Sequence[bytes], rounds: int) -> dict[str, float]:
    ways = {"service": service.all, "in_turns": plain.in_turns, "overlapped": plain.overlapped}
    warm = photos[: 2 * A_BATCH]
    vectors = {name: way(warm) for name, way in ways.items()}
    worst = float(np.einsum("nd,nd->n", vectors["service"], vectors["in_turns"]).min())
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        order = list(ways) if number % 2 == 0 else list(ways)[::-1]
        for name in order:
            taken[name].append(len(photos) / seconds(lambda way=ways[name]: way(photos)))  # type: ignore[misc]
            sys.stderr.write(f"round {number + 1} of {rounds}: {name} {taken[name][-1]:.1f} photos/s\n")
    rates = {name: statistics.median(values) for name, values in taken.items()}
    best = max(rates["in_turns"], rates["overlapped"])
    return {
        **{f"{name}_per_s": round(rate, 2) for name, rate in rates.items()},
        "ratio": round(rates["service"] / best, 3),
        "least_cosine": round(worst, 6),
    }


def latency(plain: Plain, service: Service, photos: Sequence[bytes]) -> dict[str, float]:
    taken: dict[str, list[float]] = {"direct": [], "call": []}
    for photo in photos:
        # OpenMP's threads spin for some milliseconds after their work: let neither side run beside the other's.
        time.sleep(_PAUSE_S)
        taken["direct"].append(seconds(lambda photo=photo: plain.one(photo)) * 1e3)  # type: ignore[misc]
        time.sleep(_PAUSE_S)
        taken["call"].append(seconds(lambda photo=photo: service.one(photo)) * 1e3)  # type: ignore[misc]
    medians = {name: statistics.median(values[5:]) for name, values in taken.items()}
    return {
        "direct_ms": round(medians["direct"], 2),
        "call_ms": round(medians["call"], 2),
        "over_ms": round(medians["call"] - medians["direct"], 2),
    }


def main() -> int:
    """Exit status 1 when a wanted figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    photos = photographs(options.photos)
    model = initialise(preset("vit-b-32"), seed=0)
    plain = Plain(model, options.threads)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "vit-b-32.safetensors"
        save(model, checkpoint)
        with serving(checkpoint, options.threads) as stub:
            service = Service(stub, options.callers)
            figures = {
                "photos": options.photos,
                "callers": options.callers,
                "threads": options.threads,
                **throughput(plain, service, photos, options.rounds),
                **latency(plain, service, photos[:45]),
            }
    reached = figures["ratio"] >= WANTED_RATIO and figures["over_ms"] <= WANTED_OVER_MS
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:>18} {value}")
        print(f"wanted: ratio >= {WANTED_RATIO}, over_ms <= {WANTED_OVER_MS}: {'reached' if reached else 'MISSED'}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
