"""Jobs through REST and gRPC over a real PostgreSQL: submit, read, list, cancel, watch, tenants, idempotency."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from g3_orchestrator.keys import Keys
from g3_protos.orchestrator.v1 import jobs_pb2
from g3_protos.retrieval.v1 import retrieval_pb2
from PIL import Image

from tests.servers import photos
from tests.servers.orchestrator_api import Api, orchestrator_api
from tests.servers.postgres import fresh_database

pytestmark = pytest.mark.needs("postgres")
NOWHERE = "0190b5a0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def api(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        fresh_database(postgres_url) as url,
        orchestrator_api(url, tmp_path_factory.mktemp("blobs"), heartbeat_s=0.3, poll_s=5.0) as running,
    ):
        yield running


@pytest.fixture
def client(api: Api, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """Of a tenant of the test's own."""
    with api.client(api.key(request.node.name[:100])) as client:
        yield client


def submitted(client: httpx.Client, seed: int = 0, **options: Any) -> dict[str, Any]:
    answer = client.post("/v1/jobs", files={"photo": ("a.jpg", photos.jpeg(seed))}, **options)
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_a_multipart_submission_is_accepted_and_can_be_read(api: Api, client: httpx.Client) -> None:
    answer = client.post(
        "/v1/jobs",
        files={"photo": ("a.jpg", photos.jpeg())},
        data={"parameters": json.dumps({"profile": "paper", "samples_per_prompt": 2}), "label": "order 7/é"},
    )
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['job_id']}"
    assert (job["state"], job["label"]) == ("queued", "order 7/é")
    assert job["parameters"]["profile"] == "paper"
    assert job["parameters"]["samples_per_prompt"] == 2
    assert job["parameters"]["references_per_prompt"] == [0, 5, 10, 15]
    read = client.get(answer.headers["location"])
    assert read.status_code == 200
    assert read.json()["job_id"] == job["job_id"]
    assert client.get("/readyz").json() == {"ready": True, "problems": {}}


def test_a_json_submission_with_hints_is_accepted(client: httpx.Client) -> None:
    circle = {"center": {"latitude": 48.9, "longitude": 2.3}, "radius_km": 50}
    box = {"south": -10, "west": 170, "north": 10, "east": -170}
    body = {
        "photo": base64.b64encode(photos.jpeg()).decode(),
        "parameters": {"hints": {"country_codes": ["FR"], "bounding_box": box, "circle": circle}, "temperature": 1},
        "label": None,
    }
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["parameters"]["hints"] == {"country_codes": ["FR"], "bounding_box": box, "circle": circle}
    # the parameters of a job can be sent again as they were read
    again = client.post("/v1/jobs", json=body | {"parameters": answer.json()["parameters"]})
    assert again.json()["parameters"] == answer.json()["parameters"]


def test_the_walk_of_a_job_and_its_evidence(api: Api, client: httpx.Client) -> None:
    job_id = submitted(client)["job_id"]
    api.retrieve(job_id)
    assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "verifying"
    api.succeed(job_id)
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert job["state"] == "succeeded"
    assert job["result"]["coordinates"] == {"latitude": 48.85837, "longitude": 2.294481}
    assert job["result"]["place"]["city"] == "Paris"
    assert job["result"]["candidates"][0]["origin"] == "retrieved"
    assert job["result"]["references"][0]["reference"]["id"] == "photo 1"
    released = {"model": "model-1", "gps": "gps-1", "collection": "references_v1"}
    assert job["result"]["release"] == released | {"choice": "", "gallery": "", "lmm": []}
    (summary,) = client.get("/v1/jobs").json()["jobs"]
    assert summary["result"]["coordinates"] == job["result"]["coordinates"]
    assert (summary["result"]["candidates"], summary["result"]["references"], summary["timings"]) == ([], [], [])
    assert client.get("/v1/jobs", params={"view": "full"}).json()["jobs"] == [job]
    assert client.get("/v1/jobs", params={"view": "some"}).status_code == 422
    assert job["degraded"] == ["generation"]
    assert [timing["stage"] for timing in job["timings"]] == ["retrieve", "verify"]
    refused = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_a_failed_job_says_why(api: Api, client: httpx.Client) -> None:
    job_id = submitted(client)["job_id"]
    api.fail(job_id)
    job = client.get(f"/v1/jobs/{job_id}").json()
    assert (job["state"], job["failure"]["code"], job["result"]) == ("failed", "unavailable", None)


