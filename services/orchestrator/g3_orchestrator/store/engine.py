"""The pooled connection to PostgreSQL, and what becomes of its errors."""

import contextlib
from collections.abc import Iterator, Sequence

import psycopg
from g3_kit import logs
from g3_kit.errors import Exhausted, G3Error, Unavailable
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from g3_orchestrator.repeating import Lost

# Serialization failure, deadlock, and a server that is shutting down or starting.
_PASSING = frozenset({"40001", "40P01", "57P01", "57P02", "57P03"})
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
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args={
                "connect_timeout": 5,
                "application_name": "g3_orchestrator",
                # A relay holds rows while it publishes; nothing else idles inside a transaction.
                "options": f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout=60000",
            },
        )
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that commits at the end. Raises Lost, Exhausted, Unavailable for the driver's errors."""
        with translated(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def statement(self) -> Iterator[Connection]:
        """For single statements: each is a transaction of its own, without the round trips of BEGIN and COMMIT."""
        with translated(), self._autocommit.connect() as connection:
            yield connection

    def notify(self, notes: Sequence[tuple[str, str]]) -> None:
        """Sends (channel, payload) notifications.

        Outside the transaction that they tell of, because PostgreSQL commits notifying transactions one at a time
        while each waits for the disk. A listener that misses one finds the rows at its next look.
        """
        if not notes:
            return
        channels, payloads = zip(*dict.fromkeys(notes), strict=True)
        try:
            with self.statement() as connection:
                connection.execute(_NOTIFY, {"channels": list(channels), "payloads": list(payloads)})
        except Unavailable as error:
            _log.warning("a notification was not sent", reason=error.message)

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()


_NOTIFY = text(
    "SELECT pg_notify(channel, payload)"
    " FROM unnest(CAST(:channels AS text[]), CAST(:payloads AS text[])) AS note (channel, payload)"
)


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
    except psycopg.OperationalError as error:
        raise Lost("the database does not answer") from error
