"""The SDK and the command against the real API over a real PostgreSQL: nothing of the wire is imagined here."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from g3_client import G3, AsyncG3, Conflict, JobState, Missing, Parameters, Rejected, Unauthenticated
from g3_client import command as g3_command
from typer.testing import CliRunner

from tests.servers import photos
from tests.servers.orchestrator_api import EIFFEL, Api, orchestrator_api
from tests.servers.postgres import fresh_database

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture(scope="module")
def api(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        fresh_database(postgres_url) as url,
        orchestrator_api(url, tmp_path_factory.mktemp("blobs"), heartbeat_s=0.3) as running,
    ):
        yield running


@pytest.fixture
def g3(api: Api, request: pytest.FixtureRequest) -> Iterator[G3]:
    """A client of a tenant of the test's own."""
    with G3(api.url, api.key(request.node.name[:100])) as client:
        yield client


def _answered(api: Api, job_id: str) -> None:
    api.retrieve(job_id)
    api.succeed(job_id)


def test_a_job_from_submission_to_result(api: Api, g3: G3) -> None:
    job = g3.submit(photos.jpeg(), parameters=Parameters(profile="paper", top_k=3), label="order 7/é")
    assert (job.state, job.label, job.parameters["profile"]) == (JobState.QUEUED, "order 7/é", "paper")
    threading.Timer(0.2, _answered, (api, job.job_id)).start()
    ended = g3.wait(job, 20)
    assert ended.result is not None
    assert ended.result.coordinates.latitude == EIFFEL.latitude
    assert (str(ended.result.place), ended.degraded) == ("Paris, Île-de-France, France", ("generation",))
    assert ended.result.references[0].reference.id == "photo 1"
    assert ended.model_extra == {}
    assert ended == g3.get(job.job_id)


def test_events_lead_to_the_end_and_resume(api: Api, g3: G3) -> None:
    job = g3.submit(photos.jpeg())
    threading.Timer(0.2, _answered, (api, job.job_id)).start()
    events = list(g3.watch(job, timeout_s=20))
    assert events[-1].job.state is JobState.SUCCEEDED
    numbers = [event.event_id for event in events]
    assert numbers == sorted(set(numbers))
    assert len(numbers) >= 2
    assert [e.event_id for e in g3.watch(job, after_event=numbers[-2])] == [numbers[-1]]
    assert list(g3.watch(job, after_event=numbers[-1])) == []


def test_the_same_key_gives_the_same_job(g3: G3) -> None:
    first = g3.submit(photos.jpeg(), idempotency_key="order-7")
    assert g3.submit(photos.jpeg(), idempotency_key="order-7").job_id == first.job_id
    with pytest.raises(Rejected):
        g3.submit(photos.jpeg(seed=1), idempotency_key="order-7")


def test_listing_goes_through_every_page(g3: G3) -> None:
    made = [g3.submit(photos.jpeg(seed)).job_id for seed in range(5)]
    assert [job.job_id for job in g3.list(page_size=2)] == made[::-1]
    cancelled = g3.cancel(made[2])
    assert [job.job_id for job in g3.list(state=cancelled.state, page_size=1)] == [made[2]]


def test_refusals_are_the_tree(api: Api, g3: G3) -> None:
    with pytest.raises(Rejected):
        g3.submit(b"no photo")
    with pytest.raises(Rejected) as caught:
        g3.submit(photos.jpeg(), parameters={"temperature": 7})
    assert "temperature" in str(caught.value)
    with pytest.raises(Rejected) as caught:
        g3.submit(photos.jpeg(), parameters={"strategy": "knn", "samples_per_prompt": 3})
    assert "leave samples_per_prompt out" in str(caught.value)
    with pytest.raises(Missing):
        g3.get("0190b5a0-0000-7000-8000-000000000000")
    failed = g3.submit(photos.jpeg())
    api.fail(failed.job_id)
    with pytest.raises(Conflict):
        g3.cancel(failed)
    with pytest.raises(Unauthenticated), G3(api.url, "g3_wrong") as stranger:
        stranger.get(failed)


def test_the_awaiting_client_and_readiness(api: Api) -> None:
    async def run() -> list[JobState]:
        async with AsyncG3(api.url, api.key("awaiting")) as client:
            assert (await client.readiness()).ready
            job = await client.submit(photos.jpeg())
            await asyncio.to_thread(api.fail, job.job_id)
            return [event.job.state async for event in client.watch(job, timeout_s=20)]

    assert asyncio.run(run())[-1] is JobState.FAILED


def test_the_command(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3_URL", api.url)
    monkeypatch.setenv("G3_API_KEY", api.key("command"))
    (tmp_path / "photo.jpg").write_bytes(photos.jpeg())
    runner = CliRunner()
    sent = runner.invoke(g3_command.app, ["locate", str(tmp_path / "photo.jpg"), "--wait", "0", "--json"])
    job_id = json.loads(sent.stdout)["job"]["job_id"]
    status = json.loads(runner.invoke(g3_command.app, ["status", "--json"]).stdout)
    assert (status["ready"], status["running"]["queued"]) == (True, 1)
    _answered(api, job_id)
    shown = runner.invoke(g3_command.app, ["jobs", "show", job_id, "--map", str(tmp_path / "map.png")])
    assert shown.exit_code == 0, shown.stderr
    assert "48.85837° N, 2.29448° E" in shown.stdout
    assert "Paris" in (tmp_path / "map.html").read_text(encoding="utf-8")
