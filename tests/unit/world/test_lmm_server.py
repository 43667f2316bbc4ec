"""The server over real HTTP with a tiny model of noise: forms are held, bounds are kept, callers may leave."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from g3_dialogue import JSON_SCHEMA, PATTERN, Point, Unread, read
from g3_kit.errors import Rejected

from tests.servers.lmm import NAME, chat, jpeg, serving, texts
from tests.servers.tiny_llava import write

LONG: dict[str, Any] = {"max_tokens": 7000, "n": 4, "structured_outputs": {"regex": "[ab]{6000}"}}
"""Half a minute, if nobody stops it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[httpx.Client]:
    with (
        serving(folder, lmm_waiting=2, lmm_max_body_bytes=200_000) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


def ask(http: httpx.Client, **fields: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", json=chat(**fields))


def figure(http: httpx.Client, name: str) -> float:
    found = re.search(rf'^{name}{{engine="0",model_name="{NAME}"}} (\S+)$', http.get("/metrics").text, re.MULTILINE)
    assert found, name
    return float(found[1])


def awaited(http: httpx.Client, name: str, value: float) -> None:
    ends = time.monotonic() + 20
    while figure(http, name) != value:
        assert time.monotonic() < ends, f"{name} never was {value}"
        time.sleep(0.02)


def test_n_answers_in_openais_form(http: httpx.Client) -> None:
    answer = ask(http, photo_=jpeg(), n=3, temperature=1.0)
    assert len(set(texts(answer))) == 3
    body = answer.json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["finish_reason"] for choice in body["choices"]} <= {"stop", "length"}
    assert body["object"] == "chat.completion"
    assert body["model"] == NAME
    usage = body["usage"]
    assert usage["prompt_tokens"] == 1 + len("user: ") + 16 + len("Where?\nassistant: ")
    assert usage["completion_tokens"] <= 24
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_seed_gives_the_same_answers_and_another_gives_others(http: httpx.Client) -> None:
    one, again, other = (texts(ask(http, n=3, seed=seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_temperature_zero_takes_the_likeliest(http: httpx.Client) -> None:
    assert len(set(texts(ask(http, n=4, temperature=0)))) == 1


def test_a_regular_expression_is_held(http: httpx.Client) -> None:
    answers = texts(ask(http, n=16, temperature=2, max_tokens=60, structured_outputs={"regex": PATTERN}))
    assert all(re.fullmatch(PATTERN, answer) for answer in answers)
    assert all(isinstance(read(answer), Point) for answer in answers)
    assert len(set(answers)) > 1


def test_a_schema_is_held(http: httpx.Client) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": JSON_SCHEMA}}
    answer = ask(http, n=16, temperature=2, max_tokens=200, response_format=form)
    ended = [choice for choice in answer.json()["choices"] if choice["finish_reason"] == "stop"]
    assert len(ended) >= 12  # noise may write decimals until the tokens run out
    for choice in ended:
        place = json.loads(choice["message"]["content"])
        assert list(place) == ["latitude", "longitude"]
        assert abs(place["latitude"]) <= 90
        assert abs(place["longitude"]) <= 180
        assert not isinstance(read(choice["message"]["content"]), Unread)


def test_choices_are_held(http: httpx.Client) -> None:
    choices = ["north (N).", "south"]
    assert set(texts(ask(http, n=20, structured_outputs={"choice": choices}, max_tokens=20))) <= set(choices)


def test_one_form_does_not_bind_the_requests_beside_it(http: httpx.Client) -> None:
    with ThreadPoolExecutor() as pool:
        held = pool.submit(lambda: ask(http, structured_outputs={"regex": "[ab]{8}"}, n=2))
        free = pool.submit(lambda: ask(http, n=2))
        assert all(re.fullmatch("[ab]{8}", text) for text in texts(held.result()))
        assert not any(re.fullmatch("[ab]{8}", text) for text in texts(free.result()))


@pytest.mark.parametrize(
    "form",
    [{"regex": "(a"}, {"json": {"type": "nonsense"}}, {"json": {"not": {"type": "string"}}}, {"json": "no json"}],
    ids=["regex", "type", "unimplemented", "text"],
)
def test_a_form_that_cannot_be_held_is_refused(http: httpx.Client, form: dict[str, Any]) -> None:
    answer = ask(http, structured_outputs=form)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_stop_text_ends_an_answer_before_it(http: httpx.Client) -> None:
    plain = texts(ask(http, seed=3, structured_outputs={"regex": "[abc]{40}"}, max_tokens=50))[0]
    stopped = ask(http, seed=3, structured_outputs={"regex": "[abc]{40}"}, max_tokens=50, stop=["zz", plain[5:8]])
    assert texts(stopped)[0] == plain[: plain.index(plain[5:8])]
    assert stopped.json()["choices"][0]["finish_reason"] == "stop"


def test_the_prompts_of_one_photo_share_their_beginning(http: httpx.Client) -> None:
    photo = jpeg(11)
    queries, hits = figure(http, "vllm:prefix_cache_queries_total"), figure(http, "vllm:prefix_cache_hits_total")
    first = ask(http, photo_=photo, text="Known:").json()["usage"]
    second = ask(http, photo_=photo, text="Known: 1.5, 2.5").json()["usage"]
    cached = second["prompt_tokens_details"]["cached_tokens"]
    assert cached == 1 + len("user: ") + 16 + len("Known:")
    asked = first["prompt_tokens"] + second["prompt_tokens"]
    assert figure(http, "vllm:prefix_cache_queries_total") - queries == asked
    known = first["prompt_tokens_details"]["cached_tokens"] + cached
    assert figure(http, "vllm:prefix_cache_hits_total") - hits == known


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (json.dumps(chat(photo_=b"no photo")).encode(), 400),
        (json.dumps(chat(text="x" * 9000)).encode(), 400),
        (json.dumps(chat() | {"model": "another"}).encode(), 404),
        (b"x" * 200_001, 413),
    ],
    ids=["no json", "no photo", "too long for the model", "another model", "too many bytes"],
)
def test_bad_input_is_told_in_openais_form(http: httpx.Client, body: bytes, status: int) -> None:
    answer = http.post("/v1/chat/completions", content=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert ask(http).status_code == 200


def test_a_body_without_a_length_is_bounded_too(http: httpx.Client) -> None:
    answer = http.post("/v1/chat/completions", content=(b"x" * 50_000 for _ in range(5)))
    assert answer.status_code == 413


def test_models_health_and_what_is_not_there(http: httpx.Client) -> None:
    assert [model["id"] for model in http.get("/v1/models").json()["data"]] == [NAME]
    assert http.get("/health").json() == {"ready": True, "problems": {}}
    assert http.get("/v1/nothing").status_code == 404
    assert http.get("/v1/chat/completions").json()["error"]["message"] == "Method Not Allowed"


def test_a_full_queue_says_when_to_come_back_and_whoever_leaves_makes_room(http: httpx.Client) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:

        def leave() -> None:
            with pytest.raises(httpx.ReadTimeout):
                http.post("/v1/chat/completions", json=chat(**LONG), timeout=httpx.Timeout(30, read=3))

        long = pool.submit(leave)
        awaited(http, "vllm:num_requests_running", 1)
        waiting = [pool.submit(leave) for _ in range(2)]
        awaited(http, "vllm:num_requests_waiting", 2)
        refused = ask(http)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        for one in (long, *waiting):
            one.result()
    # All three have left: their half minutes are not computed.
    assert ask(http).status_code == 200
    assert time.monotonic() - began < 20
    awaited(http, "vllm:num_requests_running", 0)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=f"G3_LMM_FOLDER: there is no model in {tmp_path}"), serving(tmp_path):
        pass
