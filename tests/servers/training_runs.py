"""Trainings in processes of their own: killed at random moments and resumed, or two that share a batch.

This program imports everything and builds the model once, with one thread, and forks for every run: a start takes
milliseconds, and no thread of OpenMP's is inherited half-way.
"""

import functools
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from g3_alignment import AlignmentConfiguration, AlignmentModel, GpsConfiguration, initialise
from g3_training import runs
from g3_training.alignment import Alignment, FeatureBatch
from g3_training.cache import Cache, CachePlan, CacheWriter
from g3_training.processes import Processes
from g3_training.recipe import Recipe
from g3_training.shards import Mapped
from g3_training.sources import WorldSource
from g3_training.table import PlaceNames
from torch import Tensor

TINY_TOWER = {
    "embed_dim": 16,
    "quick_gelu": False,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
RECIPE = {"epochs": 6, "batch": 16, "learning_rate": 1e-3, "holdout": 0.2, "patience": 0, "seed": 3}


def tiny(seed: int = 1) -> AlignmentModel:
    gps = GpsConfiguration(sigmas=(1.0, 256.0), rff_features=8, hidden=16, width=16)
    return initialise(AlignmentConfiguration.of_tower(TINY_TOWER, gps), seed)


@functools.cache
def _ready() -> AlignmentModel:
    """Built before the first fork; each fork has its own."""
    return tiny()


def features(count: int = 160, seed: int = 0) -> Cache:
    """A cache held in memory: features that depend on the place, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    places = [PlaceNames("", f"city {i}", "", f"country {i % 4}") for i in range(20)]
    place = rng.integers(0, len(places), count)
    centres = rng.uniform((-60, -180), (60, 180), (len(places), 2))
    known = rng.normal(size=(len(places), 16)).astype(np.float32)
    images = known[place] + rng.normal(size=(count, 16)).astype(np.float32)
    coordinates = centres[place] + rng.normal(scale=0.05, size=(count, 2))
    return Cache("towers", Mapped([images]), Mapped([known]), coordinates, place, places, place, f"cache {seed}")


def write_arrays(folder: Path, count: int, seed: int = 0, size: int = 32) -> Path:
    """Arrays as the procedural world writes them, of noise; two files unless there is one photo only."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    folder.mkdir(parents=True)
    np.save(folder / "pixels-00000.npy", pixels[: count // 2 + 1])
    if count // 2 + 1 < count:
        np.save(folder / "pixels-00001.npy", pixels[count // 2 + 1 :])
    lines = ["img_id,latitude,longitude,city,state,country"]
    lines += [f"{seed}/{i}.jpg,{i % 60},{i % 90},city {i % 7},,country {i % 3}" for i in range(count)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    (folder / "dataset.json").write_text(json.dumps({"plan": {"seed": seed}}))
    return folder


def align(folder: Path, *, slow_s: float = 0.0, device: str = "cpu") -> None:
    """One run of phase 2 in this process, or in this rank of several."""
    torch.set_num_threads(1)
    if slow_s:
        _slow(slow_s)
    processes = Processes(device)
    runs.align(_ready(), features(), Recipe(**RECIPE), runs.Output(folder, save_s=0.0), processes)  # type: ignore[arg-type]
    processes.close()


def _slow(slow_s: float) -> None:
    """Gives every batch time for a kill between any two."""
    losses = Alignment.losses

    def slowed(self: Alignment, batch: FeatureBatch) -> dict[str, Tensor]:
        time.sleep(slow_s)
        return losses(self, batch)

    Alignment.losses = slowed  # type: ignore[method-assign]


def pretrain(folder: Path, arrays: Path) -> None:
    """One run of phase 1."""
    torch.set_num_threads(1)
    processes = Processes("cpu")
    recipe = Recipe(**{**RECIPE, "epochs": 2})  # type: ignore[arg-type]
    runs.pretrain(_ready(), WorldSource([arrays]), recipe, runs.Output(folder), processes, threads=1)
    processes.close()


def cache(folder: Path, arrays: Path, *, slow_s: float = 0.0) -> None:
    """One run of the cache; `slow_s` after every batch is time for a kill between any two."""
    torch.set_num_threads(1)
    plan = CachePlan(shard=8, batch=4, threads=1)
    source, processes = WorldSource([arrays]), Processes("cpu")
    CacheWriter(_ready(), source, folder, plan, processes, lambda done: time.sleep(slow_s)).write()


def forked(work: Callable[[], None], environment: dict[str, str] | None = None) -> int:
    """The process id of a fork that does the work."""
    child = os.fork()
    if child:
        return child
    os.environ.update(environment or {})
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def killed(work: Callable[[], None], longest_s: float, seed: int, most: int = 12) -> int:
    """Runs the work again and again, with SIGKILL after a random while, at last without; the number of kills."""
    rng, kills = random.Random(seed), 0
    while True:
        child, patience = forked(work), rng.uniform(0, longest_s)
        ends = time.monotonic() + patience if kills < most else float("inf")
        while time.monotonic() < ends:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                if status:
                    raise SystemExit(f"the run failed with status {status}")
                return kills
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1


def together(work: Callable[[], None], size: int) -> None:
    """`size` processes of one group, as torchrun would start them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    group = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children = [forked(work, {**group, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(size)]
    if any(os.waitpid(child, 0)[1] for child in children):
        raise SystemExit("a process of the group failed")


def main() -> None:
    torch.set_num_threads(1)
    root, arrays = Path(sys.argv[1]), Path(sys.argv[2])
    _ready()
    together(lambda: align(root / "undisturbed"), 1)
    kills = killed(lambda: align(root / "killed", slow_s=0.02), longest_s=0.6, seed=1)
    together(lambda: align(root / "two"), 2)
    together(lambda: pretrain(root / "towers", arrays), 1)
    together(lambda: pretrain(root / "towers-of-two", arrays), 2)
    together(lambda: cache(root / "cache", arrays), 1)
    cache_kills = killed(lambda: cache(root / "cache-killed", arrays, slow_s=0.02), longest_s=0.6, seed=2)
    sys.stdout.write(json.dumps({"kills": kills, "cache_kills": cache_kills}))


if __name__ == "__main__":
    main()