def test_waiting_ends_when_the_job_does(api: Api, client: httpx.Client) -> None:
    job_id = submitted(client)["job_id"]
    api.retrieve(job_id)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.get, f"/v1/jobs/{job_id}", headers={"Prefer": "wait=30"})
        time.sleep(0.5)
        assert not waiting.done()
        began = time.monotonic()
        api.succeed(job_id)
        answer = waiting.result(timeout=20)
    # far below the 5 s after which a waiter looks by itself: the notification has arrived
    assert time.monotonic() - began < 2
    assert answer.json()["state"] == "succeeded"
    assert answer.headers["preference-applied"] == "wait=30"


def test_waiting_gives_up_after_the_time_asked_for(client: httpx.Client) -> None:
    began = time.monotonic()
    answer = client.post(
        "/v1/jobs", files={"photo": ("a.jpg", photos.jpeg())}, headers={"Prefer": "respond-async, wait=1"}
    )
    assert 0.9 < time.monotonic() - began < 4
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


def test_a_submission_that_waits_gets_the_ended_job(api: Api, client: httpx.Client) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            client.post, "/v1/jobs", files={"photo": ("a.jpg", photos.jpeg())}, headers={"Prefer": "wait=30"}
        )
        deadline = time.monotonic() + 20
        while not (jobs := client.get("/v1/jobs").json()["jobs"]) and time.monotonic() < deadline:
            time.sleep(0.05)
        api.retrieve(jobs[0]["job_id"])
        api.succeed(jobs[0]["job_id"])
        answer = waiting.result(timeout=20)
    assert (answer.status_code, answer.json()["state"]) == (200, "succeeded")


def test_the_same_key_and_request_give_the_same_job(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = submitted(client, headers=key, data={"label": "a"})
    assert submitted(client, headers=key, data={"label": "a"})["job_id"] == first["job_id"]
    for change in (
        {"files": {"photo": ("a.jpg", photos.jpeg(1))}, "data": {"label": "a"}},
        {"files": {"photo": ("a.jpg", photos.jpeg())}, "data": {"label": "b"}},
        {"files": {"photo": ("a.jpg", photos.jpeg())}, "data": {"label": "a", "parameters": '{"top_k": 3}'}},
    ):
        refused = client.post("/v1/jobs", headers=key, **change)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["code"]) == (422, "rejected")
    assert submitted(client, data={"label": "a"})["job_id"] != first["job_id"]
    assert len(client.get("/v1/jobs").json()["jobs"]) == 2


def test_concurrent_submissions_with_one_key_make_one_job(client: httpx.Client) -> None:
    with ThreadPoolExecutor(12) as pool:
        jobs = list(pool.map(lambda _: submitted(client, headers={"Idempotency-Key": "storm"}), range(24)))
    assert len({job["job_id"] for job in jobs}) == 1
    assert len(client.get("/v1/jobs").json()["jobs"]) == 1


def test_two_tenants_may_use_the_same_key(api: Api) -> None:
    with api.client(api.key("left")) as left, api.client(api.key("right")) as right:
        key = {"Idempotency-Key": "shared"}
        assert submitted(left, headers=key)["job_id"] != submitted(right, headers=key)["job_id"]


