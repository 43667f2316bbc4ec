"""The embedded PostgreSQL runs as another user than root, who must be able to walk to its folder, at every start."""

import os
import pwd
from pathlib import Path

import pytest
from g3_local.postgres import PostgresServer


def test_a_folder_closed_since_the_first_start_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # without it the wheel warns
    closed = tmp_path / "closed"
    data = closed / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16")
    closed.chmod(0o700)
    server = PostgresServer(closed / "postgres", port=1)
    server.user = pwd.getpwuid(os.geteuid()).pw_name
    server.prepare()
    assert closed.stat().st_mode & 0o777 == 0o701
