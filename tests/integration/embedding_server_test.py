"""The embedding room through real gRPC, and as a process of its own."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
import pytest
from g3_alignment import initialise, preset, save
from g3_embedding.app import serve
from g3_embedding.encoder import ImageVectors
from g3_embedding.fakes import FakeEncoder
from g3_embedding.lanes import DeviceLost
from g3_embedding.servicer import SERVICE_NAME
from g3_embedding.settings import EmbeddingSettings
from g3_kit import grpc_client
from g3_kit.errors import Exhausted, Late, Mismatch, Rejected, TooLarge, Unavailable
from g3_kit.health import Health
from g3_protos.embedding.v1 import embedding_pb2 as pb
from g3_protos.embedding.v1.embedding_pb2_grpc import EmbeddingServiceStub
from g3_protos.geography.v1.geography_pb2 import Coordinates
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image

PATIENCE_S = 30.0


def jpeg(seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


@dataclass(frozen=True)
class HeldEncoder(FakeEncoder):
    """Once `hold` is set each forward pass of photos waits for `let`; `lost` makes the device die in it."""

    hold: threading.Event = field(default_factory=threading.Event)
    let: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)
    seen: list[int] = field(default_factory=list)

    def encode_images(self, staged: Sequence[object]) -> ImageVectors:
        if self.hold.is_set():
            self.seen.append(len(staged))
            assert self.let.wait(PATIENCE_S)
        if self.lost.is_set():
            raise DeviceLost("fell off the bus")
        return super().encode_images(staged)


@contextmanager
def room(
    encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **settings: object
) -> Iterator[tuple[grpc.Channel, ExitStack]]:
    unused = tmp_path / "unused"
    unused.touch()
    for name, value in {"port": 0, **settings}.items():
        monkeypatch.setenv(f"G3_EMBEDDING_{name.upper()}", str(value))
    with ExitStack() as stack:
        server = serve(encoder, EmbeddingSettings(checkpoint=unused), Health(), stack)
        with closing(grpc_client.channel(f"127.0.0.1:{server.port}")) as channel:
            yield channel, stack


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "it never came to pass"
        time.sleep(0.01)


def until_accepted(stub: EmbeddingServiceStub) -> None:
    """The server takes the calls of one method in order: once this is refused, those before it were accepted."""
    with pytest.raises(Mismatch):
        stub.EmbedImages(pb.EmbedImagesRequest(images=[b"x"], expected_model="another"))


def serving(channel: grpc.Channel) -> bool:
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE_NAME))
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_vectors_travel_in_order_with_errors_per_item(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    encoder = FakeEncoder()
    with room(encoder, monkeypatch, tmp_path) as (channel, _):
        stub = EmbeddingServiceStub(channel)
        whole = jpeg()
        images = stub.EmbedImages(pb.EmbedImagesRequest(images=[whole, b"", whole[:300], whole]))
        assert [result.WhichOneof("outcome") for result in images.results] == ["vectors", "error", "error", "vectors"]
        assert images.results[1].error.code == images.results[2].error.code == "rejected"
        assert images.results[0] == images.results[3]
        pixels = encoder.pixels(Image.open(io.BytesIO(whole)))
        for name, rows in encoder.encode_images([pixels])._asdict().items():
            vector = getattr(images.results[0].vectors, name)
            assert vector.dimension == 16
            np.testing.assert_array_equal(np.frombuffer(vector.values, "<f4"), rows[0])
        texts = stub.EmbedTexts(pb.EmbedTextsRequest(texts=["Paris", ""]))
        assert [result.WhichOneof("outcome") for result in texts.results] == ["vector", "error"]
        points = [Coordinates(latitude=95), Coordinates(latitude=1.5, longitude=2.5)]
        coordinates = stub.EmbedCoordinates(pb.EmbedCoordinatesRequest(coordinates=points))
        assert [result.WhichOneof("outcome") for result in coordinates.results] == ["error", "vector"]
        expected = encoder.encode_coordinates(np.array([[1.5, 2.5]]))[0].astype("<f4").tobytes()
        assert coordinates.results[1].vector.values == expected
        described = stub.DescribeModel(pb.DescribeModelRequest())
        assert described.fingerprint == images.fingerprint == texts.fingerprint == coordinates.fingerprint
        assert (described.dimension, described.max_items, described.trained) == (16, 64, False)


def test_refusals_have_their_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with room(FakeEncoder(), monkeypatch, tmp_path) as (channel, _):
        stub = EmbeddingServiceStub(channel)
        with pytest.raises(Rejected):
            stub.EmbedImages(pb.EmbedImagesRequest())
        with pytest.raises(TooLarge):
            stub.EmbedTexts(pb.EmbedTextsRequest(texts=["x"] * 65))
        with pytest.raises(Mismatch):
            stub.EmbedTexts(pb.EmbedTextsRequest(texts=["x"], expected_model="0" * 64))


def test_a_full_queue_is_resource_exhausted_with_the_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    encoder = HeldEncoder()
    with room(encoder, monkeypatch, tmp_path, max_items=2, queue_items=2) as (channel, _):
        stub = EmbeddingServiceStub(channel)
        encoder.hold.set()
        first = stub.EmbedImages.future(pb.EmbedImagesRequest(images=[jpeg(1), jpeg(2)]), timeout=PATIENCE_S)
        until(lambda: bool(encoder.seen))
        with pytest.raises(Exhausted) as refused:
            stub.EmbedImages(pb.EmbedImagesRequest(images=[jpeg(3)]))
        assert refused.value.retry_after_s is not None
        assert refused.value.retry_after_s > 0
        until(lambda: not serving(channel))
        encoder.let.set()
        assert len(first.result().results) == 2
        until(lambda: serving(channel))


def test_late_and_cancelled_calls_never_reach_the_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    encoder = HeldEncoder()
    with room(encoder, monkeypatch, tmp_path, photos_a_batch=1) as (channel, _):
        stub = EmbeddingServiceStub(channel)
        encoder.hold.set()
        first = stub.EmbedImages.future(pb.EmbedImagesRequest(images=[jpeg(1)]), timeout=PATIENCE_S)
        until(lambda: encoder.seen == [1])
        cancelled = stub.EmbedImages.future(pb.EmbedImagesRequest(images=[jpeg(2)]), timeout=PATIENCE_S)
        with pytest.raises(Late):
            stub.EmbedImages(pb.EmbedImagesRequest(images=[jpeg(3)]), timeout=0.3)
        cancelled.cancel()
        # The connection keeps its order, so the server has heard of the cancellation once it answers this.
        until_accepted(stub)
        encoder.let.set()
        assert first.result().results[0].HasField("vectors")
        assert stub.EmbedImages(pb.EmbedImagesRequest(images=[jpeg(4)])).results[0].HasField("vectors")
    assert sum(encoder.seen) == 2


def test_a_dead_device_fails_its_waiters_and_the_health(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    encoder = HeldEncoder()
    with room(encoder, monkeypatch, tmp_path, photos_a_batch=1) as (channel, _):
        stub = EmbeddingServiceStub(channel)
        assert serving(channel)
        encoder.hold.set()
        encoder.lost.set()
        calls = [stub.EmbedImages.future(pb.EmbedImagesRequest(images=[jpeg(n)]), timeout=PATIENCE_S) for n in range(6)]
        until(lambda: bool(encoder.seen))
        encoder.let.set()
        for call in calls:
            with pytest.raises(Unavailable, match="device"):
                call.result()
        with pytest.raises(Unavailable):
            stub.EmbedTexts(pb.EmbedTextsRequest(texts=["x"]))
        until(lambda: not serving(channel))
    assert encoder.seen == [1]


def test_drain_under_load_loses_no_accepted_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    encoder = HeldEncoder()
    with room(encoder, monkeypatch, tmp_path) as (channel, stack), ThreadPoolExecutor(1) as pool:
        stub = EmbeddingServiceStub(channel)
        encoder.hold.set()
        calls = [
            stub.EmbedImages.future(pb.EmbedImagesRequest(images=[jpeg(n)] * 3), timeout=PATIENCE_S) for n in range(20)
        ]
        until(lambda: bool(encoder.seen))
        until_accepted(stub)
        stopped = pool.submit(stack.close)
        until(lambda: _refused(channel))
        encoder.let.set()
        for call in calls:
            assert all(result.HasField("vectors") for result in call.result().results)
        stopped.result(PATIENCE_S)


def _refused(channel: grpc.Channel) -> bool:
    try:
        EmbeddingServiceStub(channel).DescribeModel(pb.DescribeModelRequest(), timeout=0.5)
    except (Unavailable, Late):
        return True
    return False


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "demo.safetensors"
    save(initialise(preset("demo"), seed=1), path)
    return path


def start(**environment: str) -> "subprocess.Popen[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
    return subprocess.Popen(
        [sys.executable, "-m", "g3_embedding"],
        env={**inherited, "OMP_NUM_THREADS": "1", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, ["G3_CHECKPOINT: is required"]),
        ({"G3_CHECKPOINT": "/no/such/file"}, ["G3_CHECKPOINT: "]),
        ({"G3_CHECKPOINT": "/dev/zero", "G3_EMBEDDING_PORT": "x"}, ["G3_CHECKPOINT: ", "G3_EMBEDDING_PORT: "]),
        ({"G3_EMBEDDING_QUEUE_ITEMS": "3"}, ["G3_CHECKPOINT: is required", "G3_EMBEDDING_QUEUE_ITEMS: "]),
    ],
)
def test_it_says_what_it_lacks(environment: dict[str, str], named: list[str]) -> None:
    process = start(**environment)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    lines = errors.strip().splitlines()
    assert [line[: len(start)] for line, start in zip(lines, named, strict=True)] == named


def test_a_file_that_is_no_checkpoint_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"not weights")
    process = start(G3_CHECKPOINT=str(tmp_path / "broken"))
    _, errors = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 1
    assert errors.strip().splitlines()[-1].startswith("embedding: ")
    assert "Traceback" not in errors


def test_the_process_serves_lists_itself_and_drains_on_sigterm(checkpoint: Path) -> None:
    with _free_port() as port:
        process = start(G3_CHECKPOINT=str(checkpoint), G3_EMBEDDING_PORT=str(port), G3_TORCH_THREADS="1")
    try:
        with closing(grpc_client.channel(f"127.0.0.1:{port}")) as channel:
            stub = EmbeddingServiceStub(channel)
            described = stub.DescribeModel(pb.DescribeModelRequest(), wait_for_ready=True, timeout=2 * PATIENCE_S)
            assert (described.configuration, described.dimension, described.device) == ("demo", 128, "cpu")
            until(lambda: serving(channel))
            assert SERVICE_NAME in _reflected(channel)
            photo = jpeg()
            answer = stub.EmbedImages(
                pb.EmbedImagesRequest(images=[photo, b"", photo[:200]], expected_model=described.fingerprint.model)
            )
            assert [result.WhichOneof("outcome") for result in answer.results] == ["vectors", "error", "error"]
            calls = [stub.EmbedImages.future(pb.EmbedImagesRequest(images=[photo] * 32)) for _ in range(8)]
            until_accepted(stub)
            process.send_signal(signal.SIGTERM)
            assert all(len(call.result().results) == 32 for call in calls)
        process.wait(PATIENCE_S)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _free_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield int(probe.getsockname()[1])


def _reflected(channel: grpc.Channel) -> list[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answer = next(iter(stub.ServerReflectionInfo(requests, timeout=PATIENCE_S)))
    return [service.name for service in answer.list_services_response.service]