def test_pages_have_no_gap_and_no_duplicate_even_while_jobs_arrive(api: Api, client: httpx.Client) -> None:
    made = [submitted(client, data={"label": str(n)})["job_id"] for n in range(23)]
    seen, cursor, pages = [], "", 0
    while True:
        page = client.get("/v1/jobs", params={"limit": 5, "cursor": cursor}).json()
        seen += [job["job_id"] for job in page["jobs"]]
        pages += 1
        cursor = page["next_cursor"]
        if not cursor:
            break
        submitted(client, data={"label": "later"})
    assert seen == made[::-1]
    assert pages == 5


def test_listing_by_state_and_the_last_full_page(api: Api, client: httpx.Client) -> None:
    made = [submitted(client)["job_id"] for _ in range(4)]
    for job_id in made[:2]:
        assert client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    page = client.get("/v1/jobs", params={"state": "cancelled", "limit": 2}).json()
    assert [job["job_id"] for job in page["jobs"]] == made[1::-1]
    assert page["next_cursor"] == ""


def test_cancelling_twice_is_fine(client: httpx.Client) -> None:
    job_id = submitted(client)["job_id"]
    states = [client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] for _ in range(2)]
    assert states == ["cancelled", "cancelled"]


def events_of(answer: httpx.Response) -> Iterator[tuple[int, dict[str, Any]]]:
    """The (id, data) pairs of a stream of server-sent events."""
    event_id = 0
    for line in answer.iter_lines():
        if line.startswith("id: "):
            event_id = int(line[4:])
        elif line.startswith("data: "):
            yield event_id, json.loads(line[6:])


def test_a_stream_tells_every_event_and_ends_with_the_job(api: Api, client: httpx.Client) -> None:
    job_id = submitted(client)["job_id"]
    seen = []
    with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for event_id, data in events_of(answer):
            seen.append((event_id, data["event_id"], data["job"]["state"]))
            if data["job"]["state"] == "queued":
                api.retrieve(job_id)
            if data["job"]["state"] == "verifying":
                api.succeed(job_id)
    states = [state for _, _, state in seen]
    assert states == ["queued", "retrieving", "verifying", "succeeded"]
    assert [event_id for event_id, _, _ in seen] == [inner for _, inner, _ in seen] == [1, 2, 3, 4]


def test_a_stream_resumes_after_the_last_event_seen(api: Api, client: httpx.Client) -> None:
    job_id = submitted(client)["job_id"]
    api.retrieve(job_id)
    path = f"/v1/jobs/{job_id}/events"
    with client.stream("GET", path) as answer:
        event_id, data = next(events_of(answer))
    assert (event_id, data["job"]["state"]) == (1, "queued")
    api.succeed(job_id)
    with client.stream("GET", path, headers={"Last-Event-ID": "1"}) as answer:
        rest = list(events_of(answer))
    assert [(event_id, data["job"]["state"]) for event_id, data in rest] == [
        (2, "retrieving"),
        (3, "verifying"),
        (4, "succeeded"),
    ]
    assert [bool(data["job"]["result"]) for _, data in rest] == [False, False, True]
    over = client.get(path, headers={"Last-Event-ID": "4"})
    assert over.status_code == 204


def test_a_silent_stream_says_that_it_lives_and_an_id_from_the_future_is_harmless(client: httpx.Client) -> None:
    job_id = submitted(client)["job_id"]
    with client.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "99"}) as answer:
        lines = answer.iter_lines()
        assert any(line.startswith(":") for line in lines)
        client.post(f"/v1/jobs/{job_id}/cancel")
        assert any(line == "id: 2" for line in lines)


