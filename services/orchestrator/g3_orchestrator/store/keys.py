# ruff: noqa: S608 - statements are put together from constants of this file
"""Tenants and keys in PostgreSQL."""

from uuid import UUID

from g3_kit.errors import Conflict, Missing, Rejected
from sqlalchemy import text

from g3_orchestrator.model import ApiKey, Tenant
from g3_orchestrator.repeating import again
from g3_orchestrator.store.engine import Database
from g3_orchestrator.store.jobs import uuid7

_COLUMNS = "key_id, tenant_id, prefix, key_hash, label, created_at, revoked_at"
_FIND = text(f"SELECT {_COLUMNS} FROM api_keys WHERE key_hash = :hash AND revoked_at IS NULL")
_TENANT = text("""
    WITH made AS (
        INSERT INTO tenants (tenant_id, name) VALUES (:tenant, :name) ON CONFLICT (name) DO NOTHING RETURNING *
    )
    SELECT tenant_id, name, created_at FROM made
    UNION ALL
    SELECT tenant_id, name, created_at FROM tenants WHERE name = :name
    LIMIT 1""")
_CREATE = text(f"""
    INSERT INTO api_keys (key_id, tenant_id, prefix, key_hash, label)
    SELECT :key, tenant_id, :prefix, :hash, :label FROM tenants WHERE tenant_id = :tenant
    ON CONFLICT (key_hash) DO NOTHING
    RETURNING {_COLUMNS}""")
_HAS_TENANT = text("SELECT 1 FROM tenants WHERE tenant_id = :tenant")


class PostgresKeys:
    """The role KeyStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_key(self, key_hash: bytes) -> ApiKey | None:
        """See KeyStore.find_key."""

        def read() -> ApiKey | None:
            with self._database.statement() as connection:
                row = connection.execute(_FIND, {"hash": key_hash}).one_or_none()
            return None if row is None else ApiKey(*row)

        return again(read)

    def create_tenant(self, name: str) -> Tenant:
        """See KeyStore.create_tenant."""
        if not 1 <= len(name) <= 100:
            raise Rejected("a tenant's name has 1 to 100 characters", field="tenant")
        tenant_id = uuid7()

        def make() -> Tenant:
            with self._database.statement() as connection:
                values = {"tenant": tenant_id, "name": name}
                # A second look: the tenant may have been made by another since the statement began.
                row = connection.execute(_TENANT, values).first() or connection.execute(_TENANT, values).one()
            return Tenant(*row)

        return again(make)

    def create_key(self, tenant_id: UUID, *, key_hash: bytes, prefix: str, label: str = "") -> ApiKey:
        """See KeyStore.create_key."""
        values = {"key": uuid7(), "tenant": tenant_id, "hash": key_hash, "prefix": prefix, "label": label}
        with self._database.statement() as connection:
            row = connection.execute(_CREATE, values).one_or_none()
            if row is not None:
                return ApiKey(*row)
            if connection.execute(_HAS_TENANT, values).one_or_none() is None:
                raise Missing("no such tenant", field="tenant")
        raise Conflict("this key exists already")
