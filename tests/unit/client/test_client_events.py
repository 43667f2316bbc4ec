"""Server-sent events: the reader byte by byte, and following a job over broken connections."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from g3_client import G3, AsyncG3, ConnectionFailed, JobEvent, Missing, Patience, TimedOut, Unintelligible
from g3_client import events as g3_events
from g3_client.events import EventReader, ServerSentEvent

QUICK = Patience(attempts=3, first_s=0.01, longest_s=0.02)
STREAM = {"Content-Type": "text/event-stream"}
Watch = Callable[..., list[JobEvent]]


def _sync(job_id: str, **options: Any) -> list[JobEvent]:
    with G3(patience=QUICK) as g3:
        return list(g3.watch(job_id, **options))


def _async(job_id: str, **options: Any) -> list[JobEvent]:
    async def run() -> list[JobEvent]:
        async with AsyncG3(patience=QUICK) as g3, aclosing(g3.watch(job_id, **options)) as events:
            return [event async for event in events]

    return asyncio.run(run())


@pytest.fixture(params=[_sync, _async], ids=["sync", "async"])
def watch(request: pytest.FixtureRequest) -> Watch:
    """Follows a job, blocking or awaiting."""
    return request.param  # type: ignore[no-any-return]


STREAM_TEXT = (
    '\ufeffretry: 1500\n\n: comment\nid: 1\nevent: job\ndata: {"a":\ndata:  "\u2028\x85é"}\n\n'
    "data: second\r\n\r\nid: 3\r\ndata\r\n\r\nid: x\0y\ndata: last\n\nid: 9\ndata: unfinished"
)
EXPECTED = [
    ServerSentEvent("job", '{"a":\n "\u2028\x85é"}', "1"),
    ServerSentEvent("message", "second", "1"),
    ServerSentEvent("message", "", "3"),
    ServerSentEvent("message", "last", "3"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_reads_events_however_they_are_cut(size: int) -> None:
    reader, content = EventReader(), STREAM_TEXT.encode()
    found = [e for start in range(0, len(content), size) for e in reader.feed(content[start : start + size])]
    assert found == EXPECTED
    assert reader.retry_s == 1.5
    assert reader.last_id == "3"


def test_carriage_returns_alone_end_lines() -> None:
    assert list(EventReader().feed(b"data: a\rdata: b\r\r\r")) == [ServerSentEvent("message", "a\nb", "")]


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(g3_events, "MAX_EVENT_BYTES", 100)
    reader = EventReader()
    assert [event for _ in range(10) for event in reader.feed(b"data: 123456789\n")] == []
    with pytest.raises(Unintelligible):
        list(reader.feed(b"data: 123456789\n"))


def test_resumes_after_the_event_seen_last(
    api: Any, watch: Watch, made_job: Any, made_event: Any, answering: Any
) -> None:
    first = [
        made_event(1, made_job(state="queued")),
        made_event(2, made_job(state="retrieving", label="\u2028")),
        b"id: 3\nda",
    ]
    again = [made_event(2, made_job(state="retrieving")), made_event(4, made_job())]
    api.faults = [answering(200, headers=STREAM, chunks=first), answering(cut=True), answering(503, None)]
    api.faults += [answering(200, headers=STREAM, chunks=again)]
    events = watch("job-1")
    assert [(e.event_id, str(e.job.state)) for e in events] == [(1, "queued"), (2, "retrieving"), (4, "succeeded")]
    assert [r.headers.get("last-event-id") for r in api.received] == [None, "2", "2", "2"]
    assert api.received[0].headers["accept"] == "text/event-stream"


def test_starts_after_an_event_and_stops_when_told(api: Any, watch: Watch, answering: Any) -> None:
    api.faults = [answering(204, None)]
    assert watch("job-1", after_event=7) == []
    assert api.received[0].headers["last-event-id"] == "7"


def test_a_stream_that_brings_nothing_is_given_up(api: Any, watch: Watch, made_job: Any, answering: Any) -> None:
    api.jobs = {"job-1": made_job(state="generating")}
    running = answering(200, made_job(state="generating"))
    empty = answering(200, headers=STREAM, chunks=[b"retry: 10\n\n"])
    api.faults = [empty, running] * 5
    with pytest.raises(ConnectionFailed, match="closes the stream"):
        watch("job-1")
    assert len([r for r in api.received if r.path.endswith("/events")]) == QUICK.attempts


def test_a_stream_that_repeats_itself_is_given_up(
    api: Any, watch: Watch, made_job: Any, made_event: Any, answering: Any
) -> None:
    queued = made_job(state="queued")
    api.faults = [answering(200, headers=STREAM, chunks=[made_event(1, queued)])]
    again = [answering(200, headers=STREAM, chunks=[made_event(1, queued)]), answering(200, queued)]
    api.faults += again * 5
    with pytest.raises(ConnectionFailed):
        watch("job-1")


def test_a_silent_end_of_an_ended_job_is_an_end(api: Any, watch: Watch, made_job: Any, answering: Any) -> None:
    api.jobs = {"job-1": made_job()}
    api.faults = [answering(200, headers=STREAM, chunks=[b": nothing\n\n"])]
    assert watch("job-1", after_event=3) == []


def test_watching_has_an_end(api: Any, watch: Watch, made_job: Any, made_event: Any, answering: Any) -> None:
    parts = [made_event(number, made_job(state="queued")) for number in range(1, 1000)]
    api.faults = [answering(200, headers=STREAM, chunks=[part]) for part in parts]
    with pytest.raises(TimedOut, match="has not ended"):
        watch("job-1", timeout_s=0.3)


def test_says_what_is_no_job_and_no_stream(api: Any, watch: Watch, answering: Any) -> None:
    with pytest.raises(Missing):
        watch("nothing")
    api.faults = [answering(200, {})]
    with pytest.raises(Unintelligible, match="stream of events"):
        watch("job-1")
    api.faults = [answering(200, headers=STREAM, chunks=[b"data: {}\n\n"])]
    with pytest.raises(Unintelligible, match="JobEvent"):
        watch("job-1")