def test_another_tenant_finds_nothing_on_any_route(api: Api, client: httpx.Client) -> None:
    job_id = submitted(client)["job_id"]
    with api.client(api.key("stranger")) as stranger:
        for method, path in (
            ("GET", f"/v1/jobs/{job_id}"),
            ("POST", f"/v1/jobs/{job_id}/cancel"),
            ("GET", f"/v1/jobs/{job_id}/events"),
        ):
            answer = stranger.request(method, path, headers={"Prefer": "wait=1"})
            assert (answer.status_code, answer.json()["code"]) == (404, "missing")
            unknown = stranger.request(method, path.replace(job_id, NOWHERE))
            same = {"instance"}
            assert {k: v for k, v in answer.json().items() if k not in same} == {
                k: v for k, v in unknown.json().items() if k not in same
            }
        assert stranger.get("/v1/jobs").json()["jobs"] == []
    assert client.get(f"/v1/jobs/{job_id}").json()["state"] == "queued"


def test_a_cursor_of_another_tenant_or_filter_is_refused(api: Api, client: httpx.Client) -> None:
    for _ in range(2):
        submitted(client)
    cursor = client.get("/v1/jobs", params={"limit": 1}).json()["next_cursor"]
    with api.client(api.key("cursor thief")) as thief:
        assert thief.get("/v1/jobs", params={"cursor": cursor}).status_code == 422
    assert client.get("/v1/jobs", params={"cursor": cursor, "state": "queued"}).status_code == 422
    assert client.get("/v1/jobs", params={"cursor": cursor}).status_code == 200


def test_no_planted_metadata_reaches_the_blob_store(api: Api, client: httpx.Client) -> None:
    planted = photos.with_metadata()
    assert planted.count(photos.SECRET) == 4
    answer = client.post("/v1/jobs", files={"photo": ("a.jpg", planted)})
    assert answer.status_code == 202
    tenant = api.folder / str(Keys(api.store).authenticate(client.headers["authorization"]).tenant_id)
    blobs = list(tenant.iterdir())
    assert len(blobs) == 1
    stored = blobs[0].read_bytes()
    for trace in (photos.SECRET, b"Exif", b"http://ns.adobe.com", b"Photoshop", b"8BIM", b"GPS"):
        assert trace not in stored
    with Image.open(blobs[0]) as image:
        assert not image.getexif()
        assert "comment" not in image.info
        assert image.size == (320, 240)


