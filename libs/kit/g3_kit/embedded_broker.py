"""kombu's pgmq transport, made safe for many processes that start, declare and fail at once.

The stock transport drops and creates a queue's NOTIFY trigger at every declaration and every consumer's start. Two
processes that do so together deadlock in PostgreSQL, and one of them loses its message or its start. And a transport
that never reached its database leaves a pool behind that goes on knocking for minutes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from kombu.transport import pgmq, virtual

# Any constant will do, as long as every process of the house locks the same one.
_LOCK = 0x6733_6265
_HAS_TRIGGER = """
SELECT EXISTS (
    SELECT 1 FROM pg_trigger
    WHERE tgname = 'trigger_notify_queue_insert_listeners' AND tgrelid = to_regclass(%s)
)
"""


class Channel(pgmq.Channel):  # type: ignore[misc]
    """Creates a queue and its trigger only where they are missing, one process at a time."""

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        if not self._notifies(self._queue_name(queue)):
            with self._alone():
                super()._new_queue(queue, **kwargs)
        self.connection._register_notify_queue(self._queue_name(queue))

    def _maybe_enable_notify(self, queue: str, queue_name: str | None = None) -> None:
        name = queue_name or self._queue_name(queue)
        # Asked again under the lock: another process may have been faster.
        if not self._notifies(name):
            super()._maybe_enable_notify(queue, queue_name=name)
        self.connection._register_notify_queue(name)

    def _notifies(self, name: str) -> bool:
        with self.pgmq.pool.connection() as connection:
            row = connection.execute(_HAS_TRIGGER, (f"pgmq.q_{name}",)).fetchone()
            return bool(row and row[0])

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        with self.pgmq.pool.connection() as connection:
            row = connection.execute("SELECT to_regclass(%s)", (f"pgmq.q_{self._queue_name(queue)}",)).fetchone()
            return bool(row and row[0])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # The lock has a connection of its own: what it guards runs on others of the pool.
        with self.pgmq.pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            yield


class Transport(pgmq.Transport):  # type: ignore[misc]
    """The pgmq transport over `Channel`."""

    Channel = Channel
    _pgmq_client: Any = None

    def establish_connection(self) -> Any:
        """Connect. Raises psycopg.OperationalError, and leaves nothing running behind it."""
        try:
            # The stock transport asks for the list of queues here, which warns, and hides that by catch_warnings, which
            # is not safe among threads. One statement shows as well that the database answers.
            with self._get_pgmq_client().pool.connection() as connection:
                connection.execute("SELECT 1")
            return virtual.Transport.establish_connection(self)
        except psycopg.Error:
            client, self._pgmq_client = self._pgmq_client, None
            if client is not None:
                client.pool.close()
            raise
