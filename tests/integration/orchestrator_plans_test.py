"""The statements every job needs go by key, also on a new database that has no statistics yet."""

import re
from typing import Any

import psycopg
import pytest
from g3_orchestrator.store import course, engine, outbox, stages

pytestmark = pytest.mark.needs("postgres")

STATEMENTS = {
    "claim": course._CLAIM,
    "first claim": course._CLAIM_FIRST,
    "retrieved": course._RETRIEVED,
    "generated": course._GENERATED,
    "verified": course._VERIFIED,
    "sent": outbox._SENT,
    "lock": stages._LOCK,
}


def numbered(statement: str) -> str:
    """Named parameters as PostgreSQL's own, for a plan that knows no values."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    return re.sub(r"%\((\w+)\)s", number, statement)


def scans(node: dict[str, Any]) -> list[dict[str, Any]]:
    found = [node] if node.get("Relation Name") in ("jobs", "stages") and "Scan" in node["Node Type"] else []
    return found + [scan for child in node.get("Plans", []) for scan in scans(child)]


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
@pytest.mark.parametrize("rows", [0, 200])
def test_no_statement_walks_through_the_stages_of_other_jobs(database_url: str, statement: str, rows: int) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for setting in engine._SETTINGS:
            name, value = setting.split("=")
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        if rows:
            fill(connection, rows)
        explained = connection.execute(f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {numbered(statement)}".encode())
        row = explained.fetchone()
        assert row is not None
        looked = scans(row[0][0]["Plan"])
    assert looked
    assert all("job_id" in scan.get("Index Cond", "") for scan in looked), looked


def fill(connection: psycopg.Connection[Any], rows: int) -> None:
    """Open stages of many jobs, counted by ANALYZE."""
    connection.execute("INSERT INTO tenants (tenant_id, name) VALUES (gen_random_uuid(), 't')")
    connection.execute(
        "INSERT INTO jobs (job_id, tenant_id, state, parameters, photo_sha256, photo_width, photo_height, photo_bytes,"
        " request_hash, last_event)"
        " SELECT gen_random_uuid(), tenant_id, 'queued', '{}', '', 1, 1, 1, '', 1 FROM tenants, generate_series(1, %s)",
        (rows,),
    )
    connection.execute(
        "INSERT INTO stages (job_id, tenant_id, name, state, wake_at)"
        " SELECT job_id, tenant_id, 'retrieve', 'pending', now() FROM jobs"
    )
    connection.execute("ANALYZE")
