"""A request holds only what the server does; everything else is refused with the field at fault."""

import json
import re
from typing import Any

import pytest
from g3_kit.errors import Rejected
from g3_world.lmm import openai
from g3_world.lmm.forms import Form, Kind
from g3_world.lmm.questions import Message, Question

from tests.servers.lmm import chat


def asked(**fields: Any) -> Question:
    return openai.question(openai.read(json.dumps(chat(**fields)).encode()))


def test_what_is_asked() -> None:
    question = asked(text="Where?", photo_=b"jpeg", n=3, temperature=0, seed=5, stop="!", max_tokens=20)
    assert question == Question((Message("user", (b"jpeg", "Where?")),), 3, 0.0, 20, 5, ("!",), None)


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({"response_format": {"type": "text"}}, None),
        ({"structured_outputs": {"regex": "a+"}}, Form(Kind.REGEX, "a+")),
        ({"structured_outputs": {"choice": ["a.", "b"]}}, Form(Kind.REGEX, r"a\.|b")),
        ({"structured_outputs": {"json": {"type": "string"}}}, Form(Kind.JSON_SCHEMA, '{"type": "string"}')),
        ({"response_format": {"type": "json_object"}}, Form(Kind.JSON_SCHEMA, '{"type": "object"}')),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "null"}}}},
            Form(Kind.JSON_SCHEMA, '{"type": "null"}'),
        ),
    ],
)
def test_forms(fields: dict[str, Any], form: Form | None) -> None:
    assert asked(**fields).form == form


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"guided_regex": "a"}, "guided_regex"),
        ({"extra_body": {}}, "extra_body"),
        ({"tools": []}, "tools"),
        ({"stream": True}, "stream"),
        ({"logprobs": True}, "logprobs"),
        ({"top_p": 0.9}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 65}, "n"),
        ({"n": True}, "n"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "json_schema"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"grammar": "x"}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "a"}, "response_format": {"type": "json_object"}}, "one form"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "one form"),
    ],
)
def test_what_is_not_done_is_refused(fields: dict[str, Any], about: str) -> None:
    with pytest.raises(Rejected, match=re.escape(about)):
        asked(**fields)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://example.org/a.jpg",
        "file:///etc/passwd",
        "data:text/html;base64,aGk=",
        "data:image/jpeg,raw",
        "data:image/jpeg;base64,a!b",
        "data:image/jpeg;base64,abc",
    ],
)
def test_a_photo_by_address_is_refused(url: str) -> None:
    body = chat()
    body["messages"][0]["content"] = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(Rejected, match="image_url"):
        openai.question(openai.read(json.dumps(body).encode()))


def test_too_many_photos_and_photos_of_the_assistant_are_refused() -> None:
    body = chat(photo_=b"x")
    body["messages"] *= 5
    with pytest.raises(Rejected, match="5 photos"):
        openai.question(openai.read(json.dumps(body).encode()))
    body["messages"] = [body["messages"][0] | {"role": "assistant"}]
    with pytest.raises(Rejected, match="only a user"):
        openai.question(openai.read(json.dumps(body).encode()))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"model": 1}', b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(Rejected):
        openai.read(body)
