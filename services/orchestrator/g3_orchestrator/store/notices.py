"""NOTIFY on a connection of its own, after the commit and not in anybody's way.

Inside the transaction it would be costly: PostgreSQL commits notifying transactions one at a time, each waiting for the
disk. After it, on the caller's connection, it would cost a round trip a transaction; here whatever comes while one
round trip is under way goes with the next.
"""

import threading

import psycopg
from g3_kit import logs

Note = tuple[str, str]
"""(channel, payload)."""
_SEND = "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS note (channel, payload)"
_log = logs.get("g3_orchestrator.store")


class Notices:
    """Sends notifications in order, each note once a batch. A hint and not a promise. Thread-safe."""

    def __init__(self, database_url: str) -> None:
        """`database_url` as libpq takes it. Connects at the first note."""
        self._url = database_url
        self._waiting: dict[Note, None] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._connection: psycopg.Connection | None = None

    def send(self, *notes: Note) -> None:
        """Returns at once."""
        with self._changed:
            if self._closed:
                return
            self._waiting.update(dict.fromkeys(notes))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Sends what waits and closes the connection."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        while batch := self._next():
            # A connection that has died meanwhile shows only now: the second try has a new one.
            if not self._sent(batch) and not self._sent(batch):
                _log.warning("notifications were not sent; their listeners look by themselves", count=len(batch))
        self._drop()

    def _next(self) -> list[Note]:
        """What waits, once anything does; nothing when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            batch, self._waiting = list(self._waiting), {}
            return batch

    def _sent(self, batch: list[Note]) -> bool:
        channels, payloads = zip(*batch, strict=True)
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._url, autocommit=True, connect_timeout=5, application_name="g3_orchestrator"
                )
            self._connection.execute(_SEND, [list(channels), list(payloads)])
        except psycopg.OperationalError:
            self._drop()
            return False
        return True

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
