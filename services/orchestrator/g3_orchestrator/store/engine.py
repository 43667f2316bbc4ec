"""The pooled connection to PostgreSQL, and what becomes of its errors."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import psycopg
from g3_kit import logs
from g3_kit.errors import Exhausted, G3Error, Unavailable
from psycopg.rows import dict_row
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from g3_orchestrator.repeating import Lost

# Serialization failure, deadlock, and a server that is shutting down or starting.
_PASSING = frozenset({"40001", "40P01", "57P01", "57P02", "57P03"})
# A connection that was used a moment ago is there.
_RESTED_S = 5.0
Notes = Sequence[tuple[str, str]]
"""(channel, payload) of notifications."""
_log = logs.get("g3_orchestrator.store")


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
            connect_args={
                "connect_timeout": 5,
                "application_name": "g3_orchestrator",
                # A relay holds rows while it publishes; nothing else idles inside a transaction.
                "options": f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout=60000",
            },
        )
        event.listen(self._engine, "checkin", _rested)
        event.listen(self._engine, "checkout", _woken)
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextlib.contextmanager
    def transaction(self, notes: Notes = ()) -> Iterator[Connection]:
        """A transaction that commits at the end; then sends `notes`, as they are by then.

        Raises Lost, Exhausted, Unavailable for the driver's errors.
        """
        with translated(), self._engine.connect() as connection:
            with connection.begin():
                yield connection
            _notify(connection, notes)

    @contextlib.contextmanager
    def statement(self, notes: Notes = ()) -> Iterator[Connection]:
        """For single statements: each is a transaction of its own, without the round trips of BEGIN and COMMIT."""
        with translated(), self._autocommit.connect() as connection:
            yield connection
            _notify(connection, notes)

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()


def direct(connection: Connection, statement: str, values: Mapping[str, object]) -> psycopg.Cursor[dict[str, Any]]:
    """Executes inside the connection's transaction by the driver itself, parameters as `%(name)s`; rows are dicts.

    For the statements that every job needs many times: SQLAlchemy's own share of a statement is several times the
    driver's. Raises psycopg's errors, which `translated` knows.
    """
    driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    return driver.cursor(row_factory=dict_row).execute(statement.encode(), values)


_NOTIFY = """
    SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS note (channel, payload)"""


def _notify(connection: Connection, notes: Notes) -> None:
    """Sends notifications after the commit that they tell of.

    Inside it they would be costly: PostgreSQL commits notifying transactions one at a time, each waiting for the disk.
    A listener that misses one finds the rows at its next look.
    """
    if not notes:
        return
    channels, payloads = zip(*dict.fromkeys(notes), strict=True)
    driver = cast("psycopg.Connection", connection.connection.driver_connection)
    before = driver.autocommit
    try:
        driver.autocommit = True
        driver.execute(_NOTIFY, [list(channels), list(payloads)])
        driver.autocommit = before
    except psycopg.OperationalError as error:
        connection.invalidate()
        _log.warning("a notification was not sent", error=type(error).__name__)


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
