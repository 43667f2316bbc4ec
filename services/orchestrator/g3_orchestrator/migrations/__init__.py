"""The schema, revision by revision. Each revision states the locks it takes."""

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from g3_orchestrator.store.engine import driver_url

# Any constant that nobody else takes: "g3 orc".
_LOCK = 0x6733206F7263


def migrate(database_url: str, revision: str = "head") -> None:
    """Brings the database to `revision`. Several at once wait for each other on an advisory lock."""
    engine = create_engine(driver_url(database_url))
    config = Config()
    config.set_main_option("script_location", "g3_orchestrator:migrations")
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            connection.commit()
            try:
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
                connection.commit()
            finally:
                connection.rollback()
                connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _LOCK})
                connection.commit()
    finally:
        engine.dispose()
