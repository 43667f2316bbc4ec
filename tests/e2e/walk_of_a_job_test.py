"""A photo goes in, coordinates and their evidence come out: by SDK, by command, by plain HTTP and by reflected gRPC."""

import json
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from g3_world.world import World
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from PIL import Image

from tests.e2e.conftest import ANSWERS, REFERENCES
from tests.servers.stack import LocalStack

SERVICE = "g3_protos.orchestrator.v1.JobService"


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that is none of the references."""
    file = tmp_path_factory.mktemp("query") / "rome.jpg"
    Image.fromarray(World().photo(41.9, 12.5, 7, 128)).save(file)
    return file


def test_the_sdk_gets_an_answer_with_its_evidence(stack: LocalStack, query: Path) -> None:
    with stack.client() as g3:
        job = g3.locate(query, label="one", parameters={"top_k": 50})
    assert job.state == "succeeded"
    assert job.degraded == ()
    assert job.label == "one"
    assert job.result is not None
    origins = {candidate.origin for candidate in job.result.candidates}
    assert origins == {"lmm", "retrieved", "gallery"}
    assert [c.rank for c in job.result.candidates] == list(range(1, len(job.result.candidates) + 1))
    assert all(candidate.similarity is not None and candidate.sources for candidate in job.result.candidates)
    assert job.result.coordinates == job.result.candidates[0].coordinates == job.result.places[0].coordinates
    assert sum(place.probability or 0 for place in job.result.places) == pytest.approx(1)
    # The choice model that is shipped was fitted to the demo's alignment model, or states nothing.
    assert [each.km for each in job.result.confidence] in ([], [1, 25, 200, 750, 2500])
    assert (job.result.radius_km is None) == (job.result.confidence == ())
    assert {answer.text for answer in job.result.answers} == set(ANSWERS)
    assert len(job.result.references) > 0
    assert job.result.place.country
    assert {dropped.reason for dropped in job.result.dropped} & {"refused", "unparsable"}
    assert [timing.stage for timing in job.timings] == ["retrieve", "generate", "verify"]
    assert job.result.release is not None
    assert len(job.result.release.model) == len(job.result.release.gallery) == len(job.result.release.choice) == 64
    assert job.result.release.lmm


def test_the_paper_takes_the_greatest_cosine(stack: LocalStack, query: Path) -> None:
    with stack.client() as g3:
        job = g3.locate(query, parameters={"profile": "paper", "top_k": 50})
    assert job.result is not None
    similarities = [c.similarity for c in job.result.candidates if c.similarity is not None]
    assert similarities == sorted(similarities, reverse=True)
    assert job.result.release is not None
    assert job.result.release.gallery == ""


@pytest.mark.parametrize("strategy", ["knn", "gallery", "img2loc"])
def test_the_baselines_answer_through_the_same_api(stack: LocalStack, query: Path, strategy: str) -> None:
    with stack.client() as g3:
        job = g3.locate(query, parameters={"strategy": strategy})
    assert job.result is not None
    assert job.degraded == ()
    origins = {str(candidate.origin) for candidate in job.result.candidates}
    assert origins == {{"knn": "retrieved", "gallery": "gallery", "img2loc": "lmm"}[strategy]}
    stages = [timing.stage for timing in job.timings]
    assert stages == (["retrieve", "generate", "verify"] if strategy == "img2loc" else ["retrieve"])


def test_the_gallery_leaves_out_the_places_of_excluded_references(stack: LocalStack, query: Path) -> None:
    with stack.client() as g3:
        known = g3.locate(query, parameters={"strategy": "knn"}).result
        assert known is not None
        excluded = [match.reference.id for match in known.references[:40]]
        left_out = {match.reference.coordinates for match in known.references[:40]}
        allowed = {match.reference.coordinates for match in known.references[40:]}
        found = g3.locate(query, parameters={"strategy": "gallery", "excluded_references": excluded}).result
    assert found is not None
    points = {candidate.coordinates for candidate in found.candidates}
    assert points <= allowed
    assert not points & left_out


def test_the_command_writes_json_and_a_map(stack: LocalStack, query: Path, tmp_path: Path) -> None:
    done = stack.command("locate", str(query), "--json", "--map", str(tmp_path / "map.html"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["job"]["state"] == "succeeded"
    assert (tmp_path / "map.html").read_text().startswith("<!")
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.width > 500


def test_plain_http_waits_for_the_answer(stack: LocalStack, query: Path) -> None:
    with httpx.Client(base_url=stack.address("api"), headers={"Authorization": f"Bearer {stack.key()}"}) as http:
        answer = http.post("/v1/jobs", files={"photo": query.read_bytes()}, headers={"Prefer": "wait=60"}, timeout=70)
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "succeeded"
        again = http.get(f"/v1/jobs/{answer.json()['job_id']}")
        assert again.json()["result"] == answer.json()["result"]


def test_reflection_is_enough_for_a_grpc_client(stack: LocalStack, query: Path) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{stack.port('jobs')}") as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        metadata = (("authorization", f"Bearer {stack.key()}"),)

        def call(method: str, **fields: Any) -> Any:
            described = pool.FindServiceByName(SERVICE).FindMethodByName(method)
            asked = GetMessageClass(described.input_type)(**fields)
            answers = GetMessageClass(described.output_type)
            shape: Any = channel.unary_stream if described.server_streaming else channel.unary_unary
            return shape(
                f"/{SERVICE}/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=answers.FromString,
            )(asked, metadata=metadata, timeout=90)

        submitted = call("SubmitJob", photo=query.read_bytes())
        events = list(call("WatchJob", job_id=submitted.job_id))
    last = json_format.MessageToDict(events[-1].job)
    assert last["state"] == "JOB_STATE_SUCCEEDED"
    assert last["result"]["candidates"]
    numbers = [event.event_id for event in events]
    assert numbers == sorted(set(numbers))


def test_the_lmm_was_asked_with_the_photo_inside_and_no_file_name(stack: LocalStack, lmm: Any, query: Path) -> None:
    before = len(lmm.asked)
    with stack.client() as g3:
        assert g3.locate(query, parameters={"profile": "paper"}).succeeded
    asked = lmm.asked[before:]
    assert len(asked) >= 4  # K = 4 prompts, 0, 5, 10 and 15 references
    for request in asked:
        text = json.dumps(request.body)
        assert "data:image/jpeg;base64," in text
        assert "rome" not in text.lower()


def test_what_is_not_a_photo_is_refused_and_the_house_still_stands(stack: LocalStack) -> None:
    with httpx.Client(base_url=stack.address("api"), headers={"Authorization": f"Bearer {stack.key()}"}) as http:
        answer = http.post("/v1/jobs", files={"photo": b"GIF89a not at all"})
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert http.get("/readyz").status_code == 200
    assert all(process["ready"] for process in stack.processes().values())


def test_ingesting_again_adds_nothing(stack: LocalStack, world: Path) -> None:
    done = stack.command("ingest", str(world), "--csv", str(world / "photos.csv"), "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["written"] == 0
    assert summary["held"] == REFERENCES
