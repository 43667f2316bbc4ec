"""The rules of who may import whom hold, and each of them notices a planted violation."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLANTS = {
    "rooms": ("g3_embedding/planted.py", "import g3_retrieval.references\n"),
    "libraries": ("g3_photo/planted.py", "import g3_ingest.sources\n"),
    "foundations": ("g3_kit/planted.py", "import g3_geography\n"),
    "choice": ("g3_choice/planted.py", "import g3_alignment\n"),
    "light-client": ("g3_client/planted.py", "import g3_kit.errors\n"),
    "dialogue": ("g3_dialogue/planted.py", "import numpy\n"),
    "torch": ("g3_orchestrator/planted.py", "import torch\n"),
    "vector-stores": ("g3_retrieval/planted.py", "import faiss\n"),
    "database": ("g3_orchestrator/planted.py", "import sqlalchemy\n"),
    "broker": ("g3_ingest/planted.py", "import celery\n"),
    "messages": ("g3_verification/planted.py", "from g3_protos.vector.v1 import vector_pb2\n"),
    "inwards": ("g3_embedding/servicer.py", "import g3_embedding.app\n"),
    "inwards-orchestrator": ("g3_orchestrator/coordinator.py", "import g3_orchestrator.tasks\n"),
    "inwards-generation": ("g3_generation/generation.py", "import g3_generation.tasks\n"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of every package, side by side."""
    folder = tmp_path_factory.mktemp("tree")
    for package in [*ROOT.glob("*/g3_*"), *ROOT.glob("*/*/g3_*")]:
        if (package / "__init__.py").exists():
            shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def lint(tree: Path, contract: str) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [str(program), "--config", str(ROOT / "pyproject.toml"), "--no-cache", "--contract", contract],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("contract", PLANTS)
def test_a_planted_violation_is_caught(tree: Path, contract: str) -> None:
    clean = lint(tree, contract)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    name, line = PLANTS[contract]
    file = tree / name
    before = file.read_text() if file.exists() else None
    file.write_text((before or "") + line)
    try:
        broken = lint(tree, contract)
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)
    assert broken.returncode == 1, broken.stdout + broken.stderr
    assert "BROKEN" in broken.stdout
    assert f"{name.removesuffix('.py').replace('/', '.')} -> " in broken.stdout


def test_every_contract_has_a_plant() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert {contract["id"] for contract in settings["contracts"]} == set(PLANTS)
