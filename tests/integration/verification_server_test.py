"""The verification room through real gRPC, and as a process."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import numpy as np
import pytest
from g3_alignment import initialise, preset, save
from g3_kit import grpc_client
from g3_kit.errors import Mismatch, Missing, Rejected, Unavailable
from g3_kit.health import Health
from g3_protos.geography.v1.geography_pb2 import Coordinates
from g3_protos.vector.v1.vector_pb2 import Vector
from g3_protos.verification.v1 import verification_pb2 as pb
from g3_protos.verification.v1.verification_pb2_grpc import VerificationServiceStub
from g3_verification.app import server
from g3_verification.fakes import FakeScorer
from g3_verification.galleries import Galleries
from g3_verification.gallery_shelf import Shelf
from grpc_health.v1 import health_pb2, health_pb2_grpc

PARIS = (48.8566, 2.3522)


@pytest.fixture
def scorer() -> FakeScorer:
    return FakeScorer()


@pytest.fixture
def channel(scorer: FakeScorer, tmp_path: Path) -> Iterator[grpc.Channel]:
    galleries = Galleries(scorer, Shelf(tmp_path / "galleries"))
    serving = server(scorer, galleries, Health(), host="127.0.0.1", port=0)
    serving.start()
    try:
        with closing(grpc_client.channel(f"127.0.0.1:{serving.port}")) as opened:
            yield opened
    finally:
        serving.stop(0)
        galleries.close()


def request(scorer: FakeScorer, *candidates: tuple[float, float], **changes: object) -> pb.ScoreRequest:
    values = scorer.vectors(np.array([PARIS]))[0].astype("<f4").tobytes()
    built = pb.ScoreRequest(
        gps_aligned=Vector(values=values, dimension=scorer.model.dimension),
        candidates=[Coordinates(latitude=latitude, longitude=longitude) for latitude, longitude in candidates],
        model=scorer.model.fingerprint,
    )
    if "model" in changes:
        built.model = str(changes["model"])
    if "dimension" in changes:
        built.gps_aligned.dimension = int(str(changes["dimension"]))
    return built


def test_scores_travel_in_order_with_errors_per_item(channel: grpc.Channel, scorer: FakeScorer) -> None:
    stub = VerificationServiceStub(channel)
    response = stub.Score(request(scorer, PARIS, (91.0, 0.0), (0.0, 0.0), (math.nan, 0.0)), timeout=10)
    kinds = [score.WhichOneof("outcome") for score in response.scores]
    assert kinds == ["similarity", "error", "similarity", "error"]
    assert response.scores[0].similarity == pytest.approx(1.0, abs=1e-6)
    assert response.scores[1].error.code == "rejected"
    assert "Latitude" in response.scores[1].error.message
    assert response.fingerprint.model == scorer.model.fingerprint
    assert response.fingerprint.gps == scorer.model.gps_fingerprint


def test_refusals_have_their_status(channel: grpc.Channel, scorer: FakeScorer) -> None:
    stub = VerificationServiceStub(channel)
    with pytest.raises(Mismatch):
        stub.Score(request(scorer, PARIS, model="f" * 64), timeout=10)
    with pytest.raises(Rejected, match="gps_aligned"):
        stub.Score(request(scorer, PARIS, dimension=7), timeout=10)
    with pytest.raises(Rejected, match="no candidates"):
        stub.Score(request(scorer), timeout=10)
    scorer.broken = True
    with pytest.raises(Unavailable):
        stub.Score(request(scorer, PARIS), timeout=10)


def test_describes_its_model(channel: grpc.Channel, scorer: FakeScorer) -> None:
    description = VerificationServiceStub(channel).DescribeModel(pb.DescribeModelRequest(), timeout=10)
    assert description.dimension == 8
    assert description.configuration == "fake"
    assert description.device == "cpu"
    assert description.fingerprint.model == scorer.model.fingerprint


def gallery_of(*pages: list[tuple[float, float]], name: str = "world") -> Iterator[pb.PutGalleryRequest]:
    for number, page in enumerate(pages):
        points = [Coordinates(latitude=latitude, longitude=longitude) for latitude, longitude in page]
        yield pb.PutGalleryRequest(gallery="" if number else name, coordinates=points)


def prepared(stub: VerificationServiceStub, name: str = "world") -> pb.Gallery:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        gallery = stub.DescribeGallery(pb.DescribeGalleryRequest(gallery=name), timeout=10).gallery
        if gallery.embedded == gallery.count:
            return gallery
        time.sleep(0.02)
    raise AssertionError("the gallery was never ready")


def test_a_gallery_is_streamed_prepared_and_searched(channel: grpc.Channel, scorer: FakeScorer) -> None:
    stub = VerificationServiceStub(channel)
    pages = ([PARIS, (91.0, 0.0), (-33.8688, 151.2093)], [PARIS, (math.nan, 0.0), (10.0, 180.0), (10.0, -180.0)])
    put = stub.PutGallery(gallery_of(*pages), timeout=10)
    assert (put.received, put.refused, put.gallery.count) == (7, 2, 3)
    assert {place: error.code for place, error in put.errors.items()} == {1: "rejected", 4: "rejected"}
    prepared(stub)
    asked = pb.SearchGalleryRequest(gallery="world", k=5, model=scorer.model.fingerprint)
    asked.gps_aligned.add(values=scorer.vectors(np.array([PARIS]))[0].tobytes(), dimension=8)
    asked.gps_aligned.add(values=b"xx", dimension=8)
    found = stub.SearchGallery(asked, timeout=10)
    assert [result.WhichOneof("outcome") for result in found.results] == ["matches", "error"]
    first, *others = found.results[0].matches.matches
    assert ((first.coordinates.latitude, first.coordinates.longitude), len(others)) == (PARIS, 2)
    assert first.similarity == pytest.approx(1.0, abs=1e-5)
    assert (found.gallery, found.fingerprint.model) == (put.gallery.fingerprint, scorer.model.fingerprint)
    assert [gallery.name for gallery in stub.ListGalleries(pb.ListGalleriesRequest(), timeout=10).galleries] == [
        "world"
    ]


def test_refusals_about_galleries_say_what_to_do(channel: grpc.Channel, scorer: FakeScorer) -> None:
    stub = VerificationServiceStub(channel)
    vector = Vector(values=scorer.vectors(np.array([PARIS]))[0].tobytes(), dimension=8)
    asked = pb.SearchGalleryRequest(gallery="world", gps_aligned=[vector], k=1, model=scorer.model.fingerprint)
    with pytest.raises(Missing, match="g3-eval gallery world"):
        stub.SearchGallery(asked, timeout=10)
    with pytest.raises(Missing):
        stub.DropGallery(pb.DropGalleryRequest(gallery="world"), timeout=10)
    for empty in ([], [[(91.0, 0.0)]]):
        with pytest.raises(Rejected):
            stub.PutGallery(gallery_of(*empty), timeout=10)
    with pytest.raises(Rejected, match="letters"):
        stub.PutGallery(gallery_of([PARIS], name="../etc"), timeout=10)
    twice = [*gallery_of([PARIS]), *gallery_of([PARIS], name="other")]
    with pytest.raises(Rejected, match="One stream"):
        stub.PutGallery(iter(twice), timeout=10)
    assert not stub.ListGalleries(pb.ListGalleriesRequest(), timeout=10).galleries
    stub.PutGallery(gallery_of([PARIS]), timeout=10)
    prepared(stub)
    for field, value, error in (("model", "f" * 64, Mismatch), ("k", 0, Rejected), ("k", 1001, Rejected)):
        bad = pb.SearchGalleryRequest()
        bad.CopyFrom(asked)
        setattr(bad, field, value)
        with pytest.raises(error):
            stub.SearchGallery(bad, timeout=10)
    stub.DropGallery(pb.DropGalleryRequest(gallery="world"), timeout=10)
    with pytest.raises(Missing):
        stub.SearchGallery(asked, timeout=10)


def test_a_broken_device_makes_health_fail_and_recovery_mends_it(channel: grpc.Channel, scorer: FakeScorer) -> None:
    stub = health_pb2_grpc.HealthStub(channel)

    def becomes(status: int) -> bool:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=5).status == status:
                return True
            time.sleep(0.1)
        return False

    assert becomes(health_pb2.HealthCheckResponse.SERVING)
    scorer.broken = True
    assert becomes(health_pb2.HealthCheckResponse.NOT_SERVING)
    scorer.broken = False
    assert becomes(health_pb2.HealthCheckResponse.SERVING)


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
    return {**kept, "OMP_NUM_THREADS": "1", **settings}


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("settings", [{}, {"G3_CHECKPOINT": "/nowhere/model.safetensors"}])
def test_without_a_checkpoint_the_process_says_so(settings: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "g3_verification"],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "G3_CHECKPOINT" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_the_process_serves_the_real_scorer_and_drains(tmp_path: Path) -> None:
    fingerprint = save(initialise(preset("demo"), seed=5), tmp_path / "demo.safetensors")
    port = free_port()
    settings = {
        "G3_CHECKPOINT": str(tmp_path / "demo.safetensors"),
        "G3_VERIFICATION_PORT": str(port),
        "G3_DEVICE": "cpu",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "g3_verification"], env=environment(**settings), stderr=subprocess.PIPE, text=True
    )
    try:
        with closing(grpc.insecure_channel(f"127.0.0.1:{port}")) as plain:
            grpc.channel_ready_future(plain).result(timeout=60)
            vector = np.eye(1, 128, dtype="<f4")[0].tobytes()
            response = VerificationServiceStub(plain).Score(
                pb.ScoreRequest(
                    gps_aligned=Vector(values=vector, dimension=128),
                    candidates=[Coordinates(latitude=90.0, longitude=0.0), Coordinates(latitude=90.1, longitude=0.0)],
                    model=fingerprint.full,
                ),
                timeout=10,
            )
        assert [score.WhichOneof("outcome") for score in response.scores] == ["similarity", "error"]
        assert response.fingerprint.gps == fingerprint.gps
    finally:
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "draining" in logged
