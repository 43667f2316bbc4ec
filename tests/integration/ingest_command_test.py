"""The command as people call it: a process, real gRPC, fakes behind the two services."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from g3_ingest.embedder import PhotoVectors
from g3_ingest.fakes import FakeEmbedder, FakeReferences
from g3_kit.errors import G3Error

from tests.servers.ingest_servicers import ingest_server
from tests.servers.photos import jpeg


@dataclass
class Slow(FakeEmbedder):
    """Holds each call until it may go on."""

    go_on: threading.Event = field(default_factory=threading.Event)

    def embed(self, photos: Sequence[bytes], model: str) -> list[PhotoVectors | G3Error]:
        vectors = super().embed(photos, model)
        if len(self.calls) > 1:
            self.go_on.wait(60)
        return vectors


@dataclass
class House:
    """The two services, the photos, and the command."""

    embedder: Slow
    references: FakeReferences
    port: int
    folder: Path
    home: Path

    def start(self, *arguments: str, target: str = "") -> "subprocess.Popen[str]":
        place = target or f"127.0.0.1:{self.port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
        told = {"G3_EMBEDDING_TARGET": place, "G3_RETRIEVAL_TARGET": place, "G3_HOME": str(self.home)}
        return subprocess.Popen(
            [sys.executable, "-m", "g3_ingest", *arguments],
            env={**kept, **told, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # As from a terminal: what runs in a shell's background is started with SIGINT ignored, and hands that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, target: str = "") -> tuple[int, str, str]:
        process = self.start(*arguments, target=target)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = []
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(jpeg(number, (64, 48)))
        rows.append(f"{number}.jpg,{10 + number},20,Ann")
    (folder / "photos.csv").write_text("\n".join(["img_id,latitude,longitude,author", *rows]))
    embedder, references = Slow(), FakeReferences()
    embedder.go_on.set()
    serving = ingest_server(embedder, references)
    serving.start()
    yield House(embedder, references, serving.port, folder, tmp_path / "home")
    embedder.go_on.set()
    serving.stop(0)


def test_a_folder_with_a_table_lands_and_is_published(house: House) -> None:
    table = str(house.folder / "photos.csv")
    status, out, err = house.run(str(house.folder), "--csv", table, "--batch", "2")
    assert (status, err.count("Traceback")) == (0, 0), err
    name = house.references.aliases["references"]
    assert name.startswith("references_")
    assert sorted(house.references.stored[name]) == [f"{number}.jpg" for number in range(6)]
    assert house.references.stored[name]["0.jpg"].author == "Ann"
    assert "untrained" in out
    status, out, _ = house.run(str(house.folder), "--csv", table, "--json")
    report = json.loads(out)
    assert (status, report["held"], report["written"], report["published"]) == (0, 6, 0, True)


def test_rejects_are_told_and_written(house: House, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("file,lat,lon\n0.jpg,1,2\nabsent.jpg,1,2\n1.jpg,99,200\n2.jpg,here,there\n[red]x.jpg,1,2\n")
    written = tmp_path / "rejects.csv"
    status, out, _ = house.run(str(house.folder), "--csv", str(table), "--rejects", str(written))
    assert status == 0
    assert "out of range" in out
    assert "[red]x.jpg" in out or "absent.jpg" in out
    with written.open(newline="") as file:
        rejects = {row["id"]: row["code"] for row in csv.DictReader(file)}
    assert rejects == {
        "absent.jpg": "missing",
        "1.jpg": "rejected",
        "2.jpg": "rejected",
        "[red]x.jpg": "missing",
    }


def test_photos_without_coordinates_cannot_be_ingested(house: House) -> None:
    status, out, err = house.run(str(house.folder), "--json")
    assert status == 1
    report = json.loads(out)
    assert (report["written"], report["rejected"], report["published"]) == (0, 6, False)
    assert "no EXIF coordinates" in report["rejects"][0]["reason"]
    assert "no photo could be ingested" in err


def test_a_collection_of_another_model_is_refused_clearly(house: House) -> None:
    house.references.create("mine", 4, "b" * 64)
    table = str(house.folder / "photos.csv")
    status, _, err = house.run(str(house.folder), "--csv", table, "--collection", "mine")
    assert status == 2
    assert "Collection mine holds vectors of model bbbbbbbbbbbb" in err
    assert "Traceback" not in err


def test_no_publish_leaves_the_alias_alone(house: House) -> None:
    arguments = [str(house.folder), "--csv", str(house.folder / "photos.csv"), "--no-publish", "--collection", "mine"]
    status, out, _ = house.run(*arguments)
    assert status == 0
    assert "not published" in out
    assert house.references.aliases == {}
    assert len(house.references.stored["mine"]) == 6


def test_ctrl_c_ends_cleanly_and_the_next_run_goes_on(house: House) -> None:
    house.embedder.go_on.clear()
    arguments = [str(house.folder), "--csv", str(house.folder / "photos.csv"), "--batch", "2", "--json"]
    process = house.start(*arguments)
    deadline = time.monotonic() + 60
    while len(house.embedder.calls) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    house.embedder.go_on.set()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "run it again to go on" in err
    report = json.loads(out)
    assert report["interrupted"]
    assert not report["published"]
    (stored,) = house.references.stored.values()
    assert 2 <= report["written"] == len(stored) < 6
    status, out, _ = house.run(*arguments)
    again = json.loads(out)
    assert (status, again["held"], again["written"]) == (0, report["written"], 6 - report["written"])


def free_target() -> str:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_what_is_lacking_is_said_in_one_line(house: House, tmp_path: Path) -> None:
    folder, target = str(house.folder), free_target()
    (tmp_path / "empty").mkdir()
    cases = [
        ((), "", 2, "give the folder"),
        ((str(tmp_path / "nowhere"),), "", 2, "no folder"),
        ((str(tmp_path / "empty"),), "", 1, "no photos"),
        ((folder, "--csv", str(tmp_path / "absent.csv")), "", 2, "no file"),
        ((folder,), target, 1, f"no embedding service answers at {target}"),
        ((folder, "--embedding", f"127.0.0.1:{house.port}"), target, 1, "no retrieval service answers"),
    ]
    # A few at once: each starts a process, and some wait for an answer that does not come.
    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(lambda case: house.run(*case[0], target=case[1]), cases))
    for (arguments, _, expected, sentence), (status, out, err) in zip(cases, ends, strict=True):
        assert (status, out) == (expected, ""), (arguments, err)
        (line,) = err.strip().splitlines()
        assert sentence in line


def test_the_g3_command_has_it_by_entry_point() -> None:
    from importlib.metadata import entry_points

    from g3_ingest.command import app

    (found,) = [point for point in entry_points(group="g3.commands") if point.name == "ingest"]
    assert found.load() is app
