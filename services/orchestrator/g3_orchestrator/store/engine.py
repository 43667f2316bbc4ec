"""The pooled connection to PostgreSQL, and what becomes of its errors."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import psycopg
from g3_kit.errors import Exhausted, G3Error, Unavailable
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from g3_orchestrator.repeating import Lost
from g3_orchestrator.store.notices import Note, Notices

# Serialization failure, deadlock, and a server that is shutting down or starting.
_PASSING = frozenset({"40001", "40P01", "57P01", "57P02", "57P03"})
# A connection that was used a moment ago is there.
_RESTED_S = 5.0
_SETTINGS = (
    # A relay holds rows while it publishes; nothing else idles inside a transaction.
    "idle_in_transaction_session_timeout=60000",
    # Every statement here asks by key for few rows. Without fresh statistics (a new database, a sudden backlog) the
    # planner thinks otherwise, and then walks through every open stage to mark twenty of them.
    "enable_seqscan=off",
    "enable_hashjoin=off",
    "enable_mergejoin=off",
)


def driver_url(database_url: str) -> str:
    """The URL with psycopg as its driver, as SQLAlchemy wants it."""
    for scheme in ("postgresql://", "postgres://"):
        if database_url.startswith(scheme):
            return "postgresql+psycopg://" + database_url.removeprefix(scheme)
    return database_url


def libpq_url(database_url: str) -> str:
    """The URL without a driver, as psycopg wants it."""
    return database_url.replace("postgresql+psycopg://", "postgresql://", 1)


class Database:
    """A bounded pool. Thread-safe."""

    def __init__(self, database_url: str, *, pool_size: int = 8, statement_timeout_s: float = 10.0) -> None:
        """Connects at first use. `pool_size` connections at most; a statement may take `statement_timeout_s`."""
        milliseconds = int(statement_timeout_s * 1000)
        self._engine: Engine = create_engine(
            driver_url(database_url),
            pool_size=pool_size,
            max_overflow=0,
            # Longer waits only hide that the pool is too small.
            pool_timeout=5.0,
            pool_recycle=1800,
            # Most work is one statement; what needs a transaction says so, and leaves nothing open.
            isolation_level="AUTOCOMMIT",
            pool_reset_on_return=None,
            connect_args={
                "connect_timeout": 5,
                "application_name": "g3_orchestrator",
                "options": " ".join(f"-c {setting}" for setting in (f"statement_timeout={milliseconds}", *_SETTINGS)),
            },
        )
        event.listen(self._engine, "checkin", _rested)
        event.listen(self._engine, "checkout", _woken)
        self._notices = Notices(libpq_url(database_url))

    @contextlib.contextmanager
    def transaction(self, notes: Sequence[Note] = ()) -> Iterator[Connection]:
        """A transaction that commits at the end; then sends `notes`, as they are by then.

        Raises Lost, Exhausted, Unavailable for the driver's errors.
        """
        with translated(), self._borrowed() as connection, _driver(connection).transaction():
            yield connection
        self.notify(notes)

    @contextlib.contextmanager
    def statement(self, notes: Sequence[Note] = ()) -> Iterator[Connection]:
        """For single statements: each is a transaction of its own, without the round trips of BEGIN and COMMIT."""
        with translated(), self._borrowed() as connection:
            yield connection
        self.notify(notes)

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            driver = _driver(connection)
            try:
                yield connection
            finally:
                # What the driver did by itself the pool has not seen: a dead connection must not go back to it.
                if driver.info.transaction_status is not TransactionStatus.IDLE and not connection.invalidated:
                    connection.invalidate()

    def single(self, statement: str, values: Mapping[str, object]) -> dict[str, Any] | None:
        """One statement by the driver itself, a transaction of its own; its first row, or None.

        Raises Lost, Exhausted, Unavailable for the driver's errors.
        """
        with translated():
            pooled = self._engine.raw_connection()
            try:
                driver = cast("psycopg.Connection[Any]", pooled.driver_connection)
                row = driver.cursor(row_factory=dict_row).execute(statement.encode(), values).fetchone()
            except BaseException as error:
                pooled.invalidate(error)
                raise
            pooled.close()
            return row

    def notify(self, notes: Sequence[Note]) -> None:
        """Sends notifications of what has been committed. A listener that misses one finds the rows at its next look.

        Returns at once.
        """
        if notes:
            self._notices.send(*notes)

    def close(self) -> None:
        """Closes the connections."""
        self._notices.close()
        self._engine.dispose()


def direct(connection: Connection, statement: str, values: Mapping[str, object]) -> psycopg.Cursor[dict[str, Any]]:
    """Executes inside the connection's transaction by the driver itself, parameters as `%(name)s`; rows are dicts.

    For the statements that every job needs many times: SQLAlchemy's own share of a statement is several times the
    driver's. Raises psycopg's errors, which `translated` knows.
    """
    return _driver(connection).cursor(row_factory=dict_row).execute(statement.encode(), values)


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def _rested(_: object, record: Any) -> None:
    record.info["rested_at"] = time.monotonic()


def _woken(connection: Any, record: Any, _: object) -> None:
    """Asks a connection that has rested whether it lives. A busy one needs no asking: its loss is repeated."""
    if time.monotonic() - record.info.get("rested_at", math.inf) < _RESTED_S:
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except psycopg.OperationalError as error:
        raise DisconnectionError from error


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raises errors of the tree for those of the driver that pass by themselves; others are faults and stay."""
    try:
        yield
    except G3Error:
        raise
    except PoolTimeout as error:
        raise Exhausted("all database connections are in use", retry_after_s=1.0) from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _PASSING or error.connection_invalidated:
            raise Lost("the database connection was lost or had to give way") from error
        if isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise Unavailable("the database took too long") from error
        if isinstance(error, OperationalError | InterfaceError):
            raise Lost("the database does not answer") from error
        raise
    except psycopg.errors.QueryCanceled as error:
        raise Unavailable("the database took too long") from error
    except psycopg.OperationalError as error:
        raise Lost("the database does not answer, or the transaction had to give way") from error
