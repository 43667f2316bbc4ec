"""Ingest runs over REST and gRPC as callers meet them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from g3_client import G3
from g3_client import errors as client_errors
from g3_orchestrator.rest.ingest_schemas import Ingest, IngestPage
from g3_orchestrator.runs import IngestPlan, Reject, Tally
from g3_orchestrator.stages import Policy, Ref, Stages
from g3_orchestrator.states import StageName
from g3_protos.orchestrator.v1 import ingests_pb2, ingests_pb2_grpc, jobs_pb2

from tests.servers.orchestrator_api import Api, orchestrator_api

pytestmark = pytest.mark.needs("postgres")
SPEC = {"source": "/photos", "table": "/photos/photos.csv", "shards": 2, "label": "first"}


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    with orchestrator_api(database_url, tmp_path) as running:
        yield running


def plan_and_fill(api: Api, ingest_id: str) -> None:
    """Does the plan and a part of shard 0, as a worker would."""
    stages = Stages(api.store, Policy())
    from uuid import UUID

    run = UUID(ingest_id)
    plan = Ref(run, StageName.PLAN, 1, "w")
    stages.claim(plan)
    stages.record_plan(plan, IngestPlan(10, 2, "mine", "m" * 64, 8, "s"))
    stages.complete(plan)
    fill = Ref(run, StageName.FILL, 1, "w")
    stages.claim(fill)
    stages.advance(fill, Tally(4, 3, 0, 1, 0, {"rejected: no": 1}), [Reject(2, "a, b.jpg", "rejected", "no")])


def test_a_run_is_submitted_read_listed_and_cancelled(api: Api) -> None:
    with api.client() as client:
        answer = client.post("/v1/ingests", json=SPEC)
        assert answer.status_code == 202, answer.text
        run = Ingest.model_validate_json(answer.text)
        assert answer.headers["location"] == f"/v1/ingests/{run.ingest_id}"
        assert (run.state, run.label, run.spec.alias, run.plan, run.shards) == (
            "queued",
            "first",
            "references",
            None,
            [],
        )
        plan_and_fill(api, run.ingest_id)
        read = Ingest.model_validate_json(client.get(f"/v1/ingests/{run.ingest_id}").text)
        assert read.plan is not None
        assert [(shard.rows, shard.state, shard.tally.read) for shard in read.shards] == [
            (5, "leased", 4),
            (5, "pending", 0),
        ]
        assert (read.total.written, read.total.reasons) == (3, {"rejected: no": 1})
        page = IngestPage.model_validate_json(client.get("/v1/ingests", params={"state": "filling"}).text)
        assert [(found.ingest_id, found.total.read, found.shards) for found in page.ingests] == [(run.ingest_id, 4, [])]
        rejects = client.get(f"/v1/ingests/{run.ingest_id}/rejects")
        assert rejects.headers["content-type"].startswith("text/csv")
        assert rejects.text.splitlines() == ["row,id,code,reason", '2,"a, b.jpg",rejected,no']
        for _ in range(2):
            cancelled = client.post(f"/v1/ingests/{run.ingest_id}/cancel")
            assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
        assert client.get("/v1/jobs").json()["jobs"] == []
        assert client.get(f"/v1/jobs/{run.ingest_id}").status_code == 404


def test_a_key_gives_the_same_run_and_another_request_is_refused(api: Api) -> None:
    with api.client() as client:
        headers = {"Idempotency-Key": "k"}
        first, second = (client.post("/v1/ingests", json=SPEC, headers=headers).json() for _ in range(2))
        assert first["ingest_id"] == second["ingest_id"]
        other = client.post("/v1/ingests", json=SPEC | {"shards": 3}, headers=headers)
        assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "idempotency_key")


def test_pages_hold_every_run_once_and_only_the_callers_own(api: Api) -> None:
    with api.client() as client, api.client(api.key("another")) as stranger:
        made = [client.post("/v1/ingests", json=SPEC).json()["ingest_id"] for _ in range(5)]
        found, cursor = [], ""
        while True:
            page = client.get("/v1/ingests", params={"limit": 2, "cursor": cursor}).json()
            found += [run["ingest_id"] for run in page["ingests"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
        assert found == list(reversed(made))
        assert stranger.get("/v1/ingests").json()["ingests"] == []
        for call in (stranger.get, stranger.post):
            path = f"/v1/ingests/{made[0]}" + ("/cancel" if call == stranger.post else "")
            assert call(path).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b'{"source": ""}', 422),
        (b'{"source": "/x", "sauce": 1}', 422),
        (b'{"source": "/x", "shards": "2"}', 422),
        (b'{"source": "/x", "near_duplicate": 0.1}', 422),
        (b'{"source": "/x", "label": "\\ud800"}', 422),
        (b'{"source": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_bad_bodies_are_problems(api: Api, body: bytes, status: int) -> None:
    with api.client() as client:
        answer = client.post("/v1/ingests", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_no_key_no_run(api: Api) -> None:
    with api.client("") as client:
        answers: list[httpx.Response] = [client.post("/v1/ingests", json=SPEC), client.get("/v1/ingests")]
    assert [answer.status_code for answer in answers] == [401, 401]


def test_the_document_describes_the_routes(api: Api) -> None:
    with api.client() as client:
        document: dict[str, Any] = client.get("/openapi.json").json()
    assert {path for path in document["paths"] if "ingests" in path} == {
        "/v1/ingests",
        "/v1/ingests/{ingest_id}",
        "/v1/ingests/{ingest_id}/cancel",
        "/v1/ingests/{ingest_id}/rejects",
    }
    assert {"Ingest", "IngestPage", "IngestSubmission", "Shard", "Tally"} <= document["components"]["schemas"].keys()


def test_grpc_gives_the_same_run(api: Api) -> None:
    metadata = (("authorization", f"Bearer {api.key()}"),)
    with grpc.insecure_channel(api.target) as channel:
        stub = ingests_pb2_grpc.IngestServiceStub(channel)
        spec = ingests_pb2.IngestSpec(source="/photos", least_recall_similar=0.5)
        request = ingests_pb2.SubmitIngestRequest(spec=spec, idempotency_key="k", label="mine")
        run = stub.SubmitIngest(request, metadata=metadata)
        assert (run.state, run.label, run.spec.alias, run.spec.at_once) == (
            jobs_pb2.JOB_STATE_QUEUED,
            "mine",
            "references",
            2,
        )
        assert run.spec.least_recall_similar == 0.5
        assert not run.spec.HasField("least_recall_dissimilar")
        assert stub.SubmitIngest(request, metadata=metadata).ingest_id == run.ingest_id
        plan_and_fill(api, run.ingest_id)
        read = stub.GetIngest(ingests_pb2.GetIngestRequest(ingest_id=run.ingest_id), metadata=metadata)
        assert (read.plan.rows, read.shards[0].tally.written, read.total.reasons["rejected: no"]) == (10, 3, 1)
        listed = stub.ListIngests(ingests_pb2.ListIngestsRequest(page_size=1), metadata=metadata)
        assert [found.ingest_id for found in listed.ingests] == [run.ingest_id]
        cancelled = stub.CancelIngest(ingests_pb2.CancelIngestRequest(ingest_id=run.ingest_id), metadata=metadata)
        assert cancelled.state == jobs_pb2.JOB_STATE_CANCELLED
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetIngest(ingests_pb2.GetIngestRequest(ingest_id="7"), metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_sdk_submits_follows_and_cancels(api: Api) -> None:
    with G3(api.url, api.key()) as g3:
        run = g3.submit_ingest("/photos", shards=2, idempotency_key="k")
        assert g3.submit_ingest("/photos", shards=2, idempotency_key="k").ingest_id == run.ingest_id
        plan_and_fill(api, run.ingest_id)
        read = g3.ingest(run)
        assert (read.state, read.total.read, len(read.shards), read.ended) == ("filling", 4, 2, False)
        assert [found.ingest_id for found in g3.ingests(limit=5).ingests] == [run.ingest_id]
        assert g3.ingest_rejects(run).splitlines()[1] == '2,"a, b.jpg",rejected,no'
        assert g3.cancel_ingest(run).ended
        with pytest.raises(client_errors.Rejected):
            g3.submit_ingest("")
        with pytest.raises(client_errors.Missing):
            g3.ingest("..")
