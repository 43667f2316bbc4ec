"""`g3-eval run`: what is sent, what is kept, and that no kill makes it ask twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from g3_client import Job
from g3_evaluation import journal
from g3_evaluation.command import app
from g3_evaluation.journal import Journal
from g3_evaluation.outcomes import Outcome, Retrieved, Said, StageTime, Voice, of_job
from g3_evaluation.photos import carries_metadata
from g3_evaluation.run_folder import RunFolder
from g3_kit.errors import Rejected
from typer.testing import CliRunner, Result

from tests.servers.geolocation_api import GeolocationApi, Refusal, Submitted, result
from tests.servers.photos import SECRET, jpeg, with_metadata

HEADING = "IMG_ID,AUTHOR,LAT,LON,S3_Label,S16_Label,S365_Label,Prob_indoor,Prob_natural,Prob_urban"


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """Six photos of three authors: one with metadata, two of them the same file, one missing, one no photo."""
    folder = tmp_path / "im2gps3k"
    folder.mkdir()
    contents = {
        "a@1.jpg": with_metadata(),
        "b@1.jpg": jpeg(1),
        "c@1.jpg": jpeg(2),
        "d@1.jpg": jpeg(2),
        "e@1.jpg": b"no",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    authors = ("ann", "ann", "bob", "bob", "eve", "eve")
    rows = [
        f"{name},{author},10.5,20.5,1,2,3,0.1,0.7,0.2"
        for name, author in zip([*contents, "f@1.jpg"], authors, strict=True)
    ]
    (folder / "im2gps3k_places365.csv").write_text("\n".join([HEADING, *rows]) + "\n")
    return folder


def ask(api: GeolocationApi, queries: Path, out: Path, *options: str) -> Result:
    told = ["run", str(queries), "--out", str(out), "--url", api.url, "--api-key", "k", *options]
    return CliRunner().invoke(app, told)


def outcomes(out: Path) -> dict[tuple[str, str], Outcome]:
    return RunFolder(out).outcomes()


def test_nothing_sent_says_where_a_photo_is_from(queries: Path, tmp_path: Path) -> None:
    with GeolocationApi() as api:
        done = ask(api, queries, tmp_path / "run", "--ask", "paper,knn")
    assert done.exit_code == 0, done.output
    # c and d are one file by one author: one job answers both. e and f are no photos.
    assert len(api.jobs) == 6
    for job in api.jobs:
        assert SECRET not in job.photo
        assert not carries_metadata(job.photo)
        assert job.label == "g3-eval"
        assert "@1" not in json.dumps([job.parameters, job.key, job.label])
    assert sorted({tuple(job.parameters["excluded_authors"]) for job in api.jobs}) == [("ann",), ("bob",)]
    there = outcomes(tmp_path / "run")
    assert len(there) == 12
    assert there["paper", "a@1.jpg"].place == (10.0, 20.0)
    assert {there["paper", name].failure is not None for name in ("e@1.jpg", "f@1.jpg")} == {True}
    assert there["paper", "a@1.jpg"].stages["retrieve"].worked_s == 1.5
    assert RunFolder(tmp_path / "run").queries()[0].scene == "natural"


def test_what_is_there_is_not_asked_for_again(queries: Path, tmp_path: Path) -> None:
    with GeolocationApi() as api:
        first = ask(api, queries, tmp_path / "run", "--ask", "paper")
        calls = api.calls
        again = ask(api, queries, tmp_path / "run", "--ask", "paper")
        assert "0 jobs asked for now, 6 were there" in again.output, first.output
        assert api.calls == calls
        more = ask(api, queries, tmp_path / "run", "--ask", "knn")
        assert "6 jobs asked for now, 6 were there" in more.output
        other = ask(api, queries, tmp_path / "run", "--ask", "paper", "--samples", "7")
        assert len([job for job in api.jobs if job.parameters.get("samples_per_prompt") == 7]) == 3, other.output


def test_failures_are_final_unless_asked_again(queries: Path, tmp_path: Path) -> None:
    broken = [True]

    def answer(submitted: Submitted) -> dict[str, Any]:
        if broken[0]:
            return {"failure": {"code": "unavailable", "message": "away"}}
        return result(degraded=["generation"])

    with GeolocationApi(answer) as api:
        ask(api, queries, tmp_path / "run", "--ask", "paper")
        assert outcomes(tmp_path / "run")["paper", "a@1.jpg"].failure == ("unavailable", "away")
        broken[0] = False
        ask(api, queries, tmp_path / "run", "--ask", "paper")
        assert outcomes(tmp_path / "run")["paper", "a@1.jpg"].place is None
        ask(api, queries, tmp_path / "run", "--ask", "paper", "--again")
        found = outcomes(tmp_path / "run")["paper", "a@1.jpg"]
        assert (found.place, found.degraded) == ((10.0, 20.0), ["generation"])
        keys = {job.key for job in api.jobs}
        assert len(keys) == len(api.jobs) == 6


def test_a_way_that_the_server_does_not_know_is_left_out_and_a_photo_that_it_refuses_fails(
    queries: Path, tmp_path: Path
) -> None:
    def answer(submitted: Submitted) -> dict[str, Any] | Refusal:
        if submitted.parameters.get("strategy") == "gallery":
            return Refusal(422, "not_yet", "gallery is not available in this release", "parameters.strategy")
        if len(submitted.photo) > 5_000:
            return Refusal(422, "rejected", "the photo shows nothing", "photo")
        return result()

    with GeolocationApi(answer) as api:
        done = ask(api, queries, tmp_path / "run", "--ask", "paper,gallery")
        assert done.exit_code == 0
        assert "gallery was refused" in done.output
        there = outcomes(tmp_path / "run")
        assert {ask_ for ask_, _ in there} == {"paper", "gallery"} or {ask_ for ask_, _ in there} == {"paper"}
        assert there["paper", "a@1.jpg"].failure == ("rejected", "the photo shows nothing")
        only = ask(api, queries, tmp_path / "other", "--ask", "gallery")
        assert only.exit_code == 1
    gone = ask(api, queries, tmp_path / "run", "--ask", "nonsense")
    assert gone.exit_code == 2


def test_references_that_are_nearly_the_photo_are_found_and_left_out(queries: Path, tmp_path: Path) -> None:
    def answer(submitted: Submitted) -> dict[str, Any]:
        barred = submitted.parameters.get("excluded_references", [])
        where = {"latitude": 1.0, "longitude": 2.0}
        listed = [("r1", 0.99), ("r2", 0.96), ("r3", 0.5)]
        kept = [
            {"reference": {"id": id_, "coordinates": where}, "similarity": similarity}
            for id_, similarity in listed
            if id_ not in barred
        ]
        # Two at a time: as long as all of them are near, the look goes on.
        return result(references=kept[:2])

    with GeolocationApi(answer) as api:
        ask(api, queries, tmp_path / "run", "--ask", "near,paper", "--exclude-near", "0.95", "--with-author")
    papers = [job.parameters for job in api.jobs if job.parameters.get("retrieval_vector") != "clip"]
    assert len(papers) == 3
    for parameters in papers:
        assert parameters["excluded_references"] == ["r1", "r2"]
        assert "excluded_authors" not in parameters
    there = outcomes(tmp_path / "run")
    assert [reference.id for reference in there["near", "a@1.jpg"].references] == ["r1", "r2"]


def test_no_more_jobs_are_in_flight_than_told(queries: Path, tmp_path: Path) -> None:
    with GeolocationApi(slow_s=0.05) as api:
        ask(api, queries, tmp_path / "run", "--in-flight", "2")
    assert api.most_at_once == 2


def test_another_query_set_does_not_move_into_a_folder(queries: Path, tmp_path: Path) -> None:
    with GeolocationApi() as api:
        ask(api, queries, tmp_path / "run", "--ask", "knn")
        table = queries / "im2gps3k_places365.csv"
        table.write_text(table.read_text().replace("10.5,20.5", "11.5,20.5"))
        other = ask(api, queries, tmp_path / "run", "--ask", "knn")
    assert other.exit_code == 2
    assert "choose another --out" in other.output


def test_killed_again_and_again_it_asks_for_no_job_twice(queries: Path, tmp_path: Path) -> None:
    for number in range(24):
        (queries / f"n{number}@1.jpg").write_bytes(jpeg(100 + number, (64, 48)))
    table = queries / "im2gps3k_places365.csv"
    rows = [f"n{number}@1.jpg,author {number},10,20,1,2,3,0.1,0.2,0.7" for number in range(24)]
    table.write_text(table.read_text() + "\n".join(rows) + "\n")
    out = tmp_path / "run"
    with GeolocationApi(slow_s=0.05) as api:
        command = [sys.executable, "-m", "g3_evaluation", "run", str(queries), "--out", str(out)]
        command += ["--url", api.url, "--api-key", "k", "--ask", "paper,knn,img2loc", "--in-flight", "3"]
        for wanted in (15, 45):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                while api.calls < wanted:
                    assert process.poll() is None
                    time.sleep(0.002)
                os.kill(process.pid, signal.SIGKILL)
            with (out / "outcomes.jsonl").open("ab") as file:
                file.write(b'{"key": "half a li')  # what a power cut leaves
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        there = outcomes(out)
        assert len(there) == 30 * 3
        # 24 and three different files of the fixture, three ways each; every key made one job, whatever happened.
        assert len(api.jobs) == len({job.key for job in api.jobs}) == 27 * 3


def test_ctrl_c_ends_it_cleanly(queries: Path, tmp_path: Path) -> None:
    with GeolocationApi(slow_s=20) as api:
        command = [sys.executable, "-m", "g3_evaluation", "run", str(queries), "--out", str(tmp_path / "run")]
        command += ["--url", api.url, "--api-key", "k", "--ask", "paper"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while api.calls < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=15)
    assert process.returncode == 130, said
    assert "stopped: run it again" in said
    assert "Traceback" not in said


def sample() -> Outcome:
    return Outcome(
        key="k",
        ask="paper",
        photo="a \n\u2028 ü.jpg",
        sha256="0" * 64,
        place=(1.5, -2.5),
        similarity=0.25,
        job_id="j",
        degraded=["generation"],
        voices=[Voice(1.5, -2.5, "lmm", 0.25, 1, 2), Voice(3.0, 4.0, "retrieved", None, reference_id="r")],
        references=[Retrieved("r", 3.0, 4.0, 0.9, "ann", "Paris")],
        answers=[Said(1, 2, "here")],
        tokens=(100, 7),
        lmm="small",
        dropped={"refused": 3},
        confidence={"25": 0.75},
        radius_km=12.0,
        stages={"generate": StageTime(0.5, 2.5, 1)},
        wall_s=3.0,
        release=("m", "c"),
    )


def test_evidence_is_kept_where_the_server_states_it() -> None:
    where = {"latitude": 1.0, "longitude": 2.0}
    sources = [{"origin": "lmm", "prompt": 1, "sample": 3}, {"origin": "retrieved", "reference_id": "r"}]
    stated = result(
        candidates=[{"coordinates": where, "origin": "lmm", "similarity": 0.5, "rank": 1, "sources": sources}],
        answers=[{"prompt": 1, "sample": 3, "text": "1, 2", "candidate": 1}],
        confidence=[{"km": 25, "probability": 0.75}],
        tokens={"prompt": 100, "answer": 7},
        radius_km=12.5,
        release={"model": "m", "collection": "c", "lmm": ["small"]},
    )
    job = Job.model_validate({"job_id": "j", "state": "succeeded", "result": stated})
    kept = of_job(job, key="k", ask="paper", photo="p", sha256="s", wall_s=1.0)
    assert kept.voices == [Voice(1.0, 2.0, "lmm", 0.5, 1, 3), Voice(1.0, 2.0, "retrieved", 0.5, reference_id="r")]
    assert (kept.answers, kept.confidence, kept.tokens) == ([Said(1, 3, "1, 2")], {"25": 0.75}, (100, 7))
    assert (kept.radius_km, kept.release, kept.lmm) == (12.5, ("m", "c"), "small")


def test_an_outcome_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    failed = Outcome("l", "knn", "b.jpg", failure=("missing", "not there"))
    with Journal(tmp_path / "o.jsonl") as kept:
        kept.append(sample())
        kept.append(failed)
    assert list(journal.read(tmp_path / "o.jsonl")) == [sample(), failed]


@pytest.mark.parametrize("cut", [1, 30, 100_000])
def test_a_half_written_line_is_no_outcome_and_is_cut_off(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "o.jsonl"
    with Journal(file) as kept:
        kept.append(sample())
    whole = file.read_bytes()
    file.write_bytes(whole + (whole * 200)[: min(cut, len(whole) * 200)].replace(b"\n", b" "))
    assert list(journal.read(file)) == [sample()]
    with Journal(file) as kept:
        assert file.read_bytes() == whole
        kept.append(sample())
    assert len(list(journal.read(file))) == 2


def test_a_damaged_line_in_the_middle_is_told_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "o.jsonl"
    with Journal(file) as kept:
        kept.append(sample())
    file.write_bytes(b"[]\n" + file.read_bytes())
    with pytest.raises(Rejected, match="Line 1 of"):
        list(journal.read(file))
