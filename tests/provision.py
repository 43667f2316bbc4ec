"""Installs the real servers that tests talk to: `python -m tests.provision`.

What cannot be installed is named, and the tests that need it fail, unless `G3_WITHOUT` says to do without
(`G3_WITHOUT=rabbitmq,milvus-core,vllm make test`).
"""

import os
import shutil
import subprocess
import sys

from tests.servers import milvus, rabbitmq, vllm_environment

NEEDS = ("postgres", "rabbitmq", "milvus-core", "vllm")
"""Every name that the marker `needs` may carry."""


def without() -> frozenset[str]:
    """The servers that G3_WITHOUT names. Raises ValueError for a name that is none."""
    names = frozenset(name.strip() for name in os.environ.get("G3_WITHOUT", "").split(",") if name.strip())
    if unknown := names - frozenset(NEEDS):
        raise ValueError(f"G3_WITHOUT names {', '.join(sorted(unknown))}; there are {', '.join(NEEDS)}")
    return names


def lacking(name: str) -> str | None:
    """None when the server `name` can be started here, else what to do about it."""
    if name == "rabbitmq" and not rabbitmq.installed():
        return "RabbitMQ is missing: run `apt-get install rabbitmq-server` (and the tests) as root"
    if name == "vllm" and not vllm_environment.installed():
        return "vLLM is missing: run `python -m tests.provision` (or `make provision`), which says what hinders it"
    # PostgreSQL and the Milvus core come as wheels: the first from the environment, the second when first started.
    return None


def main() -> None:
    """Install what is missing and can be had; exit 1 naming what cannot."""
    left_out = without()
    if "rabbitmq" not in left_out and shutil.which("rabbitmq-server") is None and os.geteuid() == 0:
        _apt("rabbitmq-server")
    if "milvus-core" not in left_out:
        milvus.core_python()
    if "vllm" not in left_out:
        _vllm()
    missing = [problem for name in NEEDS if name not in left_out and (problem := lacking(name))]
    for problem in missing:
        sys.stderr.write(f"{problem}; or leave these tests out with G3_WITHOUT\n")
    sys.exit(1 if missing else 0)


def _vllm() -> None:
    try:
        vllm_environment.vllm_python()
    except RuntimeError as error:
        # Named here in full; what is missing is then counted with the rest.
        sys.stderr.write(f"{error}\n")


def _apt(package: str) -> None:
    # The package starts a server of its own unless policy-rc.d says no; the tests start theirs.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", package]):
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
