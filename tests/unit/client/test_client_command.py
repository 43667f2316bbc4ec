"""The `g3` command against a server, through typer's runner."""

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from g3_client import command
from g3_client.command import plugins, show
from g3_client.command.locate import parameters_of
from rich.console import Console
from typer.testing import CliRunner, Result


def g3(*words: str) -> Result:
    """Runs `g3` with these words."""
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(command.app, [str(word) for word in words])


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Three files; the second is no photo."""
    contents = {"a.jpg": b"photo a", "b.jpg": b"not a photo", "c.jpg": b"photo c"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return [str(tmp_path / name) for name in contents]


def test_locate_shows_place_evidence_and_times(api: Any, photos: list[str]) -> None:
    result = g3("locate", photos[0])
    assert result.exit_code == 0, result.stderr
    shown = result.stdout
    for words in ("Paris, Île-de-France, France", "48.85837° N, 2.29448° E", "0.4321", "not a probability"):
        assert words in shown
    for words in ("generation", "1 unparsable", "lmm", "retrieved", "a/1.jpg", "0.9000", "0.345 s", "a.jpg"):
        assert words in shown


def test_one_bad_photo_does_not_stop_the_others(api: Any, photos: list[str], tmp_path: Path) -> None:
    missing = str(tmp_path / "none.jpg")
    result = g3("locate", *photos, missing, "--json", "--at-once", "2")
    assert result.exit_code == 1
    lines = {line["photo"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert set(lines) == {*photos, missing}
    assert lines[photos[0]]["error"] is None
    assert lines[photos[2]]["job"]["result"]["coordinates"]["latitude"] == 48.85837
    assert "no photo" in lines[photos[1]]["error"]
    assert "cannot be read" in lines[missing]["error"]
    assert "b.jpg: This is no photo" in result.stderr


def test_profile_and_parameters_reach_the_server(api: Any, photos: list[str]) -> None:
    pairs = ("top_k=3", 'hints.country_codes=["IT"]', "ranking=mean")
    words = [word for pair in pairs for word in ("--param", pair)]
    assert g3("locate", photos[0], "--profile", "paper", *words).exit_code == 0
    sent = b'{"top_k": 3, "hints": {"country_codes": ["IT"]}, "ranking": "mean", "profile": "paper"}'
    assert sent in api.received[0].body
    assert b"a.jpg" in api.received[0].body  # as the label


def test_parameters_that_are_none_are_refused(photos: list[str]) -> None:
    assert parameters_of(["a=NaN", "b.c=1", "b.d=x"]) == {"a": "NaN", "b": {"c": 1, "d": "x"}}
    for pair in ("top_k", "=3", "a.=3"):
        assert g3("locate", photos[0], "--param", pair).exit_code == 2
    assert g3("locate", photos[0], "--param", "a=1", "--param", "a.b=1").exit_code == 2


def test_a_failed_job_is_a_failure(api: Any, photos: list[str], made_job: Any) -> None:
    api.made = lambda job_id, request: made_job(job_id, "failed")
    result = g3("locate", photos[0])
    assert result.exit_code == 1
    assert "No LMM answered (unavailable)" in result.stderr


def test_waiting_ends_and_says_how_to_go_on(api: Any, photos: list[str], made_job: Any, made_event: Any) -> None:
    api.made = lambda job_id, request: made_job(job_id, "generating")
    result = g3("locate", photos[0], "--wait", "0.3", "--json")
    assert result.exit_code == 1
    assert "g3 jobs watch job-1" in json.loads(result.stdout)["error"]
    assert g3("locate", photos[0], "--wait", "0", "--json").exit_code == 0


def test_locate_writes_both_maps(api: Any, photos: list[str], tmp_path: Path) -> None:
    result = g3("locate", photos[0], "--map", str(tmp_path / "out.png"))
    assert result.exit_code == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert "Paris" in (tmp_path / "out.html").read_text()
    assert "out.html" in result.stderr
    assert g3("locate", photos[0], "--map", str(tmp_path / "no" / "out.png")).exit_code == 1


def test_jobs_list_show_and_cancel(api: Any, made_job: Any, tmp_path: Path) -> None:
    states = ["queued", "failed", "succeeded"]
    api.jobs = {f"job-{state}": made_job(f"job-{state}", state, label=f"[red]{state}\x1b[2J") for state in states}
    listing = g3("jobs", "list").stdout
    assert "[red]queued" in listing
    assert "\x1b" not in listing
    assert "No LMM answered (unavailable)" in listing
    assert len(g3("jobs", "list", "--json", "--limit", "2").stdout.splitlines()) == 2
    assert json.loads(g3("jobs", "list", "--json", "--state", "failed").stdout)["job_id"] == "job-failed"
    shown = g3("jobs", "show", "job-succeeded", "--map", str(tmp_path / "map"))
    assert "Paris" in shown.stdout
    assert (tmp_path / "map.html").exists()
    assert json.loads(g3("jobs", "show", "job-failed", "--json").stdout)["failure"]["code"] == "unavailable"
    cancelled = g3("jobs", "cancel", "job-failed", "none", "job-queued")
    assert (cancelled.exit_code, cancelled.stdout) == (1, "job-queued cancelled\n")
    assert "job-failed: The job has ended" in cancelled.stderr


def test_jobs_watch_follows_to_the_end(api: Any, made_job: Any, made_event: Any, answering: Any) -> None:
    chunks = [made_event(1, made_job(state="queued")), made_event(2, made_job())]
    stream = answering(200, headers={"Content-Type": "text/event-stream"}, chunks=chunks)
    api.faults = [stream]
    result = g3("jobs", "watch", "job-1")
    assert (result.exit_code, result.stderr.split()) == (0, ["03:04:06", "queued", "03:04:06", "succeeded"])
    assert "Paris" in result.stdout
    api.faults = [stream]
    lines = g3("jobs", "watch", "job-1", "--json").stdout.splitlines()
    assert [json.loads(line)["event_id"] for line in lines] == [1, 2]


def test_status_of_a_ready_a_troubled_and_an_absent_server(
    api: Any, made_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.jobs = {str(number): made_job(str(number), "queued") for number in range(2)}
    result = g3("status", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ready"], report["running"]["queued"]) == (0, True, 2)
    assert "ready" in g3("status").stdout
    api.problems = {"postgres": "gone"}
    troubled = g3("status")
    assert troubled.exit_code == 1
    assert "postgres" in troubled.stdout
    assert "not ready" in troubled.stdout
    api.problems = {}
    monkeypatch.setenv("G3_API_KEY", "wrong")
    assert json.loads(g3("status", "--json").stdout)["problems"] == {"jobs": "Send a key (401 unauthenticated)"}
    monkeypatch.setenv("G3_URL", "http://127.0.0.1:9")
    absent = g3("status")
    assert absent.exit_code == 1
    assert "not reachable" in absent.stdout


def test_nothing_configured_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("G3_HOME", str(tmp_path))
    monkeypatch.delenv("G3_URL", raising=False)
    for words in (["status"], ["jobs", "list"], ["locate", "x.jpg"]):
        result = g3(*words)
        assert result.exit_code == 1
        assert result.stderr.startswith("error: No G3 server is configured")
        assert result.stderr.count("\n") == 1


def _point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name=name, value=value, group=plugins.GROUP)


def up() -> None:
    """Starts the stack."""
    typer.echo("up it is")


group = typer.Typer()
group.command("now")(up)


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Plug-ins, good and broken."""
    monkeypatch.setitem(sys.modules, "g3_plugin_of_a_test", sys.modules[__name__])
    points = [
        _point("up", "g3_plugin_of_a_test:up"),
        _point("more", "g3_plugin_of_a_test:group"),
        _point("gone", "g3_no_such_module:up"),
        _point("odd", "g3_plugin_of_a_test:__name__"),
        _point("jobs", "g3_plugin_of_a_test:up"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == "g3.commands" else [])
    return points


def test_plug_ins_add_commands_and_broken_ones_cost_a_line(
    offered: list[EntryPoint], capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    plugins.add(app, "", command.OWN)
    warnings = capsys.readouterr().err.splitlines()
    assert [line.split("'")[1] for line in warnings] == ["gone", "jobs", "odd"]
    assert all(line.startswith("warning: command") for line in warnings)
    assert CliRunner().invoke(app, ["up"]).stdout == "up it is\n"
    assert CliRunner().invoke(app, ["more", "now"]).stdout == "up it is\n"


def test_only_the_plug_in_asked_for_is_loaded(offered: list[EntryPoint], capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    plugins.add(app, "up", command.OWN)
    assert capsys.readouterr().err == ""
    assert len(app.registered_commands) == 1


def test_own_commands_load_no_plug_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []
    monkeypatch.setattr(command, "plugins", SimpleNamespace(add=lambda app, name, taken: asked.append(name)))
    monkeypatch.setenv("G3_HOME", str(tmp_path))
    monkeypatch.delenv("G3_URL", raising=False)
    for words in (["jobs", "list"], ["--help"], ["down"]):
        monkeypatch.setattr(sys, "argv", ["g3", *words])
        with pytest.raises(SystemExit):
            command.main()
    assert asked == ["", "down"]


def test_text_from_elsewhere_cannot_steer_the_terminal() -> None:
    console = Console(record=True, width=80, force_terminal=True, color_system=None, file=sys.stderr)
    console.print(show.plain("a\x1b]0;title\x07[bold]b\u202e"))
    assert console.export_text() == "a?]0;title?[bold]b?\n".replace("?", "\N{REPLACEMENT CHARACTER}")
