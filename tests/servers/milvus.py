"""Real Milvus servers on free ports of 127.0.0.1, started and stopped by process id.

    with milvus_lite(folder) as uri: …          # the embedded server of `g3 up`
    with milvus_core(folder) as uri: …          # a Milvus core (2.3.5), from PyPI, in a virtual environment of its own
    with MilvusLite(folder) as server: server.kill(); server.start()

The core's wheel wants an old setuptools and ships a client that collides with ours: it never enters the environment
of the tests. Its virtual environment is made once, under `.cache/`.
"""

import fcntl
import signal
import socket
import subprocess
import sys
import time
import venv
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

CACHE = Path(__file__).resolve().parents[2] / ".cache"
CORE_VERSION = "2.3.5"
_STARTS = 3

# The wheel's own launcher starts a grandchild that outlives it; this one becomes the server, so that its pid is known.
_CORE = """
import os, socket, sys
from milvus import MilvusServerConfig, _initialize_data_files

class Config(MilvusServerConfig):
    def try_bind_port(self, port):
        # Its own check calls the port of a server killed a moment ago taken.
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return sock

folder, port, metrics, clients, peers = sys.argv[1:6]
ports = [int(p) for p in sys.argv[6:]]
config = Config(data_dir=folder)
names = [key for key in config.configurable_items if key.endswith("_port") and key != "proxy_port"]
config.update(proxy_port=int(port), **dict(zip(names, ports, strict=False)))
config.resolve()
_initialize_data_files(folder)
# Its etcd listens on 2379 and 2380 otherwise, and a second core on this machine would die of that.
etcd = os.path.join(folder, "configs", "etcd.yaml")
with open(etcd, "w") as file:
    for key, number in (("client", clients), ("peer", peers)):
        file.write(f"listen-{key}-urls: http://127.0.0.1:{number}\\n")
    file.write(f"advertise-client-urls: http://127.0.0.1:{clients}\\n")
    file.write(f"initial-advertise-peer-urls: http://127.0.0.1:{peers}\\n")
    file.write(f"name: default\\ninitial-cluster: default=http://127.0.0.1:{peers}\\n")
program = os.path.join(folder, "bin", "milvus")
os.chdir(folder)
environment = dict(
    os.environ,
    DEPLOY_MODE="STANDALONE",
    METRICS_PORT=metrics,
    ETCD_CONFIG_PATH=etcd,
    MILVUS_RUN_DIR=os.path.join(folder, "run"),
    LD_LIBRARY_PATH=os.path.dirname(program),
)
os.execve(program, [program, "run", "standalone"], environment)
"""


class MilvusProcess(ABC):
    """One server process; the folder and the port outlive its deaths. Use it as a context manager."""

    def __init__(self, folder: Path, *, ready_s: float = 120.0) -> None:
        """Keep the data in `folder`; wait at most `ready_s` for the server to answer."""
        self.folder = folder
        self.port = free_port()
        self._ready_s = ready_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Where pymilvus finds it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    @abstractmethod
    def command(self) -> list[str]:
        """What to run."""

    def start(self) -> None:
        """Start on the same folder and port, and wait until it answers a call.

        Three times if need be: on a busy machine the core's etcd may change its leader while the others register, and
        the one that was refused then never comes up.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_STARTS):
            with (self.folder / "server.log").open("ab") as log:
                self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            if self._came_up(self._ready_s / _STARTS):
                return
            self.kill()
        tail = (self.folder / "server.log").read_bytes()[-2000:].decode(errors="replace")
        raise RuntimeError(f"{type(self).__name__} did not start:\n{tail}")

    def kill(self) -> None:
        """SIGKILL: no chance to flush anything."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after three seconds: the core takes its time, and a test is done with it."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def _came_up(self, within_s: float) -> bool:
        # Asked by a process of its own: pymilvus keeps connections of this one alive for ever.
        asks = (
            "import sys; from pymilvus import MilvusClient; "
            "c = MilvusClient(uri=sys.argv[1], timeout=5); c.list_collections(timeout=5)"
        )
        ends = time.monotonic() + within_s
        while time.monotonic() < ends:
            if self._process is None or self._process.poll() is not None:
                break
            if _listens(self.port) and self._answers(asks):
                return True
            time.sleep(0.2)
        return False

    def _answers(self, asks: str) -> bool:
        asked = subprocess.run(
            [sys.executable, "-c", asks, self.uri], capture_output=True, timeout=self._ready_s, check=False
        )
        return asked.returncode == 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class MilvusLite(MilvusProcess):
    """`milvus-lite server`, as `g3 up` runs it."""

    def command(self) -> list[str]:
        """The installed command, told to listen on this machine alone (it listens on every address by itself)."""
        program = Path(sys.executable).with_name("milvus-lite")
        return [
            *(str(program), "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--data-dir", str(self.folder / "data")),
        ]


class MilvusCore(MilvusProcess):
    """A Milvus core in standalone mode with embedded etcd, as the wheel `milvus` ships it."""

    def __init__(self, folder: Path, *, ready_s: float = 180.0) -> None:
        """Install the core if it is not there yet. Raises RuntimeError when that fails."""
        super().__init__(folder, ready_s=ready_s)
        self._python = core_python()
        self._ports = [free_port() for _ in range(14)]

    def command(self) -> list[str]:
        """Unpack its program once for all folders (it is large), then become it."""
        binaries = CACHE / "milvus-core-bin"
        binaries.mkdir(parents=True, exist_ok=True)
        link = self.folder / "bin"
        if not link.is_symlink():
            link.symlink_to(binaries, target_is_directory=True)
        first, *others = self._ports
        return [str(self._python), "-c", _CORE, str(self.folder), str(self.port), str(first), *map(str, others)]


def core_python() -> Path:
    """The interpreter of the core's virtual environment, made when missing. Raises RuntimeError when pip fails."""
    folder = CACHE / "milvus-venv"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "milvus-venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = folder / "bin" / "python"
        if not list(folder.glob("lib/python*/site-packages/milvus/data")):
            venv.create(folder, with_pip=True, clear=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", f"milvus=={CORE_VERSION}"]
            made = subprocess.run(pip, capture_output=True, text=True, check=False)
            if made.returncode:
                raise RuntimeError(f"cannot install milvus=={CORE_VERSION}: {made.stderr[-1000:]}")
    return python


@contextmanager
def milvus_lite(folder: Path) -> Iterator[str]:
    """Run `milvus-lite server` on `folder`; gives its URI."""
    with MilvusLite(folder) as server:
        yield server.uri


@contextmanager
def milvus_core(folder: Path) -> Iterator[str]:
    """Run a Milvus core on `folder`; gives its URI."""
    with MilvusCore(folder) as server:
        yield server.uri


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
