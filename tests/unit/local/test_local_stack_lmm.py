"""When `g3 up` starts an LMM, and what the rooms are then told."""

import sys
from pathlib import Path

import pytest
from g3_local.home import Home
from g3_local.stack import Stack
from g3_local.supervisor import Supervisor
from g3_world import models


def stack(folder: Path, environment: dict[str, str]) -> Stack:
    return Stack(Home(folder), Supervisor(folder / "logs", lambda _: None), environment)


@pytest.mark.parametrize(
    "environment",
    [
        {"G3_LMM_URL": "http://elsewhere/v1", "G3_LMM_MODEL": "other"},
        {"G3_LMM_URL": ""},
        {"G3_LMM_URL": "", "G3_LMM_FOLDER": "/models/llava"},
        {"G3_CHECKPOINT": "/models/real.safetensors"},
    ],
    ids=["an endpoint is named", "none is wanted", "none is wanted though there is one", "another alignment model"],
)
def test_no_lmm_is_started(tmp_path: Path, environment: dict[str, str]) -> None:
    assert stack(tmp_path, environment)._lmm() == []


def test_the_lmm_of_a_folder_is_started_and_the_worker_is_told(tmp_path: Path) -> None:
    built = stack(tmp_path, {"G3_LMM_FOLDER": "/models/llava", "G3_CHECKPOINT": "/models/real.safetensors"})
    (program,) = built._lmm()
    assert list(program.command) == [sys.executable, "-m", "g3_world.lmm"]
    assert program.environment["G3_LMM_FOLDER"] == "/models/llava"
    told = built._environment
    assert told["G3_LMM_URL"] == f"http://{program.address}/v1"
    assert told["G3_LMM_MODEL"] == program.environment["G3_LMM_SERVED_NAME"]
    assert program.address.endswith(f":{program.environment['G3_LMM_PORT']}")


def test_the_demo_lmm_is_started_where_nothing_else_is_said(tmp_path: Path) -> None:
    (program,) = stack(tmp_path, {})._lmm()
    assert program.environment["G3_LMM_FOLDER"] == str(models.LMM)
