"""The store as one thing: every role of `store.port` over one pool."""

from typing import Self

from g3_orchestrator.store.course import PostgresCourse
from g3_orchestrator.store.engine import Database
from g3_orchestrator.store.ingests import PostgresIngests
from g3_orchestrator.store.jobs import PostgresJobs
from g3_orchestrator.store.keys import PostgresKeys
from g3_orchestrator.store.listening import PostgresChanges
from g3_orchestrator.store.outbox import PostgresOutbox
from g3_orchestrator.store.stages import PostgresStages


class PostgresStore(
    PostgresJobs, PostgresKeys, PostgresIngests, PostgresStages, PostgresCourse, PostgresOutbox, PostgresChanges
):
    """Every role of the store. Thread-safe; close it, or use it as a context."""

    def __init__(self, database_url: str, *, pool_size: int = 8, statement_timeout_s: float = 10.0) -> None:
        """Connects at first use, to a migrated database. Takes postgresql:// with or without a driver's name."""
        self._database = Database(database_url, pool_size=pool_size, statement_timeout_s=statement_timeout_s)
        PostgresChanges.__init__(self, database_url)

    def close(self) -> None:
        """Closes the connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
