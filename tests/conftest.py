"""Fixtures that several rungs share: real servers, started once a session."""

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests import each other's servers as tests.servers.…, whatever way pytest was started.
sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.provision import NEEDS, lacking, without
from tests.servers.milvus import milvus_core, milvus_lite
from tests.servers.postgres import fresh_database, postgres
from tests.servers.rabbitmq import rabbitmq
from tests.servers.tiny_llava import write
from tests.servers.vllm import Vllm


def pytest_configure() -> None:
    """Ctrl-C reaches the programs under test, however pytest was started.

    A shell starts what it puts into its background with SIGINT ignored, and every child inherits that: the tests of a
    clean end by Ctrl-C would wait for one that never comes.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test whose server is missing fails; only G3_WITHOUT makes it a skip."""
    for mark in item.iter_markers("needs"):
        name = str(mark.args[0])
        if name not in NEEDS:
            pytest.fail(f"needs({name!r}): there are {', '.join(NEEDS)}", pytrace=False)
        if name in without():
            pytest.skip(f"G3_WITHOUT names {name}")
        if problem := lacking(name):
            pytest.fail(problem, pytrace=False)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL server.

    Not below pytest's own folder: as root the server runs as another user, and every new pytest closes that folder to
    others, which would take the data away from under a running server.
    """
    with tempfile.TemporaryDirectory(prefix="g3-postgres-") as folder, postgres(Path(folder)) as url:
        yield url


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A migrated, empty database of its own."""
    with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real RabbitMQ broker; mark the test `needs("rabbitmq")`."""
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield url


@pytest.fixture(scope="session")
def milvus_lite_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded Milvus of `g3 up`; tests share it, so they name their collections apart."""
    with milvus_lite(tmp_path_factory.mktemp("milvus-lite")) as uri:
        yield uri


@pytest.fixture(scope="session")
def milvus_core_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Milvus core, shared as well; mark the test `needs("milvus-core")`."""
    with milvus_core(tmp_path_factory.mktemp("milvus-core")) as uri:
        yield uri


@pytest.fixture(scope="session")
def shared_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """Use `vllm_server`."""
    folder = tmp_path_factory.mktemp("vllm")
    with Vllm(folder, write(folder / "model")) as server:
        yield server


@pytest.fixture
def vllm_server(shared_vllm: Vllm) -> Vllm:
    """A real vLLM with a tiny LLaVA of random weights, shared; mark the test `needs("vllm")`.

    Up, whatever the test before did to it. Its log stays in pytest's folder.
    """
    if not shared_vllm.running:
        shared_vllm.stop()
        shared_vllm.start()
    return shared_vllm
