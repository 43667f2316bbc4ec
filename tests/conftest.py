"""Fixtures that several rungs share: real servers, started once a session."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests import each other's servers as tests.servers.…, whatever way pytest was started.
sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.servers.postgres import fresh_database, postgres


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server."""
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A migrated, empty database of its own."""
    with fresh_database(postgres_url) as url:
        yield url
