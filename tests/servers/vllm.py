"""A real vLLM on a free port of 127.0.0.1, on the CPU, stopped by its process group.

    with Vllm(folder, model) as server: … server.url …; server.kill(); server.start()

`folder` keeps its log; `model` is a folder with a model, such as `tiny_llava.write` or the demo LMM's.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

from tests.servers.rabbitmq import free_port
from tests.servers.vllm_environment import CACHE, vllm_python

MODEL = "tiny-llava"
"""The name under which it serves the model."""
API_KEY = "for-tests-alone"
WHOLE_PROMPTS = ("--no-enable-chunked-prefill", "--max-num-batched-tokens", "8192")
"""For many requests at once: where 0.32.0 on a CPU cuts a prompt in two, it dies of a seed (docs/lmm.md)."""
DRAIN_S = 15
"""How long it goes on answering what it has taken after SIGTERM."""
_TOLD = (
    # Prefix caching in the smallest blocks that its attention on CPUs takes (GPUs: 16); its own choice is 128.
    *("--enable-prefix-caching", "--block-size", "32"),
    *("--dtype", "float32", "--enforce-eager", "--max-num-seqs", "32"),
    *("--limit-mm-per-prompt", '{"image": 1}', "--seed", "0"),
    # Without it SIGTERM aborts what is being answered.
    *("--shutdown-timeout", str(DRAIN_S)),
    # A model that knows nothing would write white space between the braces of a JSON schema until its tokens end.
    *("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
)


class Vllm:
    """One server; port and folder outlive its deaths. Use it as a context manager."""

    def __init__(
        self, folder: Path, model: Path, *, context: int = 4096, flags: Sequence[str] = (), ready_s: float = 400.0
    ) -> None:
        """`flags` come last. Makes the environment when it is missing. Raises RuntimeError when that fails."""
        self.port = free_port()
        self.log = folder / "vllm.log"
        self._python = vllm_python()
        self._model = model
        self._folder = folder
        self._context = context
        self._flags = flags
        self._ready_s = ready_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL of the API, ending in /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it on the same port and waits until it is healthy. Raises RuntimeError with the log's end if not."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        deadline = time.monotonic() + self._ready_s
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"vLLM was not up within {self._ready_s:g} s ({self.log}):\n{self._tail()}")
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL to every process of it at once."""
        self._signal(signal.SIGKILL)
        self._gone(30)

    def stop(self) -> None:
        """SIGTERM, as on a roll-out; SIGKILL to what is left after a while. Nothing of it outlives this call."""
        if self._process is not None:
            self.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(DRAIN_S + 10)
        self.kill()

    def terminate(self) -> None:
        """SIGTERM alone: it takes nothing more, ends what it has taken, and goes."""
        if self._process is not None:
            self._process.terminate()

    def metrics(self) -> dict[str, float]:
        """Every series that /metrics serves, summed over its labels, by name."""
        found: dict[str, float] = {}
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as response:
            for line in response.read().decode().splitlines():
                if line and not line.startswith("#"):
                    name, value = line.split("{")[0].split(" ")[0], line.rsplit(" ", 1)[1]
                    found[name] = found.get(name, 0.0) + float(value)
        return found

    def _command(self) -> list[str]:
        return [
            *(str(self._python), "-m", "vllm.entrypoints.openai.api_server"),
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--model", str(self._model), "--served-model-name", MODEL, "--api-key", API_KEY),
            *("--max-model-len", str(self._context), *_TOLD, *self._flags),
        ]

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("G3_", "PYTEST", "VLLM_", "VIRTUAL_ENV", "PYTHONPATH"))
        }
        return kept | {
            # Nothing is fetched from a hub, and nothing is told to anybody.
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "OMP_NUM_THREADS": "1",
            # One process for engine and worker: a spawned worker takes eight seconds to import everything once more.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            # It would nail its worker to the first core, whatever else runs there.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            # The queues between its processes listen on this machine alone, as its API does.
            "VLLM_HOST_IP": "127.0.0.1",
            # What it once found out about the model's class it keeps: eight seconds of imports at every other start.
            "VLLM_CACHE_ROOT": str(CACHE / "vllm-cache"),
            "PYTHONNOUSERSITE": "1",
        }

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def _tail(self) -> str:
        return self.log.read_bytes()[-16000:].decode(errors="replace")

    def _signal(self, number: signal.Signals) -> None:
        # It leads a session of its own: its group is the API server, the engine and their workers, nothing else.
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _gone(self, within_s: float) -> None:
        """Waits until no process of the group is left. Raises RuntimeError when one stays."""
        if self._process is None:
            return
        self._process.wait(within_s)
        deadline = time.monotonic() + within_s
        while alive(self._process.pid):
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes of vLLM's group {self._process.pid} outlived SIGKILL")
            time.sleep(0.05)
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            # Its folder may end with the failure that it explains.
            sys.stderr.write(f"the end of {self.log}:\n{self._tail()}\n")
        self.stop()


def alive(group: int) -> list[int]:
    """The processes of a group that still run; those that are dead and not yet buried by their parent do not."""
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        with contextlib.suppress(ProcessLookupError):
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.info["pid"]) == group:
                found.append(int(process.info["pid"]))
    return found
