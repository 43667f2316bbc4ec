"""One contract for every sampler, and what the one over HTTP makes of a misbehaving endpoint."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack

import pytest
from g3_generation.fakes import FakeSampler
from g3_generation.openai_sampler import OpenAISampler
from g3_generation.sampler import Question, Reply, Sampler
from g3_kit.errors import Exhausted, Late, Rejected, Unavailable

from tests.servers.scripted_lmm import (
    Body,
    HalfBody,
    Hang,
    OneOnly,
    Says,
    ScriptedLmm,
    Status,
    Step,
    Trickle,
)

Serving = Callable[..., tuple[OpenAISampler, ScriptedLmm]]


def question(n: int = 3, deadline_s: float = 10.0) -> Question:
    return Question(("where?", b"\xff\xd8jpeg"), n, 1.2, deadline_s)


def asked(sampler: Sampler, n: int = 3, deadline_s: float = 10.0) -> list[Reply]:
    return sampler.ask(question(n, deadline_s)).result(timeout=30)


@pytest.fixture
def serving() -> Iterator[Serving]:
    with ExitStack() as stack:

        def make(*steps: Step) -> tuple[OpenAISampler, ScriptedLmm]:
            lmm = stack.enter_context(ScriptedLmm(steps))
            sampler = OpenAISampler(lmm.url, "some-model", api_key="secret", max_tokens=99)
            stack.callback(sampler.close)
            return sampler, lmm

        yield make


@pytest.fixture(params=["fake", "openai"])
def behaving(request: pytest.FixtureRequest, serving: Serving) -> Callable[[str], Sampler]:
    def make(manner: str) -> Sampler:
        if request.param == "openai":
            steps: dict[str, list[Step]] = {
                "well": [Says("a", "b", "c")],
                "short": [Says("a", "b", most=2)],
                "full": [Status(429, retry_after_s=7), Says("a")],
                "down": [Status(500), Says("a")],
                "refusing": [Status(400), Status(400), Says("a")],
                "hanging": [Hang()],
            }
            return serving(*steps[manner])[0]
        fakes = {
            "well": FakeSampler(),
            "short": FakeSampler(most=2),
            "full": FakeSampler(errors=[Exhausted("full", retry_after_s=7)]),
            "down": FakeSampler(errors=[Unavailable("down")]),
            "refusing": FakeSampler(errors=[Rejected("no")]),
            "hanging": FakeSampler(hang=True),
        }
        return fakes[manner]

    return make


def test_n_answers_to_a_question(behaving: Callable[[str], Sampler]) -> None:
    replies = asked(behaving("well"), 3)
    assert len(replies) == 3
    assert len({reply.text for reply in replies}) == 3
    assert all(reply.model and reply.prompt_tokens > 0 and reply.answer_tokens > 0 for reply in replies)


def test_never_more_and_never_none(behaving: Callable[[str], Sampler]) -> None:
    sampler = behaving("short")
    assert len(asked(sampler, 3)) == 2
    assert len(asked(sampler, 1)) == 1


def test_a_full_endpoint_says_when(behaving: Callable[[str], Sampler]) -> None:
    sampler = behaving("full")
    with pytest.raises(Exhausted) as caught:
        asked(sampler)
    assert caught.value.retry_after_s == 7
    assert asked(sampler)


def test_a_failing_endpoint_is_unavailable(behaving: Callable[[str], Sampler]) -> None:
    sampler = behaving("down")
    with pytest.raises(Unavailable):
        asked(sampler)
    assert asked(sampler)


def test_a_refusal_is_final(behaving: Callable[[str], Sampler]) -> None:
    sampler = behaving("refusing")
    with pytest.raises(Rejected):
        asked(sampler)
    assert asked(sampler)


def test_the_deadline_holds(behaving: Callable[[str], Sampler]) -> None:
    began = time.monotonic()
    with pytest.raises(Late):
        asked(behaving("hanging"), deadline_s=0.3)
    assert time.monotonic() - began < 3


def test_a_call_can_be_abandoned(behaving: Callable[[str], Sampler]) -> None:
    future: Future[list[Reply]] = behaving("hanging").ask(question(deadline_s=60))
    time.sleep(0.1)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(timeout=1)


def test_closing_abandons_what_is_in_flight(behaving: Callable[[str], Sampler]) -> None:
    sampler = behaving("hanging")
    future = sampler.ask(question(deadline_s=60))
    time.sleep(0.1)
    sampler.close()
    assert future.cancelled()


def test_the_request_is_openais(serving: Serving) -> None:
    sampler, lmm = serving(Says("a", "b"))
    replies = asked(sampler, 2)
    assert replies == [Reply("a", "scripted-lmm", 100, 7), Reply("b", "scripted-lmm", 100, 7)]
    (request,) = lmm.asked
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer secret"
    image = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8jpeg").decode()
    assert request.body == {
        "model": "some-model",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "where?"}, {"type": "image_url", "image_url": {"url": image}}],
            }
        ],
        "n": 2,
        "temperature": 1.2,
        "max_tokens": 99,
    }


def test_an_abandoned_call_hangs_up(serving: Serving) -> None:
    sampler, lmm = serving(Hang())
    future = sampler.ask(question(deadline_s=60))
    while not lmm.asked:
        time.sleep(0.01)
    future.cancel()
    assert lmm.asked[0].abandoned.wait(5)


def test_a_trickle_of_bytes_does_not_outlast_the_deadline(serving: Serving) -> None:
    sampler, lmm = serving(Trickle(0.05))
    with pytest.raises(Late):
        asked(sampler, deadline_s=0.5)
    assert lmm.asked[0].abandoned.wait(5)


@pytest.mark.parametrize(
    "step",
    [
        Body(b"<html>please log in</html>"),
        Body(b""),
        Body(b"[]"),
        Body(b'{"choices": 3}'),
        Body(b'{"choices": [' + b"[" * 100_000),
        Body(b"\xff\xfe{"),
        Body(b" " * (5 * 1024 * 1024)),
        HalfBody(),
        Status(408),
        Status(503, retry_after_s=1),
    ],
    ids=["page", "empty", "list", "number", "deep", "bytes", "huge", "half", "408", "503"],
)
def test_what_is_no_chat_completion_is_a_failure_of_the_moment(serving: Serving, step: Step) -> None:
    sampler, _ = serving(step, Says("a"))
    with pytest.raises(Unavailable):
        asked(sampler)
    assert [reply.text for reply in asked(sampler, 1)] == ["a"]


def test_nobody_there_is_unavailable(serving: Serving) -> None:
    with ScriptedLmm([Says("a")]) as lmm:
        url = lmm.url
    sampler = OpenAISampler(url, "m")
    try:
        with pytest.raises(Unavailable):
            asked(sampler)
    finally:
        sampler.close()
        sampler.close()


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422])
def test_other_statuses_are_final(serving: Serving, status: int) -> None:
    sampler, _ = serving(Status(status, message="key sk-123 is wrong"))
    with pytest.raises(Rejected) as caught:
        asked(sampler)
    assert str(status) in caught.value.message
    assert ("sk-123" in caught.value.message) == (status not in {401, 403})


def test_a_server_that_ignores_n_is_asked_one_at_a_time(serving: Serving) -> None:
    sampler, lmm = serving(Says("a", most=1))
    for _ in range(4):
        assert len(asked(sampler, 5)) == 1
    assert [request.body["n"] for request in lmm.asked] == [5, 5, 1, 1]


def test_a_server_that_refuses_n_is_asked_one_at_a_time(serving: Serving) -> None:
    sampler, lmm = serving(OneOnly("a"))
    for _ in range(3):
        assert len(asked(sampler, 5)) == 1
    assert [request.body["n"] for request in lmm.asked] == [5, 1, 1, 1]


def test_odd_choices_have_arrived_all_the_same(serving: Serving) -> None:
    body = b"""{"choices": [{"message": {"content": null}}, {"message": {"content": null, "refusal": "I will not"}},
        {"message": {"content": [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]}}, {}, 7],
        "usage": {"prompt_tokens": "many", "completion_tokens": -4}}"""
    sampler, _ = serving(Body(body))
    replies = asked(sampler, 9)
    assert [reply.text for reply in replies] == ["", "I will not", "in parts", ""]
    assert {(reply.model, reply.prompt_tokens, reply.answer_tokens) for reply in replies} == {("some-model", 0, 0)}


def test_what_was_cached_is_read(serving: Serving) -> None:
    for details, expected in ((b'{"cached_tokens": 64}', 64), (b"null", 0), (b'{"cached_tokens": "x"}', 0)):
        body = b'{"choices": [{"message": {"content": "a"}, "finish_reason": "length"}], "usage": {"prompt_tokens": 70,'
        sampler, _ = serving(Body(body + b'"prompt_tokens_details": ' + details + b"}}"))
        (reply,) = asked(sampler, 1)
        assert (reply.cached_tokens, reply.prompt_tokens, reply.cut) == (expected, 70, True)


def test_many_calls_side_by_side(serving: Serving) -> None:
    sampler, lmm = serving(Says("a", "b"))
    futures = [sampler.ask(question(2)) for _ in range(60)]
    assert all(len(future.result(timeout=30)) == 2 for future in futures)
    assert len(lmm.asked) == 60


@pytest.mark.parametrize(("reasons", "kept"), [(["abort", "stop", "length"], ["b", "c"]), (["abort", "abort"], None)])
def test_what_a_stopping_server_abandoned_was_not_answered(
    serving: Serving, reasons: list[str], kept: list[str] | None
) -> None:
    said = [
        {"index": k, "finish_reason": reason, "message": {"content": text}}
        for k, (reason, text) in enumerate(zip(reasons, "abc", strict=False))
    ]
    sampler, _ = serving(Body(json.dumps({"choices": said}).encode()))
    if kept is None:
        with pytest.raises(Unavailable, match="abandoned"):
            asked(sampler)
    else:
        assert [reply.text for reply in asked(sampler)] == kept
