"""The forms of an answer that a server may be able to enforce, and how each is asked for and proved.

A server that does not know a field often ignores it with status 200 (vLLM since 0.12 does so with its own older
`guided_*`), so that a form counts only once an answer has obeyed it that no model would have given by itself.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from g3_dialogue import JSON_SCHEMA, PATTERN

_PATTERN = re.compile(PATTERN)
_WHERE = "Say in one short sentence what a lighthouse is for."
_PROSE = "Do not answer in JSON. Write only the word lighthouse, nothing before it and nothing after it."


class Form(Enum):
    """What is asked of the server, the strictest first."""

    PATTERN = "pattern"
    """`structured_outputs: {regex}`, vLLM: coordinates of bounded digits."""
    SCHEMA = "schema"
    """`response_format: {type: json_schema}`, OpenAI and most servers: an object with both numbers."""
    OBJECT = "object"
    """`response_format: {type: json_object}`: any JSON object."""
    FREE = "free"
    """Nothing: the prompt alone asks for the form."""

    @property
    def fields(self) -> dict[str, Any]:
        """What a request says to be answered in this form."""
        return _FIELDS[self]

    def obeyed_by(self, text: str) -> bool:
        """Whether a whole answer has this form."""
        match self:
            case Form.PATTERN:
                return _PATTERN.fullmatch(text) is not None
            case Form.SCHEMA:
                body = _read(text)
                return isinstance(body, dict) and body.keys() == {"latitude", "longitude"}
            case Form.OBJECT:
                return isinstance(_read(text), dict)
        return True


@dataclass(frozen=True)
class Proof:
    """A question whose answer proves that a form is enforced: `fields` beside `prompt`, and what the answer has to be.

    `pinned` are the only coordinates that the fields allow, None where any object will do.
    """

    prompt: str
    fields: Mapping[str, Any]
    pinned: tuple[float, float] | None

    def holds(self, text: str) -> bool:
        """Whether this answer obeyed."""
        if self.pinned is None:
            return text.lstrip().startswith("{")
        body = _read(text)
        return isinstance(body, dict) and (body.get("latitude"), body.get("longitude")) == self.pinned


def proof_of(form: Form) -> Proof:
    """A new proof of PATTERN or SCHEMA (coordinates drawn by chance, eight digits), or of OBJECT.

    It is spelled in the letters of a real answer: a small model's vocabulary may have no others.
    """
    latitude, longitude = 10 + secrets.randbelow(70), 10 + secrets.randbelow(80)
    pinned = (round(latitude + _decimals(), 4), round(longitude + _decimals(), 4))
    if form is Form.PATTERN:
        first, second = (f"{value:.4f}".replace(".", r"\.") for value in pinned)
        regex = rf'\{{"latitude": {first}, "longitude": {second}\}}'
        return Proof(_WHERE, {"structured_outputs": {"regex": regex}}, pinned)
    if form is Form.SCHEMA:
        properties = {
            name: {**JSON_SCHEMA["properties"][name], "enum": [value]}
            for name, value in zip(("latitude", "longitude"), pinned, strict=True)
        }
        return Proof(_WHERE, _response_format({**JSON_SCHEMA, "properties": properties}), pinned)
    return Proof(_PROSE, form.fields, None)


def _decimals() -> float:
    # Four digits of which the last is no zero, so that every notation of the number is the same.
    return (1000 + 10 * secrets.randbelow(900) + 1 + secrets.randbelow(9)) / 10_000


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    named = {"name": "place", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


_FIELDS: dict[Form, dict[str, Any]] = {
    Form.PATTERN: {"structured_outputs": {"regex": PATTERN}},
    Form.SCHEMA: _response_format(JSON_SCHEMA),
    Form.OBJECT: {"response_format": {"type": "json_object"}},
    Form.FREE: {},
}
