"""`G3` and `AsyncG3` against a real server: the same scenarios for both."""

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from g3_client import (
    G3,
    AsyncG3,
    Conflict,
    ConnectionFailed,
    Exhausted,
    Job,
    JobState,
    Missing,
    Origin,
    Parameters,
    Patience,
    Rejected,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unintelligible,
    UnusablePhoto,
)

QUICK = Patience(attempts=4, first_s=0.01, longest_s=0.02)
Run = Callable[..., Any]


def _sync(name: str, *args: Any, patience: Patience = QUICK, transport: Any = None, **options: Any) -> Any:
    with G3(patience=patience, transport=transport) as g3:
        answer = getattr(g3, name)(*args, **options)
        return list(answer) if name in {"list", "watch"} else answer


def _async(name: str, *args: Any, patience: Patience = QUICK, transport: Any = None, **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncG3(patience=patience, transport=transport) as g3:
            answer = getattr(g3, name)(*args, **options)
            return [item async for item in answer] if name in {"list", "watch"} else await answer

    return asyncio.run(run())


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Calls a method of a client, blocking or awaiting."""
    return request.param  # type: ignore[no-any-return]


def test_submits_photo_parameters_and_label(api: Any, run: Run) -> None:
    job = run("submit", b"photo bytes", parameters=Parameters(profile="paper", top_k=3), label="Zürich")
    assert isinstance(job, Job)
    assert job.state is JobState.SUCCEEDED
    request = api.received[0]
    assert request.headers["authorization"] == "Bearer secret"
    assert b'name="photo"; filename="photo"' in request.body
    assert b"photo bytes" in request.body
    assert b'{"profile": "paper", "top_k": 3}' in request.body
    assert "Zürich".encode() in request.body


@pytest.mark.parametrize("form", ["path", "text", "bytes", "file"])
def test_takes_a_photo_in_every_form(api: Any, run: Run, tmp_path: Path, form: str) -> None:
    path = tmp_path / "secret name.jpg"
    path.write_bytes(b"photo bytes")
    given = {"path": path, "text": str(path), "bytes": b"photo bytes", "file": io.BytesIO(b"photo bytes")}[form]
    run("submit", given)
    assert b"photo bytes" in api.received[0].body
    assert b"secret name" not in api.received[0].body


def test_tries_a_submission_again_under_the_same_key(api: Any, run: Run, answering: Any, refusal: Any) -> None:
    busy = refusal(503, "unavailable", "Soon.")
    busy.headers["Retry-After"] = "0"
    api.faults = [answering(cut=True), busy, answering(502, None)]
    assert run("submit", b"photo").succeeded
    keys = {request.headers["idempotency-key"] for request in api.received}
    assert (len(api.received), len(keys), len(api.jobs)) == (4, 1, 1)


def test_gives_up_after_the_last_attempt(api: Any, run: Run, refusal: Any) -> None:
    api.faults = [refusal(503, "unavailable", "Soon.") for _ in range(9)]
    with pytest.raises(Unavailable, match="Soon"):
        run("get", "job-1")
    assert len(api.received) == QUICK.attempts


def test_honours_retry_after_and_refuses_to_wait_too_long(api: Any, run: Run, refusal: Any) -> None:
    full = refusal(429, "exhausted", "Full.")
    full.headers["Retry-After"] = "3600"
    api.faults = [full]
    with pytest.raises(Exhausted) as caught:
        run("get", "job-1")
    assert caught.value.retry_after_s == 3600
    assert len(api.received) == 1


def test_waits_as_long_as_retry_after_says() -> None:
    failure = Exhausted("Full.", status=429, code="exhausted", retry_after_s=7)
    assert QUICK.after(failure, 1) == 7
    assert QUICK.after(Rejected("No.", status=422, code="rejected"), 1) is None
    waits = {Patience(first_s=1).after(ConnectionFailed("gone"), 2) for _ in range(20)}
    assert len(waits) > 1
    assert all(wait is not None and 1 <= wait <= 2 for wait in waits)


def test_does_not_repeat_what_stays_wrong(api: Any, run: Run) -> None:
    with pytest.raises(Rejected) as caught:
        run("submit", b"not a photo")
    assert caught.value.code == "rejected"
    assert caught.value.errors[0].field == "photo"
    assert str(caught.value) == "This is no photo; photo (422 rejected)"
    assert len(api.received) == 1


def test_names_what_is_missing_forbidden_or_over(api: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Missing):
        run("get", "nothing")
    with pytest.raises(Missing):
        run("get", "..")
    run("submit", b"photo")
    with pytest.raises(Conflict):
        run("cancel", "job-1")
    monkeypatch.setenv("G3_API_KEY", "wrong")
    with pytest.raises(Unauthenticated):
        run("get", "job-1")


def test_an_id_stays_one_segment_of_the_path(api: Any, run: Run) -> None:
    with pytest.raises(Missing):
        run("get", "../../readyz?x=/")
    assert api.received[0].path == "/v1/jobs/..%2F..%2Freadyz%3Fx%3D%2F"


def test_lists_every_page(api: Any, run: Run, made_job: Any) -> None:
    api.jobs = {str(n): made_job(str(n), "failed" if n % 2 else "succeeded") for n in range(7)}
    assert [job.job_id for job in run("list")] == [str(n) for n in range(7)]
    assert [job.job_id for job in run("list", state=JobState.FAILED, page_size=2)] == ["1", "3", "5"]
    assert "limit=2" in api.received[-1].path


def test_a_listing_that_does_not_advance_ends(api: Any, run: Run, answering: Any) -> None:
    api.faults = [answering(200, {"jobs": [], "next_cursor": "1"}) for _ in range(5)]
    with pytest.raises(Unintelligible, match="advance"):
        run("list")
    assert len(api.received) == 2


def test_waits_until_the_job_has_ended(api: Any, run: Run, made_job: Any, answering: Any) -> None:
    states = ["queued", "generating", "verifying"]
    api.faults = [answering(200, made_job(state=state)) for state in states]
    api.jobs = {"job-1": made_job()}
    seen: list[str] = []
    assert run("wait", "job-1", 20, on_change=lambda job: seen.append(job.state)).succeeded
    assert seen == [*states, "succeeded"]
    assert api.received[0].headers["prefer"].startswith("wait=")


def test_waiting_has_an_end(api: Any, run: Run, made_job: Any) -> None:
    api.jobs = {"job-1": made_job(state="generating")}
    with pytest.raises(TimedOut, match="still generating") as caught:
        run("wait", "job-1", 0.3)
    assert caught.value.job_id == "job-1"


def test_locate_submits_and_waits(api: Any, run: Run, made_job: Any) -> None:
    api.made = lambda job_id, request: made_job(job_id, "failed")
    job = run("locate", b"photo")
    assert (job.state, job.result, job.failure.code) == (JobState.FAILED, None, "unavailable")
    assert api.received[0].headers["prefer"] == "wait=20"


def test_readiness_reads_a_503(api: Any, run: Run) -> None:
    assert run("readiness").ready
    api.problems = {"postgres": "gone"}
    readiness = run("readiness")
    assert (readiness.ready, readiness.problems) == (False, {"postgres": "gone"})


def test_no_server_and_a_silent_server_differ(api: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("too slow", request=request)

    with pytest.raises(TimedOut):
        run("get", "job-1", transport=httpx.MockTransport(silent))
    monkeypatch.setenv("G3_URL", "http://127.0.0.1:9")
    with pytest.raises(ConnectionFailed, match="cannot be reached"):
        run("get", "job-1")


@pytest.mark.parametrize(
    ("body", "words"), [("<html>", "no Job"), ('{"job_id": 3}', "no Job"), ("[]", "no Job"), ("{}", "job_id")]
)
def test_another_server_is_told_apart(api: Any, run: Run, body: str, words: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=body))
    with pytest.raises(Unintelligible, match=words):
        run("get", "job-1", transport=transport)


def test_a_redirect_is_not_followed_with_the_key(api: Any, run: Run) -> None:
    asked: list[httpx.URL] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(301, headers={"location": "https://evil.example/"})

    with pytest.raises(Unintelligible, match=r"evil\.example"):
        run("get", "job-1", transport=httpx.MockTransport(elsewhere))
    assert len(asked) == 1


def test_a_proxy_without_problem_documents_is_understood(api: Any, run: Run) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(413, text="<h1>too big</h1>"))
    with pytest.raises(Rejected, match="413"):
        run("submit", b"photo", transport=transport)


@pytest.mark.parametrize("content", [b"", None])
def test_a_photo_that_is_not_there_is_said_before_sending(api: Any, run: Run, tmp_path: Path, content: Any) -> None:
    path = tmp_path / "photo.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnusablePhoto, match=r"photo\.jpg"):
        run("submit", path)
    assert api.received == []


def test_what_cannot_be_sent_is_refused_here(api: Any, run: Run) -> None:
    with pytest.raises(Rejected, match="Idempotency-Key"):
        run("submit", b"photo", idempotency_key="käse")
    with pytest.raises(Rejected, match="parameters"):
        run("submit", b"photo", parameters={"temperature": float("nan")})
    assert api.received == []


def test_new_words_and_fields_of_a_newer_server_are_kept(made_job: Any) -> None:
    document = made_job(state="resting", confidence=0.5)
    job = Job.model_validate_json(json.dumps(document))
    assert (job.state, job.ended, job.model_dump()["confidence"]) == ("resting", False, 0.5)
    document = made_job()
    document["result"]["candidates"][0]["origin"] = "oracle"
    parsed = Job.model_validate(document)
    assert parsed.result is not None
    assert parsed.result.candidates[0].origin == "oracle"
    assert parsed.result.candidates[1].origin is Origin.RETRIEVED
    assert json.loads(parsed.model_dump_json())["result"]["candidates"][0]["origin"] == "oracle"
