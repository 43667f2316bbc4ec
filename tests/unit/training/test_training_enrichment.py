"""Names of places for a table of coordinates, also when it is stopped on the way."""

import csv
from pathlib import Path

import pytest
from g3_kit.errors import Conflict, Rejected
from g3_training import command, dataset_command, enrichment
from g3_training.enrichment import COLUMNS, enrich
from g3_training.table import read_table
from typer.testing import CliRunner

PLACES = [(48.8566, 2.3522), (51.5074, -0.1278), (-33.8688, 151.2093)]


def table(path: Path, extra: str = "", count: int = 10) -> Path:
    rows = "".join(f"photo{i}.jpg,{PLACES[i % 3][0]},{PLACES[i % 3][1]}\n" for i in range(count))
    path.write_text("id,latitude,longitude\n" + rows + extra)
    return path


def test_rows_get_mp16_pros_columns(tmp_path: Path) -> None:
    extra = "photo1.jpg,1,1\n,1,1\nx.jpg,north,1\nmars.jpg,95,1\nsea.jpg,-40,-120\n"
    state = enrich(table(tmp_path / "t.csv", extra), tmp_path / "out.csv", tmp_path / "bad.csv")
    assert (state.written, state.rejected, state.finished) == (10, 5, True)
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["text"] == "A street view photo taken in Paris, Île-de-France, France"
    assert {row["country"] for row in rows} == {"France", "United Kingdom", "Australia"}
    with (tmp_path / "bad.csv").open(newline="") as file:
        reasons = {row["row"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons == {
        "11": "the id came before",
        "12": "no id",
        "13": "latitude and longitude must be numbers",
        "14": "the coordinates are out of range",
        "15": "no place within 100 km",
    }
    assert len(read_table(tmp_path / "out.csv")) == 10


def test_a_stopped_run_goes_on_where_both_files_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrichment, "_BATCH", 4)
    source = table(tmp_path / "t.csv", "photo1.jpg,1,1\n", count=30)
    enrich(source, tmp_path / "whole.csv", tmp_path / "whole-bad.csv")
    seen = 0

    def stop(done: int) -> None:
        nonlocal seen
        seen += done
        if seen >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enrich(source, tmp_path / "out.csv", tmp_path / "bad.csv", progress=stop)
    with (tmp_path / "out.csv").open("a") as file:
        file.write("half a li")
    enrich(source, tmp_path / "out.csv", tmp_path / "bad.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "bad.csv").read_bytes() == (tmp_path / "whole-bad.csv").read_bytes()


def test_files_of_something_else_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(Conflict, match="already"):
        enrich(table(tmp_path / "t.csv"), tmp_path / "out.csv", tmp_path / "bad.csv")
    enrich(table(tmp_path / "t.csv"), tmp_path / "new.csv", tmp_path / "bad.csv")
    with pytest.raises(Conflict, match="another table"):
        enrich(table(tmp_path / "u.csv", count=4), tmp_path / "new.csv", tmp_path / "bad.csv")
    (tmp_path / "v.csv").write_text("id,latitude\n")
    with pytest.raises(Rejected, match="longitude"):
        enrich(tmp_path / "v.csv", tmp_path / "v-out.csv", tmp_path / "bad.csv")


def test_the_commands_say_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        dataset_command.app, ["enrich", str(tmp_path / "no.csv"), "--out", str(tmp_path / "o.csv")]
    )
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, "g3-dataset: There is no table no.csv.")
    for arguments, status, words in (
        (["pretrain", "--out", "x", "--preset", "demo"], 2, "Say where the photos are"),
        (["pretrain", "--out", "x", "--arrays", str(tmp_path)], 2, "Give one of --model"),
        (["align", "--out", "x", "--model", "none.safetensors", "--cache", "c"], 1, "no checkpoint"),
        (["pretrain", "--out", "x", "--preset", "demo", "--schedule", "steps"], 2, "--schedule"),
    ):
        done = CliRunner().invoke(command.app, arguments)
        assert done.exit_code == status
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
