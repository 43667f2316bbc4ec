"""The committed stubs are those of the contracts, and the check that says so can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[3] / "protos"
EMBEDDING = Path("g3_protos/embedding/v1")


def check(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(folder / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def named(checked: "subprocess.CompletedProcess[str]") -> list[str]:
    """The stubs that the check names, below its headline."""
    _, headline, names = checked.stderr.partition("stale stubs, run `make protos`:\n")
    assert headline, checked.stderr
    return [line.strip() for line in names.splitlines()]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "protos"
    shutil.copytree(PROTOS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_tree_is_fresh_and_the_check_leaves_it_alone() -> None:
    before = {path: path.stat().st_mtime_ns for path in PROTOS.rglob("*_pb2*")}
    checked = check(PROTOS)
    assert checked.returncode == 0, checked.stderr
    assert before
    assert before == {path: path.stat().st_mtime_ns for path in PROTOS.rglob("*_pb2*")}


def test_a_contract_that_changed_without_its_stubs_fails(copied: Path) -> None:
    proto = copied / EMBEDDING / "embedding.proto"
    proto.write_text(proto.read_text() + "\nmessage Planted {\n  // Planted.\n  string text = 1;\n}\n")
    checked = check(copied)
    assert checked.returncode == 1
    assert named(checked) == [f"{EMBEDDING.as_posix()}/embedding_pb2.py", f"{EMBEDDING.as_posix()}/embedding_pb2.pyi"]


def test_a_stub_edited_by_hand_fails(copied: Path) -> None:
    stub = copied / EMBEDDING / "embedding_pb2_grpc.py"
    stub.write_text(stub.read_text() + "\n# edited\n")
    checked = check(copied)
    assert checked.returncode == 1
    assert named(checked) == [f"{EMBEDDING.as_posix()}/embedding_pb2_grpc.py"]


def test_a_stub_that_is_missing_or_left_over_fails(copied: Path) -> None:
    (copied / EMBEDDING / "embedding_pb2.pyi").unlink()
    (copied / EMBEDDING / "gone_pb2.py").write_text("")
    checked = check(copied)
    assert checked.returncode == 1
    assert named(checked) == [f"{EMBEDDING.as_posix()}/embedding_pb2.pyi", f"{EMBEDDING.as_posix()}/gone_pb2.py"]


def test_generating_mends_it(copied: Path) -> None:
    proto = copied / EMBEDDING / "embedding.proto"
    proto.write_text(proto.read_text() + "\nmessage Planted {\n  // Planted.\n  string text = 1;\n}\n")
    subprocess.run([sys.executable, str(copied / "generate.py")], check=True, timeout=120)
    assert check(copied).returncode == 0


def test_a_contract_with_a_mistake_fails_and_says_where(copied: Path) -> None:
    proto = copied / EMBEDDING / "embedding.proto"
    proto.write_text(proto.read_text() + "\nmessage Broken {\n")
    checked = check(copied)
    assert checked.returncode == 1
    assert "protoc failed" in checked.stderr
    assert "embedding.proto" in checked.stderr
