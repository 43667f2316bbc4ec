"""OpenAI's chat completions: what a request may hold, and how answers and refusals are told.

A field that this server does not do is refused and never ignored: whoever asks for a form, or for log probabilities,
must not take free text for it. Structured outputs also go in vLLM's `structured_outputs`.
"""

import base64
import binascii
import json
import re
import time
import uuid
from typing import Annotated, Any, Literal

from g3_kit.errors import Rejected
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from g3_world.lmm.forms import Form, Kind
from g3_world.lmm.questions import Answers, Message, Question

_MAX_SAMPLES = 64
_MAX_PHOTOS = 4
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
# The letters that mean something in a regular expression, and no others: re.escape escapes more than some engines take.
_MEANING = re.compile(r"([\\.+*?()|\[\]{}^$#&\-~/])")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class _Text(_Strict):
    type: Literal["text"]
    text: str


class _ImageUrl(_Strict):
    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class _Image(_Strict):
    type: Literal["image_url"]
    image_url: _ImageUrl


_Part = Annotated[_Text | _Image, Field(discriminator="type")]


class _Turn(_Strict):
    role: Literal["system", "user", "assistant"]
    content: str | list[_Part]


class _Schema(_Strict):
    name: str = ""
    description: str = ""
    strict: bool = True
    schema_: dict[str, Any] = Field(alias="schema")


class _ResponseFormat(_Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _StructuredOutputs(_Strict):
    regex: str | None = None
    json_: dict[str, Any] | str | None = Field(default=None, alias="json")
    choice: list[str] | None = Field(default=None, min_length=1)


class Chat(_Strict):
    """The body of a request. The fields with one permitted value are there because clients send them."""

    model: str
    messages: list[_Turn] = Field(min_length=1, max_length=64)
    n: int = Field(default=1, ge=1, le=_MAX_SAMPLES)
    temperature: float = Field(default=1.0, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    response_format: _ResponseFormat | None = None
    structured_outputs: _StructuredOutputs | None = None
    user: str = ""
    top_p: Literal[1] | Annotated[float, Field(ge=1, le=1)] = 1
    presence_penalty: Literal[0] | Annotated[float, Field(ge=0, le=0)] = 0
    frequency_penalty: Literal[0] | Annotated[float, Field(ge=0, le=0)] = 0
    stream: Literal[False] = False
    logprobs: Literal[False] = False


def read(body: bytes) -> Chat:
    """Raises Rejected with the field at fault."""
    try:
        return Chat.model_validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in fault["loc"])
        unknown = "this server does not do that" if fault["type"] == "extra_forbidden" else fault["msg"]
        raise Rejected(f"{field or 'body'}: {unknown}", field=field) from None


def question(chat: Chat) -> Question:
    """What is asked. Raises Rejected for photos by address, too many of them, and contradictory forms."""
    messages = tuple(Message(turn.role, _parts(turn)) for turn in chat.messages)
    photos = sum(isinstance(part, bytes) for message in messages for part in message.parts)
    if photos > _MAX_PHOTOS:
        raise Rejected(f"{photos} photos were given, {_MAX_PHOTOS} is the most", field="messages")
    stop = (chat.stop,) if isinstance(chat.stop, str) else tuple(chat.stop or ())
    if len(stop) > 4 or "" in stop:
        raise Rejected("stop takes up to four texts, none of them empty", field="stop")
    most = chat.max_completion_tokens or chat.max_tokens
    return Question(messages, chat.n, chat.temperature, most, chat.seed, stop, _form(chat))


def _parts(turn: _Turn) -> tuple[str | bytes, ...]:
    if isinstance(turn.content, str):
        return (turn.content,)
    if turn.role != "user" and any(isinstance(part, _Image) for part in turn.content):
        raise Rejected("only a user's message may show photos", field="messages")
    return tuple(part.text if isinstance(part, _Text) else _photo(part.image_url.url) for part in turn.content)


def _photo(url: str) -> bytes:
    head = _DATA_URL.match(url)
    if head is None:
        # Fetching what a caller names would open the network behind this server to everybody who may ask it.
        raise Rejected("image_url takes data:image/…;base64,… only; nothing is fetched", field="messages")
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except binascii.Error:
        raise Rejected("image_url holds no valid base64", field="messages") from None


def _form(chat: Chat) -> Form | None:
    forms = []
    given = chat.response_format
    if given is not None and given.type == "json_schema":
        if given.json_schema is None:
            raise Rejected("json_schema is required with this type", field="response_format")
        forms.append(Form(Kind.JSON_SCHEMA, json.dumps(given.json_schema.schema_)))
    elif given is not None and given.type == "json_object":
        forms.append(Form(Kind.JSON_SCHEMA, '{"type": "object"}'))
    if chat.structured_outputs is not None:
        forms += _structured(chat.structured_outputs)
    if len(forms) > 1:
        raise Rejected("give one form, in response_format or in structured_outputs", field="structured_outputs")
    return forms[0] if forms else None


def _structured(given: _StructuredOutputs) -> list[Form]:
    forms = []
    if given.regex is not None:
        forms.append(Form(Kind.REGEX, given.regex))
    if given.choice is not None:
        forms.append(Form(Kind.REGEX, "|".join(_MEANING.sub(r"\\\1", choice) for choice in given.choice)))
    if given.json_ is not None:
        forms.append(Form(Kind.JSON_SCHEMA, json.dumps(_schema(given.json_))))
    if not forms:
        raise Rejected("structured_outputs takes one of regex, json, choice", field="structured_outputs")
    return forms


def _schema(given: dict[str, Any] | str) -> dict[str, Any]:
    try:
        schema = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        raise Rejected("json takes a schema, an object or its text", field="structured_outputs")
    return schema


def completion(model: str, answers: Answers) -> dict[str, Any]:
    """The body of an answer."""
    tokens = sum(answer.tokens for answer in answers.answers)
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text},
                "finish_reason": answer.finish.value,
                "logprobs": None,
            }
            for index, answer in enumerate(answers.answers)
        ],
        "usage": {
            "prompt_tokens": answers.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": answers.prompt_tokens + tokens,
            "prompt_tokens_details": {"cached_tokens": answers.cached_tokens},
        },
    }


def refusal(message: str, kind: str, field: str = "", code: str | None = None) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"message": message, "type": kind, "param": field or None, "code": code}}