def _bearer(api: Api, tenant: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {api.key(tenant)}"),)


def test_the_same_jobs_through_grpc(api: Api) -> None:
    with api.stub() as stub:
        mine, other = _bearer(api, "grpc"), _bearer(api, "grpc stranger")
        request = jobs_pb2.SubmitJobRequest(
            photo=photos.jpeg(),
            parameters=jobs_pb2.Parameters(
                profile=jobs_pb2.PROFILE_PAPER,
                references_per_prompt=jobs_pb2.ReferenceCounts(counts=[0, 3]),
                dissimilar=retrieval_pb2.DISSIMILAR_NONE,
                temperature=0.0,
                hints=jobs_pb2.Hints(country_codes=["FR"]),
            ),
            idempotency_key="g",
            label="over gRPC",
        )
        job = stub.SubmitJob(request, metadata=mine, timeout=20)
        assert stub.SubmitJob(request, metadata=mine, timeout=20).job_id == job.job_id
        assert job.state == jobs_pb2.JOB_STATE_QUEUED
        assert list(job.parameters.references_per_prompt.counts) == [0, 3]
        assert job.parameters.temperature == 0.0
        assert job.parameters.HasField("temperature")
        assert job.parameters.dissimilar == retrieval_pb2.DISSIMILAR_NONE
        assert list(job.parameters.hints.country_codes) == ["FR"]
        api.retrieve(job.job_id)
        api.succeed(job.job_id)
        read = stub.GetJob(jobs_pb2.GetJobRequest(job_id=job.job_id), metadata=mine, timeout=20)
        assert read.result.coordinates.latitude == 48.85837
        assert read.result.candidates[0].origin == jobs_pb2.ORIGIN_RETRIEVED
        listed = stub.ListJobs(
            jobs_pb2.ListJobsRequest(page_size=1, state=jobs_pb2.JOB_STATE_SUCCEEDED), metadata=mine, timeout=20
        )
        assert [each.job_id for each in listed.jobs] == [job.job_id]
        for call in (
            lambda: stub.GetJob(jobs_pb2.GetJobRequest(job_id=job.job_id), metadata=other, timeout=20),
            lambda: stub.CancelJob(jobs_pb2.CancelJobRequest(job_id=job.job_id), metadata=other, timeout=20),
            lambda: list(stub.WatchJob(jobs_pb2.WatchJobRequest(job_id=job.job_id), metadata=other, timeout=20)),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as caught:
            stub.CancelJob(jobs_pb2.CancelJobRequest(job_id=job.job_id), metadata=mine, timeout=20)
        assert caught.value.code() == grpc.StatusCode.ABORTED


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"photo": b"nothing"}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"photo": b"\0" * (20 * 2**20 + 1)}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"parameters": jobs_pb2.Parameters(samples_per_prompt=33)}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"parameters": jobs_pb2.Parameters(temperature=float("nan"))}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"parameters": jobs_pb2.Parameters(strategy=77)}, grpc.StatusCode.INVALID_ARGUMENT),  # type: ignore[arg-type]
        (
            {"parameters": jobs_pb2.Parameters(strategy=jobs_pb2.STRATEGY_KNN, gallery=5)},
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            {"parameters": jobs_pb2.Parameters(abstain_below=jobs_pb2.AbstainBelow(probability=0.5, within_km=3))},
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        ({"label": "x" * 256}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"idempotency_key": "x" * 256}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"label": "a\0b"}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_bad_submissions_over_grpc(api: Api, change: dict[str, Any], status: grpc.StatusCode) -> None:
    request = jobs_pb2.SubmitJobRequest(**({"photo": photos.jpeg()} | change))
    with api.stub() as stub, pytest.raises(grpc.RpcError) as caught:
        stub.SubmitJob(request, metadata=_bearer(api, "grpc bad"), timeout=20)
    assert caught.value.code() == status, caught.value.details()


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer g3_00000000_" + "a" * 43),)])
def test_grpc_without_a_key(api: Api, metadata: tuple[tuple[str, str], ...]) -> None:
    with api.stub() as stub:
        for call in (
            lambda: stub.GetJob(jobs_pb2.GetJobRequest(job_id=NOWHERE), metadata=metadata, timeout=20),
            lambda: list(stub.WatchJob(jobs_pb2.WatchJobRequest(job_id=NOWHERE), metadata=metadata, timeout=20)),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_watching_streams_every_change_resumes_and_is_bounded(api: Api) -> None:
    mine = _bearer(api, "watcher")
    with api.stub() as stub:
        job = stub.SubmitJob(jobs_pb2.SubmitJobRequest(photo=photos.jpeg()), metadata=mine, timeout=20)
        request = jobs_pb2.WatchJobRequest(job_id=job.job_id)
        watches = [stub.WatchJob(request, metadata=mine, timeout=60) for _ in range(2)]
        firsts = [next(watch) for watch in watches]
        assert [first.job.state for first in firsts] == [jobs_pb2.JOB_STATE_QUEUED] * 2
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.WatchJob(request, metadata=mine, timeout=20))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

        def work() -> None:
            api.retrieve(job.job_id)
            api.succeed(job.job_id)

        doing = threading.Thread(target=work)
        doing.start()
        rest = [[event.event_id for event in watch] for watch in watches]
        doing.join()
        assert rest == [[2, 3, 4], [2, 3, 4]]
        request.after_event = 3
        [last] = stub.WatchJob(request, metadata=mine, timeout=20)
        assert last.job.state == jobs_pb2.JOB_STATE_SUCCEEDED
        assert last.job.result.place.city == "Paris"
        request.after_event = 4
        assert list(stub.WatchJob(request, metadata=mine, timeout=20)) == []
