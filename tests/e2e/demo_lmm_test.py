"""The stack with the LMM that it starts by itself: all three stages of a job, on real processes."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from g3_client import Job
from g3_world.dataset import Plan, write_photos

from tests.servers.lmm import jpeg
from tests.servers.stack import LocalStack, eventually
from tests.servers.tiny_llava import write


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Up, with a few references. Not below pytest's own folder, as in conftest."""
    world = tmp_path_factory.mktemp("world")
    write_photos(Plan(count=60, seed=1), world)
    settings = {"G3_LMM_FOLDER": str(write(tmp_path_factory.mktemp("tiny"))), "G3_LEASE_S": "3", "G3_RING_AGAIN_S": "3"}
    with (
        tempfile.TemporaryDirectory(prefix="g3-stack-") as folder,
        LocalStack(Path(folder), settings) as running,
    ):
        ingested = running.command("ingest", str(world), "--csv", str(world / "photos.csv"))
        assert ingested.returncode == 0, ingested.stderr
        yield running


def answers_of_the_lmm(job: Job) -> int:
    """How many samples the LMM gave, kept or dropped."""
    assert job.succeeded, job.failure
    assert job.result is not None
    return sum(candidate.origin == "lmm" for candidate in job.result.candidates) + len(job.result.dropped)


def test_a_job_goes_through_all_three_stages(stack: LocalStack) -> None:
    assert stack.processes()["lmm"]["ready"]
    with stack.client() as g3:
        job = g3.locate(jpeg(side=128), parameters={"top_k": 50})
    assert job.degraded == ()
    assert [timing.stage for timing in job.timings] == ["retrieve", "generate", "verify"]
    assert answers_of_the_lmm(job) > 0


@pytest.mark.slow
def test_a_killed_lmm_comes_back_and_no_job_is_lost(stack: LocalStack) -> None:
    lmm = stack.processes()["lmm"]
    os.kill(int(lmm["pid"]), signal.SIGKILL)
    with stack.client() as g3:
        job = g3.locate(jpeg(side=128), parameters={"top_k": 50})
    assert answers_of_the_lmm(job) > 0 or job.degraded == ("generation",)
    eventually(lambda: stack.processes()["lmm"]["ready"], within_s=60, what="the LMM is ready again")
    assert stack.processes()["lmm"]["restarts"] == lmm["restarts"] + 1
    with stack.client() as g3:
        assert g3.locate(jpeg(3, side=128)).degraded == ()
