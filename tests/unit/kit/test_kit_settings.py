"""Settings: one clear line for each fault, and nothing secret in what is logged."""

from urllib.parse import quote

import pytest
from g3_kit.settings import RoomSettings, load, redacted, redacted_url
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr


class Room(RoomSettings):
    database_url: str
    room_port: int = Field(default=7101, ge=0, le=65535, description="port of the room")
    api_key: SecretStr = SecretStr("")
    names: list[str] = Field(default_factory=list)
    note: str | None = None


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("G3_"):
            monkeypatch.delenv(name)


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G3_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("G3_ROOM_PORT", "0")
    monkeypatch.setenv("G3_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("G3_NAMES", '["a", "b"]')
    monkeypatch.setenv("G3_UNKNOWN", "ignored")
    room = load(Room)
    assert (room.database_url, room.room_port, room.log_level, room.names) == (
        "postgresql://h/d",
        0,
        "DEBUG",
        ["a", "b"],
    )
    assert (room.host, room.metrics_port, room.log_format) == ("127.0.0.1", 0, "json")


def test_says_each_fault_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("G3_ROOM_PORT", "70000")
    monkeypatch.setenv("G3_LOG_FORMAT", "yaml")
    with pytest.raises(SystemExit) as exited:
        load(Room)
    assert exited.value.code == 2
    lines = sorted(capsys.readouterr().err.splitlines())
    assert lines[0] == "G3_DATABASE_URL: is required"
    assert lines[1].startswith("G3_LOG_FORMAT: Input should be 'json' or 'text'")
    assert lines[2].startswith("G3_ROOM_PORT: ")
    assert lines[2].endswith("(port of the room)")
    assert len(lines) == 3


def test_a_list_that_is_no_json_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("G3_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("G3_NAMES", "a,b")
    with pytest.raises(SystemExit) as exited:
        load(Room)
    assert exited.value.code == 2
    assert capsys.readouterr().err == "G3_NAMES: is not valid JSON\n"


def test_a_bad_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("G3_DATABASE_URL", "postgresql://h/d")
    monkeypatch.setenv("G3_ROOM_PORT", "hunter2")
    with pytest.raises(SystemExit):
        load(Room)
    assert "hunter2" not in capsys.readouterr().err


def test_the_dump_is_whole_and_hides_secrets() -> None:
    room = Room(database_url="postgresql://me:hunter2@db:5432/g3?sslkey=hunter2", api_key=SecretStr("hunter2"))
    dump = redacted(room)
    assert set(dump) == set(Room.model_fields)
    assert "hunter2" not in repr(dump)
    assert dump["database_url"] == "postgresql://me:***@db:5432/g3?sslkey=***"
    assert dump["api_key"] == "***"
    assert (dump["room_port"], dump["note"]) == (7101, None)


def test_an_empty_secret_shows_as_empty() -> None:
    assert redacted(Room(database_url="x"))["api_key"] == ""


@pytest.mark.parametrize(
    ("given_url", "shown"),
    [
        ("amqp://guest:guest@127.0.0.1:5672//", "amqp://guest:***@127.0.0.1:5672//"),
        ("postgresql://postgres:@/postgres?host=/run/pg", "postgresql://postgres:***@/postgres?host=***"),
        ("https://token@host/path", "https://***@host/path"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://[::1/v1?key=a&plain#part", "http://[::1/v1?key=***&***"),
        ("s3://bucket/folder#secret", "s3://bucket/folder#***"),
    ],
)
def test_urls_keep_what_an_operator_needs(given_url: str, shown: str) -> None:
    assert redacted_url(given_url) == shown


SECRETS = st.text(min_size=1, max_size=20).map(lambda text: f"S3CR{text}ET")


@given(secret=SECRETS, user=st.sampled_from(["", "me", "me%40home"]), quoted=st.booleans())
def test_no_password_survives_whatever_its_characters(secret: str, user: str, quoted: bool) -> None:
    shown = redacted_url(f"postgresql://{user}:{quote(secret, safe='') if quoted else secret}@host:5432/db?a=b")
    assert "S3CR" not in shown
    assert "host:5432/db" in shown


@given(secret=SECRETS)
def test_no_query_value_survives(secret: str) -> None:
    shown = redacted_url(f"https://host/v1?token={quote(secret, safe='')}&other=1")
    assert shown == "https://host/v1?token=***&other=***"


@given(url=st.text(max_size=60).map(lambda text: f"x://{text}"))
def test_any_text_can_be_redacted(url: str) -> None:
    assert redacted_url(url).startswith("x://")


@given(
    secret=st.text(st.characters(codec="ascii", exclude_categories=["Cc", "Zs"], exclude_characters="'\\"), min_size=8)
)
def test_libpq_passwords_are_hidden_too(secret: str) -> None:
    dump = redacted(Room(database_url=f"host=h password={secret} dbname=g3"))
    assert dump["database_url"] == "host=h password=*** dbname=g3"
    assert redacted(Room(database_url=f"password = '{secret} x' host=h"))["database_url"] == "password = *** host=h"
