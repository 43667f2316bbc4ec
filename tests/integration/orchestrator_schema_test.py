"""The schema: what migrations make is what the tables say, and impossible rows are refused."""

import threading
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from g3_orchestrator.migrations import migrate
from g3_orchestrator.store.engine import driver_url
from g3_orchestrator.store.tables import metadata
from sqlalchemy import create_engine

from tests.servers.postgres import fresh_database

pytestmark = pytest.mark.needs("postgres")

JOB = """
    INSERT INTO jobs (job_id, tenant_id, state, parameters, photo_sha256, photo_width, photo_height, photo_bytes,
                      request_hash, last_event)
    VALUES (%s, %s, 'queued', '{}', 'f', 1, 1, 1, '', 1)"""


def test_migrations_make_the_tables(database_url: str) -> None:
    engine = create_engine(driver_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_check_constraints_are_the_same_too(database_url: str) -> None:
    declared = {
        constraint.name for table in metadata.tables.values() for constraint in table.constraints if constraint.name
    }
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'"
        ).fetchall()
    assert {row[0] for row in rows} - {"alembic_version_pkc"} == declared


def test_every_table_has_a_tenant() -> None:
    assert [name for name, table in metadata.tables.items() if "tenant_id" not in table.c] == []


def test_several_migrations_at_once_wait_for_each_other(postgres_url: str) -> None:
    with fresh_database(postgres_url, "template0") as url:
        failures: list[BaseException] = []

        def run() -> None:
            try:
                migrate(url)
            except Exception as error:  # noqa: BLE001 - collected for the assertion below
                failures.append(error)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


@pytest.mark.parametrize(
    "impossible",
    [
        "UPDATE jobs SET state = 'succeeded'",
        "UPDATE jobs SET state = 'failed'",
        "UPDATE jobs SET state = 'lost'",
        "UPDATE jobs SET state = 'generating'",
        "UPDATE jobs SET state = 'verifying'",
        "UPDATE jobs SET failure_code = 'x', failure_message = 'y'",
        "UPDATE jobs SET release_model = 'm'",
        "UPDATE jobs SET last_event = 0",
        "UPDATE jobs SET result_of = job_id",
        "UPDATE stages SET state = 'leased'",
        "UPDATE stages SET state = 'done', ended_at = now(), wake_at = NULL",
        "UPDATE stages SET state = 'dead'",
        "UPDATE stages SET wake_at = NULL",
        "UPDATE stages SET attempt = 0",
        "UPDATE stages SET lease_until = now()",
        "UPDATE stages SET name = 'dance'",
        "UPDATE stages SET tenant_id = gen_random_uuid()",
        (
            "INSERT INTO stages (job_id, tenant_id, name, state, wake_at)"
            " SELECT job_id, tenant_id, 'verify', 'pending', now() FROM jobs"
        ),
        (
            "INSERT INTO results (job_id, tenant_id, latitude, longitude, similarity, place, candidates, dropped)"
            " SELECT job_id, tenant_id, 91, 0, 1, '{}', '[1]', '[]' FROM jobs"
        ),
        (
            "INSERT INTO results (job_id, tenant_id, latitude, longitude, similarity, place, candidates, dropped)"
            " SELECT job_id, tenant_id, 'NaN', 0, 1, '{}', '[1]', '[]' FROM jobs"
        ),
        (
            "INSERT INTO results (job_id, tenant_id, latitude, longitude, similarity, place, candidates, dropped)"
            " SELECT job_id, tenant_id, 0, 180, 1, '{}', '[1]', '[]' FROM jobs"
        ),
        (
            "INSERT INTO results (job_id, tenant_id, latitude, longitude, similarity, place, candidates, dropped)"
            " SELECT job_id, tenant_id, 0, 0, 1, '{}', '[]', '[]' FROM jobs"
        ),
        (
            "INSERT INTO results (job_id, tenant_id, latitude, longitude, similarity, place, candidates, dropped)"
            " SELECT job_id, tenant_id, 0, 0, 1, '{}', '[1]', '[]' FROM jobs, generate_series(1, 2)"
        ),
        (
            "INSERT INTO answers (job_id, tenant_id, prompt, sample, text, model, prompt_tokens, answer_tokens)"
            " SELECT job_id, gen_random_uuid(), 0, 0, '', '', 0, 0 FROM jobs"
        ),
        "INSERT INTO events (job_id, tenant_id, event_id, state) SELECT job_id, tenant_id, 0, 'queued' FROM jobs",
    ],
)
def test_impossible_rows_are_refused(database_url: str, impossible: str) -> None:
    job_id, tenant_id = uuid4(), uuid4()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO tenants (tenant_id, name) VALUES (%s, 'a')", [tenant_id])
        connection.execute(JOB, [job_id, tenant_id])
        connection.execute(
            "INSERT INTO stages (job_id, tenant_id, name, state, wake_at)"
            " VALUES (%s, %s, 'retrieve', 'pending', now())",
            [job_id, tenant_id],
        )
        with pytest.raises(psycopg.errors.IntegrityError):
            connection.execute(impossible.encode())
