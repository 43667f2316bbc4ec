"""A real RabbitMQ on a free port, in a folder of its own, stopped by its process id."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 90


def installed() -> bool:
    """Whether this machine has RabbitMQ and may start it (its launcher wants root)."""
    return shutil.which("rabbitmq-server") is not None and os.geteuid() == 0


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    """Start a broker that keeps its data below `folder`; yields its amqp:// URL. Raises RuntimeError if it won't."""
    folder.mkdir(parents=True, exist_ok=True)
    port, distribution_port = free_port(), free_port()
    node = f"g3test{port}@localhost"
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users = none\nlog.console = true\n"
        # Above the longest task: a consumer that holds a message longer is cut off.
        "consumer_timeout = 3600000\n"
    )
    (folder / "enabled_plugins").write_text("[].\n")
    (folder / "home").mkdir(exist_ok=True)
    environment = os.environ | {
        "HOME": str(folder / "home"),
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        # Two cores: the schedulers of the virtual machine must not spin on them.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
    }
    # Debian's wrapper changes to the user rabbitmq, who cannot read the folder: start the real script.
    script = next(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    log = (folder / "server.log").open("wb")
    server = subprocess.Popen([str(script)], env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(server, port, folder / "server.log")
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        _stop(server)
        log.close()


def _wait(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended at start:\n{log.read_text()[-2000:]}")
        if b"Server startup complete" in log.read_bytes():
            with socket.create_connection(("127.0.0.1", port), timeout=5):
                return
        time.sleep(0.2)
    raise RuntimeError(f"RabbitMQ was not up after {START_S} s:\n{log.read_text()[-2000:]}")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    # The launcher leads a session of its own, so its group is the broker and nothing else.
    if server.poll() is None:
        os.killpg(server.pid, 15)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait(10)
