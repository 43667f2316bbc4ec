"""LISTEN on a connection of its own."""

from collections.abc import Callable, Sequence
from threading import Event as Flag

import psycopg
from g3_kit import logs
from psycopg import sql

from g3_orchestrator.store.engine import libpq_url

_log = logs.get("g3_orchestrator.store")


class PostgresChanges:
    """The role Changes."""

    def __init__(self, database_url: str) -> None:
        self._url = libpq_url(database_url)

    def listen(self, channel: str, stop: Flag, heard: Callable[[Sequence[str]], None], every_s: float = 1.0) -> None:
        """See Changes.listen."""
        wait_s = 0.1
        while not stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True, connect_timeout=5) as connection:
                    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    heard([])
                    wait_s = 0.1
                    _hear(connection, stop, heard, every_s)
            except psycopg.OperationalError as error:
                _log.warning("listening was interrupted", channel=channel, error=type(error).__name__)
                stop.wait(wait_s)
                wait_s = min(wait_s * 2, 5.0)


def _hear(connection: psycopg.Connection, stop: Flag, heard: Callable[[Sequence[str]], None], every_s: float) -> None:
    while not stop.is_set():
        # One notification is enough to wake; whatever came with it is taken along.
        heard([note.payload for note in connection.notifies(timeout=every_s, stop_after=1)])
