"""How Alembic finds database and tables: both are handed over by `migrate`."""

from alembic import context

from g3_orchestrator.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
