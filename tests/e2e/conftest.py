"""One stack for each broker, with an LMM server that answers by a script, and a few rendered references."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from g3_world.dataset import Plan, write_photos

from tests.servers.rabbitmq import rabbitmq
from tests.servers.scripted_lmm import Says, ScriptedLmm
from tests.servers.stack import LocalStack

ANSWERS = ('{"latitude": 45.4642, "longitude": 9.19}', "41.8933 N, 12.4829 E", "I cannot tell.")
REFERENCES = 60


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of rendered references with its photos.csv."""
    folder = tmp_path_factory.mktemp("world")
    write_photos(Plan(count=REFERENCES, seed=1), folder)
    return folder


@pytest.fixture(scope="session", params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.needs("rabbitmq"))])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the stack must be told of its broker."""
    if request.param == "embedded":
        yield {}
        return
    with rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield {"G3_BROKER_URL": url}


@pytest.fixture(scope="session")
def lmm() -> Iterator[ScriptedLmm]:
    """A server that speaks like an LMM's."""
    with ScriptedLmm([Says(*ANSWERS)]) as server:
        yield server


@pytest.fixture(scope="session")
def stack(broker: dict[str, str], lmm: ScriptedLmm, world: Path) -> Iterator[LocalStack]:
    """The stack, up, with the references ingested.

    Not below pytest's own folder, which every new pytest closes to PostgreSQL's user: killed, it could not start again.
    """
    settings = {
        **broker,
        "G3_LMM_URL": lmm.url,
        "G3_LMM_MODEL": "scripted",
        # A dead worker's stage is taken over after this; the default of 30 s would make nine kills a long test.
        "G3_LEASE_S": "3",
        "G3_RING_AGAIN_S": "3",
    }
    with (
        tempfile.TemporaryDirectory(prefix="g3-stack-") as folder,
        LocalStack(Path(folder), settings) as running,
    ):
        ingested = running.command("ingest", str(world), "--csv", str(world / "photos.csv"))
        assert ingested.returncode == 0, ingested.stderr
        yield running
