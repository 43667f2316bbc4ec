"""`g3 ingest run | status | list | cancel | rejects` against a server that answers by a script."""

import io
import json
from typing import Any

import pytest
from g3_client import Ingest
from g3_client.errors import Conflict
from g3_ingest import follow, runs_command
from g3_ingest.command import app
from rich.console import Console
from typer.testing import CliRunner

RUN = {
    "ingest_id": "01a20cfc-cdb1-7e62-ab22-83d4ca4d0ec2",
    "state": "queued",
    "spec": {"source": "/photos", "alias": "references"},
    "total": {"read": 0},
}
PLAN = {"rows": 10, "shards": 2, "collection": "mine", "model": "m" * 64, "dimension": 8, "source": "s"}
SHARDS = [
    {"shard": 0, "state": "done", "rows": 5, "tally": {"read": 5, "written": 5}, "attempts": 1},
    {
        "shard": 1,
        "state": "leased",
        "rows": 5,
        "tally": {"read": 2, "written": 2},
        "attempts": 3,
        "reason": "[red]no",
    },
]
FILLING = RUN | {"state": "filling", "plan": PLAN, "shards": SHARDS, "total": {"read": 7, "written": 7}}
DONE = FILLING | {
    "state": "succeeded",
    "shards": [SHARDS[0], SHARDS[1] | {"state": "done"}],
    "total": {"read": 10, "written": 8, "rejected": 2, "reasons": {"rejected: no \x1b photo": 2}},
    "publication": {"counted": 8, "recall_similar": 0.99, "recall_dissimilar": 1.0, "published": True, "previous": ""},
}
FAILED = FILLING | {"state": "failed", "failure": {"code": "rejected", "message": "not published: too few"}}


class Server:
    """Stands in for `G3`: answers one document after another."""

    script: list[dict[str, Any]] = []  # noqa: RUF012 - set by each test
    sent: list[Any] = []  # noqa: RUF012

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def submit_ingest(self, source: str, **spec: Any) -> Ingest:
        Server.sent.append({"source": source, **spec})
        return Ingest.model_validate(RUN)

    def ingest(self, ingest: Ingest | str) -> Ingest:
        Server.sent.append(ingest if isinstance(ingest, str) else ingest.ingest_id)
        return Ingest.model_validate(self.script.pop(0) if len(self.script) > 1 else self.script[0])

    def ingests(self, *, limit: int | None = None) -> Any:
        class Page:
            ingests = [Ingest.model_validate(run) for run in Server.script]  # noqa: RUF012

        return Page()

    def cancel_ingest(self, ingest: str) -> Ingest:
        raise Conflict("the job has succeeded already", status=409, code="conflict")

    def ingest_rejects(self, ingest: str) -> str:
        return "row,id,code,reason\r\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> type[Server]:
    monkeypatch.setattr(runs_command, "G3", Server)
    monkeypatch.setattr(runs_command, "_LOOK_S", 0.01)
    Server.script, Server.sent = [], []
    return Server


def called(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def test_run_submits_follows_and_tells(server: type[Server]) -> None:
    server.script = [RUN, FILLING, DONE]
    done = called("run", "world:seed=1,count=10", "--shards", "2", "--no-publish", "--least-recall", "0.9")
    assert done.exit_code == 0, done.output
    sent = server.sent[0]
    assert (sent["source"], sent["shards"], sent["unpublished"]) == ("world:seed=1,count=10", 2, True)
    assert sent["least_recall_similar"] == sent["least_recall_dissimilar"] == 0.9
    assert "2 of 2 done" in done.output
    assert "similar 0.9900, dissimilar 1.0000" in done.output
    assert "no \N{REPLACEMENT CHARACTER} photo" in done.output


def test_paths_are_absolute_on_the_way(server: type[Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    done = called("run", "photos", "--csv", "table.csv", "--detach")
    assert (done.exit_code, done.stdout.strip()) == (0, RUN["ingest_id"])
    assert (server.sent[0]["source"], server.sent[0]["table"]) == (f"{tmp_path}/photos", f"{tmp_path}/table.csv")


def test_a_failed_run_says_why_and_exits_1(server: type[Server]) -> None:
    server.script = [FAILED]
    done = called("status", "x")
    assert done.exit_code == 1
    assert "not published: too few" in done.output
    assert "[red]no" in done.output


def test_status_without_an_id_is_that_of_the_newest_run(server: type[Server]) -> None:
    server.script = [FILLING]
    done = called("status", "--json")
    assert (done.exit_code, json.loads(done.stdout)["state"]) == (0, "filling")
    assert server.sent == [RUN["ingest_id"]]
    server.script = []
    nothing = called("status")
    assert (nothing.exit_code, "no run yet" in nothing.output) == (1, True)


def test_an_error_is_one_line(server: type[Server]) -> None:
    done = called("cancel", "x")
    assert (done.exit_code, done.output.strip()) == (1, "ingest: the job has succeeded already (409 conflict)")


def test_rejects_and_lists_are_printed(server: type[Server]) -> None:
    server.script = [DONE, RUN]
    assert called("rejects", "x").stdout == "row,id,code,reason\n"
    listed = called("list")
    assert (listed.exit_code, listed.stdout.count(RUN["ingest_id"])) == (0, 2)


def test_ctrl_c_leaves_the_run_and_says_how_to_watch_it_again(
    server: type[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script = [FILLING]

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("g3_ingest.runs_command.time.sleep", interrupted)
    done = called("run", "/photos")
    assert done.exit_code == 130
    assert f"g3 ingest status {RUN['ingest_id']} --follow" in done.output


def test_bars_follow_the_shards_under_way() -> None:
    def shown(*runs: dict[str, Any]) -> str:
        console = Console(file=io.StringIO(), width=120)
        with follow.bars(console) as moved:
            for run in runs:
                moved(Ingest.model_validate(run))
        # Not on a terminal the bars are written once, as they stand at the end.
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    halfway = shown(RUN, FILLING)
    assert "filling" in halfway
    assert "7/10" in halfway
    assert "shard 1" in halfway
    assert "2/5" in halfway
    assert "attempt 3" in halfway
    assert "shard 0" not in halfway
    ended = shown(RUN, FILLING, DONE)
    assert "succeeded" in ended
    assert "10/10" in ended
    assert "rejected 2" in ended
    assert "shard" not in ended
