"""The form of an answer, for servers that can enforce one (structured outputs).

The pattern bounds the digits, so that nothing but a place on Earth can be written: numeric bounds in JSON-schema
grammars have been wrong in several engines, a regular expression over digits has not. The schema is for servers that
take nothing else; its bounds are stated all the same.
"""

from typing import Any

PATTERN = (
    r'\{"latitude": -?(90\.0000|[1-8]?[0-9]\.[0-9]{4}), '
    r'"longitude": -?(180\.0000|(1[0-7][0-9]|[1-9]?[0-9])\.[0-9]{4})\}'
)
"""A regular expression of the plainest kind: every engine reads it alike. The whole answer matches."""

JSON_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "latitude": {"type": "number", "minimum": -90, "maximum": 90},
        "longitude": {"type": "number", "minimum": -180, "maximum": 180},
    },
    "required": ["latitude", "longitude"],
    "additionalProperties": False,
}
"""JSON Schema, draft 2020-12."""
