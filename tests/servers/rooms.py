"""Embedding, retrieval on FAISS and verification as processes of their own, with one small model."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from g3_alignment import initialise, preset, save
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.servers.milvus import free_port

_READY_S = 90.0


@dataclass(frozen=True)
class Rooms:
    """Where they listen, as settings of whoever calls them."""

    environment: dict[str, str]
    folder: Path

    def run(self, module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command of ours against these rooms."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.folder,
        )


@contextmanager
def rooms(folder: Path) -> Iterator[Rooms]:
    """The three, up and ready; everything lies in `folder`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
    environment = kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "G3_HOME": str(folder / "home")}
    save(initialise(preset("demo"), seed=7), folder / "model.safetensors")
    told = {
        "G3_CHECKPOINT": str(folder / "model.safetensors"),
        "G3_DEVICE": "cpu",
        "G3_RETRIEVAL_INDEX": "faiss",
        "G3_FAISS_PATH": str(folder / "faiss"),
        "G3_GALLERY_PATH": str(folder / "galleries"),
    }
    with ExitStack() as stack:
        ports = {room: free_port() for room in ("embedding", "retrieval", "verification")}
        for room, port in ports.items():
            settings = environment | told | {f"G3_{room.upper()}_PORT": str(port)}
            process = subprocess.Popen([sys.executable, "-m", f"g3_{room}"], env=settings, stderr=subprocess.DEVNULL)
            stack.callback(process.wait, 60)
            stack.callback(process.send_signal, signal.SIGTERM)
        for port in ports.values():
            _await(port)
        targets = {f"G3_{room.upper()}_TARGET": f"127.0.0.1:{port}" for room, port in ports.items()}
        yield Rooms(environment | targets, folder)


def _await(port: int) -> None:
    ends = time.monotonic() + _READY_S
    with closing(grpc.insecure_channel(f"127.0.0.1:{port}")) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            try:
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass
            assert time.monotonic() < ends, f"nothing ready at port {port} within {_READY_S:.0f} s"
            time.sleep(0.1)
