"""kombu's pgmq transport, made safe for many processes that start, declare and fail at once, and quick under load.

The stock transport drops and creates a queue's NOTIFY trigger at every declaration and every consumer's start. Two
processes that do so together deadlock in PostgreSQL, and one of them loses its message or its start. And a transport
that never reached its database leaves a pool behind that goes on knocking for minutes.

It also waits for a notification when it is not a message that it lacks but room: a worker with its whole prefetch in
hand slept out its poll of a second after the last of them was acknowledged, whatever waited in the queue. Here an
acknowledgement that makes room wakes it. And every call was a transaction of three round trips.
"""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from kombu.transport import pgmq, virtual
from pgmq import PGMQueue
from psycopg_pool import ConnectionPool

# Any constant will do, as long as every process of the house locks the same one.
_LOCK = 0x6733_6265
_HAS_TRIGGER = """
SELECT EXISTS (
    SELECT 1 FROM pg_trigger
    WHERE tgname = 'trigger_notify_queue_insert_listeners' AND tgrelid = to_regclass(%s)
)
"""


class NotifyWaiter(pgmq._NotifyWaiter):  # type: ignore[misc]
    """Waits for notifications, or for another thread of this process that calls `wake`."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self._inlet, self._outlet = socket.socketpair()
        self._inlet.setblocking(False)
        self._outlet.setblocking(False)

    def wake(self) -> None:
        """Ends the wait of now, or the next one."""
        # A full pipe wakes as well as one more byte; a closed one has nobody to wake.
        with suppress(OSError):
            self._inlet.send(b"!")

    def wait(self, timeout: float | None) -> bool:
        """Whether anything was heard within `timeout` seconds; what is heard after that is for the next call."""
        with self._lock:
            if self._closed or not self._channels:
                return False
            self._ensure_conn()
            connection = self._conn
        try:
            return self._heard(connection) or self._heard_later(connection, timeout)
        except (OSError, psycopg.Error):
            self._drop_conn(connection)
            return False

    def close(self) -> None:
        """Closes connection and pipe."""
        super().close()
        self._inlet.close()
        self._outlet.close()

    def _heard_later(self, connection: Any, timeout: float | None) -> bool:
        poll = select.poll()
        for readable in (connection, self._outlet):
            poll.register(readable, select.POLLIN)
        poll.poll(None if timeout is None else timeout * 1000)
        with suppress(BlockingIOError):
            return bool(self._outlet.recv(4096))
        return self._heard(connection)

    def _heard(self, connection: Any) -> bool:
        # All of them at once: each says nothing but "look".
        return bool(list(connection.notifies(timeout=0)))


class Channel(pgmq.Channel):  # type: ignore[misc]
    """Creates a queue and its trigger only where they are missing, one process at a time."""

    _full = False

    def drain_events(self, timeout: float | None = None, callback: Any = None, **kwargs: Any) -> None:
        """Delivers what there is, as far as the prefetch allows. Raises Empty."""
        # Said before looking: the acknowledgement that comes after the look sees it, and wakes.
        self._full = True
        if self.qos.can_consume():
            self._full = False
        super().drain_events(timeout, callback, **kwargs)

    def basic_ack(self, delivery_tag: Any, multiple: bool = False) -> None:
        """Deletes the message and makes room for the next."""
        super().basic_ack(delivery_tag, multiple)
        self._made_room()

    def basic_reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Gives the message back or deletes it, and makes room for the next."""
        super().basic_reject(delivery_tag, requeue)
        self._made_room()

    def _made_room(self) -> None:
        if self._full:
            self._full = False
            self.connection._get_notify_waiter().wake()

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
    _notify_waiter: NotifyWaiter | None = None

    def _get_notify_waiter(self) -> NotifyWaiter:
        if self._notify_waiter is None:
            self._notify_waiter = NotifyWaiter(self._get_pgmq_client().config.dsn)
        return self._notify_waiter

    def _create_pgmq_client(self) -> PGMQueue:
        options = self.client.transport_options
        pool = ConnectionPool(
            options["conn_string"],
            min_size=1,
            max_size=Channel.default_pool_size,
            timeout=options["pool_timeout"],
            # Every call of pgmq is one statement: without this each would be a transaction of three round trips.
            kwargs={"autocommit": True},
            open=True,
        )
        client = PGMQueue(
            conn_string=options["conn_string"], vt=options["visibility_timeout"], init_extension=False, pool=pool
        )
        # Closed with the client.
        client._own_pool = True
        return client

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
