"""`g3-eval run` against the whole house: what reaches the LMM, and that no kill makes it be asked twice."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from g3_evaluation.photos import carries_metadata
from g3_world.plan import Plan
from g3_world.query_sets import IM2GPS3K, write_queries

from tests.servers.scripted_lmm import ScriptedLmm
from tests.servers.stack import LocalStack

PHOTOS = 8
PROMPTS = 4
"""Of the profile `paper`."""


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic IM2GPS3K: nearly all of its files state their coordinates in a comment."""
    folder = tmp_path_factory.mktemp("queries") / "im2gps3k"
    write_queries(IM2GPS3K, Plan(PHOTOS, seed=9, size=192), folder)
    assert sum(carries_metadata(photo.read_bytes()) for photo in folder.glob("*.jpg")) >= PHOTOS - 2
    return folder


def images(lmm: ScriptedLmm, since: int) -> list[bytes]:
    """The photos in the questions put to the LMM."""
    shown = []
    for asked in lmm.asked[since:]:
        parts = [
            part
            for message in asked.body["messages"]
            if isinstance(message["content"], list)
            for part in message["content"]
        ]
        shown += [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [base64.b64decode(url.partition(",")[2]) for url in shown]


def test_killed_in_the_middle_the_lmm_is_asked_once_for_each_prompt(
    stack: LocalStack, lmm: ScriptedLmm, queries: Path, tmp_path: Path
) -> None:
    out, since = tmp_path / "run", len(lmm.asked)
    command = [sys.executable, "-m", "g3_evaluation", "run", str(queries), "--out", str(out)]
    command += ["--ask", "near,paper", "--in-flight", "2"]
    journal = out / "outcomes.jsonl"
    with subprocess.Popen(
        command, env=stack.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while not (journal.exists() and journal.read_bytes().count(b'"ask":"paper"') >= 2):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    done = subprocess.run(command, env=stack.environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    photos = images(lmm, since)
    assert len(lmm.asked) - since == len(photos) == PROMPTS * PHOTOS
    assert not any(carries_metadata(photo) for photo in photos)
    said: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert (said["n"], said["unfinished"], said["failures"]) == (PHOTOS, 0, [])
    cost = next(cost for cost in said["costs"] if cost["ask"] == "paper")
    assert cost["degraded"] == 0
    assert [stage["stage"] for stage in cost["stages"]] == ["retrieve", "generate", "verify"]
    # Two of the three answers in the script are places, and the rest is dropped and counted.
    assert set(cost["dropped"]) >= {"refused"} or set(cost["dropped"]) >= {"unparsable"}
    assert cost["winners"]
    assert {curve["name"] for curve in said["curves"]} >= {"S", "K", "N"}
    assert said["leakage"]["looked"] == PHOTOS
    again = subprocess.run(command, env=stack.environment, capture_output=True, text=True, timeout=200)
    assert "0 jobs asked for now" in again.stderr
    assert len(lmm.asked) - since == PROMPTS * PHOTOS
