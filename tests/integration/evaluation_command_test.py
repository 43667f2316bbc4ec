"""g3-eval against the real services: embedding, retrieval and verification as processes, on a small rendered world."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3_world.dataset import Plan, write_photos

from tests.servers.rooms import Rooms, rooms

REFERENCES, QUERIES = 120, 240
# Of an untrained model these say nothing; what they must add up to is known all the same.
NEAREST = ("img", "img_gps", "img_gps_text", "gallery", "chosen")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rooms]:
    with rooms(tmp_path_factory.mktemp("rooms")) as started:
        references = started.folder / "references"
        write_photos(Plan(count=REFERENCES, seed=1), references)
        write_photos(Plan(count=QUERIES, seed=2), started.folder / "queries")
        ingested = started.run("g3_ingest", str(references), "--csv", str(references / "photos.csv"))
        assert ingested.returncode == 0, ingested.stderr
        yield started


def vectors(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in folder.glob("embeddings/*/*.npz"):
        with np.load(file) as held:
            found |= dict(zip(held["ids"].tolist(), held["vectors"], strict=True))
    return dict(sorted(found.items()))


def report(folder: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return said


def test_a_query_set_is_evaluated_whole(running: Rooms) -> None:
    out = running.folder / "whole"
    done = running.run("g3_evaluation", "retrieval", "queries", "--out", str(out), "--limit", "60")
    assert done.returncode == 0, done.stderr
    assert "% of 60 photos within" in done.stdout
    said = report(out)
    assert (said["n"], said["failures"], said["collection"]["count"]) == (60, [], REFERENCES)
    assert said["gallery"]["count"] == said["gallery"]["embedded"] == REFERENCES
    assert said["model"]["trained"] is False
    assert "untrained" in done.stdout
    with (out / "answers.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 60
    with (running.folder / "references" / "photos.csv").open(newline="") as table:
        places = {(float(row["latitude"]), float(row["longitude"])) for row in csv.DictReader(table)}
    for row in rows:
        for method in (*NEAREST, "random"):
            assert (float(row[f"{method}_lat"]), float(row[f"{method}_long"])) in places
            assert float(row[f"{method}_km"]) >= float(row["ceiling_km"]) - 0.001
        # The oracle chooses among what two of the methods choose from.
        assert float(row["oracle_km"]) <= min(float(row["img_gps_text_km"]), float(row["chosen_km"])) + 0.001


def test_killed_in_the_middle_it_goes_on_and_says_the_same(running: Rooms) -> None:
    whole, killed = running.folder / "undisturbed", running.folder / "killed"
    arguments = ["retrieval", "queries", "--calls", "1", "--recall", "0"]
    assert running.run("g3_evaluation", *arguments, "--out", str(whole)).returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "g3_evaluation", *arguments, "--out", str(killed)],
        env=running.environment,
        cwd=running.folder,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    ends = time.monotonic() + 60
    while not (before := {file: file.stat().st_mtime_ns for file in killed.glob("embeddings/*/*.npz")}):
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    assert not (killed / "report.json").exists()
    before |= {file: file.stat().st_mtime_ns for file in killed.glob("embeddings/*/*.npz")}
    again = running.run("g3_evaluation", *arguments, "--out", str(killed))
    assert again.returncode == 0, again.stderr
    after = {file: file.stat().st_mtime_ns for file in killed.glob("embeddings/*/*.npz")}
    assert {file: after[file] for file in before} == before, "what was embedded before is not embedded again"
    assert len(before) < len(after)
    undisturbed, resumed = vectors(whole), vectors(killed)
    assert list(undisturbed) == list(resumed)
    assert len(resumed) == QUERIES
    for id_, expected in undisturbed.items():
        # Not bit for bit: the service makes its batches of whatever is queued.
        np.testing.assert_allclose(resumed[id_], expected, atol=1e-5)
    first, answers = report(killed), (killed / "answers.csv").read_bytes()
    assert running.run("g3_evaluation", *arguments, "--out", str(killed)).returncode == 0
    assert {**report(killed), "seconds": 0} == {**first, "seconds": 0}
    assert (killed / "answers.csv").read_bytes() == answers


def test_a_gallery_is_loaded_by_its_own_command(running: Rooms) -> None:
    done = running.run("g3_evaluation", "gallery")
    assert done.returncode == 0, done.stderr
    assert f"{REFERENCES} different places, float32" in done.stderr


def test_wrong_usage_is_one_line_and_a_status(running: Rooms) -> None:
    for arguments, status, said in (
        (("retrieval", "nowhere"), 2, "no folder"),
        (("gallery", "elsewhere"), 2, "elsewhere"),
        (("retrieval", "queries", "--embedding", "127.0.0.1:9"), 1, "--embedding"),
    ):
        done = running.run("g3_evaluation", *arguments)
        assert done.returncode == status, (arguments, done.stderr)
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr
