"""`g3 demo --quick`: the whole demo, a hundredth of its size."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.stack import LocalStack


@pytest.mark.slow
def test_the_quick_demo_runs_twice_and_the_second_time_finds_everything(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "home")

    def demo() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(Path(sys.executable).parent / "g3"), "demo", "--quick"],
            env=stack.environment | {"COLUMNS": "120"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=290,
        )

    first = demo()
    assert first.returncode == 0, first.stdout + first.stderr
    report = (tmp_path / "demo-report.md").read_text()
    for head in (
        "cities seen in training, n = 40",
        "cities never seen, n = 40",
        "never seen, references added, n = 40",
    ):
        assert head in report
    assert "200 references" in report
    assert "240 references" in report
    assert "5 photos went the whole way of a job" in report
    assert "synthetic" in report
    assert (tmp_path / "demo-map.html").exists()
    again = demo()
    assert again.returncode == 0, again.stdout + again.stderr
    assert figures((tmp_path / "demo-report.md").read_text()) == figures(report)
    assert again.stdout.count("already there  200") == 1
    assert "no stack is running" in stack.command("ps").stderr


def figures(report: str) -> list[str]:
    return [line for line in report.splitlines() if line.startswith("|")]
