"""multipart/form-data (RFC 7578) in memory: a photo still has its metadata here and must not touch a disk."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MAX_HEADER_BYTES = 8 * 1024


class Broken(ValueError):
    """The bytes are no multipart body, or end too early."""


@dataclass
class Part:
    """One part: its name, whether it came with a filename, and its bytes."""

    name: str
    is_file: bool
    data: bytearray


class Reader:
    """Gathers the parts of one body."""

    def __init__(self, content_type: str, *, max_parts: int) -> None:
        """`content_type` with its boundary. Raises Broken when it has none."""
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        # RFC 2046 section 5.1.1
        if not 1 <= len(boundary) <= 70:
            raise Broken("no boundary")
        self._max_parts = max_parts
        self._parts: list[Part] = []
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._name, self._value = b"", b""
        self._ended = False
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }
        self._parser = MultipartParser(boundary, callbacks)

    async def read(self, stream: AsyncIterator[bytes]) -> list[Part]:
        """The parts in the order sent. Raises Broken, and whatever `stream` raises."""
        try:
            async for chunk in stream:
                self._parser.write(chunk)
            self._parser.finalize()
        except FormParserError as error:
            raise Broken("no multipart") from error
        if not self._ended:
            raise Broken("the last boundary is missing")
        return self._parts

    def _on_part_begin(self) -> None:
        if len(self._parts) == self._max_parts:
            raise Broken("too many parts")
        self._headers, self._header_bytes = {}, 0
        self._name, self._value = b"", b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += self._counted(data[start:end])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._counted(data[start:end])

    def _counted(self, data: bytes) -> bytes:
        self._header_bytes += len(data)
        if self._header_bytes > _MAX_HEADER_BYTES:
            raise Broken("headers too long")
        return data

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise Broken("a part without a name")
        name = options[b"name"].decode("utf-8", "replace")
        self._parts.append(Part(name, b"filename" in options, bytearray()))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._parts[-1].data += data[start:end]

    def _on_end(self) -> None:
        self._ended = True
