"""Any row of a large CSV table by its number, without reading those before it."""

import csv
import io
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from g3_kit.errors import Rejected

_EVERY = 10_000


class Table:
    """A CSV file by byte ranges of its rows. Comma, semicolon or tab; UTF-8; rows may hold line breaks in quotes."""

    def __init__(self, path: Path) -> None:
        """Reads the headings. Raises Rejected when there are none, or the file cannot be read."""
        self.path = path
        try:
            with path.open("rb") as file:
                heading = file.readline().decode("utf-8-sig")
        except FileNotFoundError:
            raise Rejected(f"there is no file {path.name}", field="table") from None
        except (OSError, UnicodeDecodeError):
            raise Rejected(f"{path.name} cannot be read as a CSV file in UTF-8", field="table") from None
        self._delimiter = max(",;\t", key=heading.count)
        self.headings = [name.strip().lower() for name in next(csv.reader([heading], delimiter=self._delimiter), [])]
        if not any(self.headings):
            raise Rejected(f"{path.name} has no headings", field="table")

    def scan(self, check: Callable[[], None] = lambda: None) -> Iterator[tuple[int, int, Mapping[str, str]]]:
        """(byte offset, length, cells by lower-case heading) of every row that is not empty.

        `check` is called now and then, and may raise. Raises Rejected for what is no CSV in UTF-8.
        """
        lengths = array("Q")
        with self.path.open("rb") as file:
            at = len(file.readline())

            def lines() -> Iterator[str]:
                for line in file:
                    lengths.append(len(line))
                    yield line.decode("utf-8")

            try:
                for number, cells in enumerate(csv.reader(lines(), delimiter=self._delimiter)):
                    size = sum(lengths)
                    del lengths[:]
                    if any(cell.strip() for cell in cells):
                        yield at, size, self._named(cells)
                    at += size
                    if number % _EVERY == 0:
                        check()
            except (UnicodeDecodeError, csv.Error):
                raise Rejected(f"{self.path.name} is no CSV file in UTF-8 from byte {at} on", field="table") from None

    def cells(self, written: bytes) -> Mapping[str, str]:
        """The cells of one row by lower-case heading, from its bytes."""
        text = io.StringIO(written.decode("utf-8"), newline="")
        return self._named(next(csv.reader(text, delimiter=self._delimiter), []))

    def _named(self, cells: list[str]) -> Mapping[str, str]:
        return {name: cell.strip() for name, cell in zip(self.headings, cells, strict=False)}
