"""Logs: one JSON object a line, with what is bound, from structlog and the standard library alike."""

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from g3_kit import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    import structlog

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


class Written:
    """What has been written to standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    @property
    def text(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Written:
    return Written(capsys)


def lines(written: Written) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.text.splitlines()]


def test_an_event_is_one_json_line_with_what_is_bound(written: Written) -> None:
    logs.configure("embedding")
    with logs.bound(job_id="j1", stage="generate", attempt=2):
        logs.get("g3.test").info("claimed", lease_s=30)
        assert logs.bound_value("job_id") == "j1"
    logs.get("g3.test").info("left")
    inside, outside = lines(written)
    assert inside["timestamp"].endswith("Z")
    del inside["timestamp"]
    assert inside == {
        "event": "claimed",
        "lease_s": 30,
        "job_id": "j1",
        "stage": "generate",
        "attempt": 2,
        "room": "embedding",
        "level": "info",
        "logger": "g3.test",
    }
    assert "job_id" not in outside
    assert logs.bound_value("job_id") == ""


def test_exceptions_are_rendered_in_the_same_line(written: Written) -> None:
    logs.configure("embedding")
    try:
        raise ValueError("broken")
    except ValueError as error:
        logs.get("g3.test").exception("crashed")
        logs.get("g3.test").error("crashed", exc_info=error)
        logging.getLogger("stdlib").exception("crashed")
    for line in lines(written):
        assert line["event"] == "crashed"
        assert "ValueError: broken" in line["exception"]
        assert "Traceback" in line["exception"]
    assert len(lines(written)) == 3


def test_the_standard_library_speaks_json_too(written: Written) -> None:
    logs.configure("embedding", "WARNING")
    with logs.bound(job_id="j1"):
        logging.getLogger("other").warning("%s is %d", "that", 7, extra={"size": 3})
        logging.getLogger("other").info("below the level")
    (line,) = lines(written)
    assert (line["event"], line["job_id"], line["size"], line["level"]) == ("that is 7", "j1", 3, "warning")
    assert line["room"] == "embedding"


def test_chatty_libraries_are_heard_from_warning_on(written: Written) -> None:
    logs.configure("embedding", "DEBUG")
    logging.getLogger("httpx").info("HTTP Request")
    logging.getLogger("httpx").warning("odd")
    assert [line["event"] for line in lines(written)] == ["odd"]


def test_what_json_does_not_know_is_written_as_text(written: Written) -> None:
    logs.configure("embedding")
    logs.get("g3.test").info("odd", thing={1}, error=OSError("gone"))
    (line,) = lines(written)
    assert (line["thing"], line["error"]) == ("{1}", "gone")


def test_bindings_belong_to_their_thread(written: Written) -> None:
    logs.configure("embedding")
    with logs.bound(job_id="mine"):
        thread = threading.Thread(target=lambda: logs.get("g3.test").info("elsewhere"))
        thread.start()
        thread.join()
    assert "job_id" not in lines(written)[0]


def test_configuring_twice_does_not_write_twice(written: Written) -> None:
    logs.configure("a")
    logs.configure("b")
    logs.get("g3.test").info("once")
    assert [line["room"] for line in lines(written)] == ["b"]


def test_text_is_for_people(written: Written) -> None:
    logs.configure("embedding", "INFO", "text")
    key = "hunter" + str(2)
    try:
        raise ValueError(f"broken {len(key)}")
    except ValueError:
        logs.get("g3.test").exception("crashed", size=3)
    shown = written.text
    assert "crashed" in shown
    assert "size=3" in shown
    assert "ValueError: broken 7" in shown
    assert key not in shown
