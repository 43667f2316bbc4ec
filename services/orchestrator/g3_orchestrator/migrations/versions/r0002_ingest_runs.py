"""Jobs have a kind, stages a shard; ingest runs with their plan, progress and rejects.

Locks: ACCESS EXCLUSIVE on jobs, stages, outbox and events until the migration commits. The new columns have constant
defaults and rewrite nothing, but every changed CHECK reads its table once and the new primary key and index of stages
are built: about two seconds for a million jobs. Meanwhile submissions wait, and the sweeper, relay and workers come
back to what they could not do; stop the relay first if stages are many millions.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

_JOB_STATES = """'queued', 'retrieving', 'generating', 'verifying', 'planning', 'filling', 'publishing', 'succeeded',
            'failed', 'cancelled'"""
_STAGES = "'retrieve', 'generate', 'verify', 'plan', 'fill', 'publish'"

STATEMENTS = [
    f"""
    ALTER TABLE jobs
        ADD COLUMN kind TEXT DEFAULT 'locate' NOT NULL,
        ALTER COLUMN photo_sha256 DROP NOT NULL,
        ALTER COLUMN photo_width DROP NOT NULL,
        ALTER COLUMN photo_height DROP NOT NULL,
        ALTER COLUMN photo_bytes DROP NOT NULL,
        DROP CONSTRAINT jobs_state,
        DROP CONSTRAINT jobs_succeeded,
        DROP CONSTRAINT jobs_pinned,
        ADD CONSTRAINT jobs_kind CHECK (kind IN ('locate', 'ingest')),
        ADD CONSTRAINT jobs_state CHECK (state IN ({_JOB_STATES})),
        ADD CONSTRAINT jobs_state_of_kind CHECK (
            CASE kind WHEN 'ingest' THEN state NOT IN ('retrieving', 'generating', 'verifying')
            ELSE state NOT IN ('planning', 'filling', 'publishing') END),
        ADD CONSTRAINT jobs_photo CHECK (
            num_nulls(photo_sha256, photo_width, photo_height, photo_bytes)
            = CASE kind WHEN 'ingest' THEN 4 ELSE 0 END),
        ADD CONSTRAINT jobs_succeeded CHECK (
            (state = 'succeeded' AND kind = 'locate') = (result_of IS NOT NULL)),
        ADD CONSTRAINT jobs_pinned CHECK (
            state NOT IN ('generating', 'verifying', 'succeeded') OR release_model IS NOT NULL OR kind = 'ingest')
    """,
    f"""
    ALTER TABLE events
        DROP CONSTRAINT events_state,
        ADD CONSTRAINT events_state CHECK (state IN ({_JOB_STATES}))
    """,
    f"""
    ALTER TABLE stages
        ADD COLUMN shard INTEGER DEFAULT '0' NOT NULL,
        ADD COLUMN progressed INTEGER DEFAULT '0' NOT NULL,
        DROP CONSTRAINT stages_pkey,
        ADD CONSTRAINT stages_pkey PRIMARY KEY (job_id, name, shard),
        DROP CONSTRAINT stages_name,
        DROP CONSTRAINT stages_counts,
        ADD CONSTRAINT stages_name CHECK (name IN ({_STAGES})),
        ADD CONSTRAINT stages_counts CHECK (attempt >= 1 AND rings >= 0 AND progressed BETWEEN 0 AND attempt),
        ADD CONSTRAINT stages_shard CHECK (shard = 0 OR (shard > 0 AND name = 'fill'))
    """,
    """
    DROP INDEX stages_open
    """,
    """
    CREATE UNIQUE INDEX stages_open ON stages (job_id, shard) WHERE state NOT IN ('done', 'dead')
    """,
    f"""
    ALTER TABLE outbox
        ADD COLUMN shard INTEGER DEFAULT '0' NOT NULL,
        DROP CONSTRAINT outbox_stage,
        ADD CONSTRAINT outbox_stage CHECK (stage IN ({_STAGES}))
    """,
    """
    CREATE TABLE ingests (
        job_id UUID NOT NULL,
        tenant_id UUID NOT NULL,
        spec JSONB NOT NULL,
        rows BIGINT,
        shards INTEGER,
        collection TEXT,
        model TEXT,
        dimension INTEGER,
        source TEXT,
        standing BIGINT,
        counted BIGINT,
        recall_similar DOUBLE PRECISION,
        recall_dissimilar DOUBLE PRECISION,
        published BOOLEAN DEFAULT false NOT NULL,
        previous TEXT DEFAULT '' NOT NULL,
        CONSTRAINT ingests_pkey PRIMARY KEY (job_id),
        CONSTRAINT ingests_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE,
        CONSTRAINT ingests_plan CHECK (
            num_nulls(rows, shards, collection, model, dimension, source, standing) IN (0, 7)),
        CONSTRAINT ingests_divided CHECK (shards BETWEEN 1 AND rows AND standing >= 0),
        CONSTRAINT ingests_verified CHECK (NOT published OR counted IS NOT NULL)
    )
    """,
    """
    CREATE TABLE shards (
        job_id UUID NOT NULL,
        shard INTEGER NOT NULL,
        tenant_id UUID NOT NULL,
        read BIGINT NOT NULL,
        written BIGINT NOT NULL,
        held BIGINT NOT NULL,
        rejected BIGINT NOT NULL,
        duplicates BIGINT NOT NULL,
        reasons JSONB NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT shards_pkey PRIMARY KEY (job_id, shard),
        CONSTRAINT shards_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE,
        CONSTRAINT shards_counts CHECK (shard >= 0 AND least(written, held, rejected, duplicates) >= 0),
        CONSTRAINT shards_sum CHECK (read = written + held + rejected + duplicates)
    ) WITH (fillfactor = 70)
    """,
    """
    CREATE TABLE rejects (
        job_id UUID NOT NULL,
        row BIGINT NOT NULL,
        tenant_id UUID NOT NULL,
        shard INTEGER NOT NULL,
        reference_id TEXT NOT NULL,
        code TEXT NOT NULL,
        reason TEXT NOT NULL,
        CONSTRAINT rejects_pkey PRIMARY KEY (job_id, row),
        CONSTRAINT rejects_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE,
        CONSTRAINT rejects_short CHECK (
            octet_length(reference_id) <= 400 AND octet_length(code) <= 100 AND octet_length(reason) <= 2000)
    )
    """,
    """
    CREATE TABLE reject_files (
        job_id UUID NOT NULL,
        first_row BIGINT NOT NULL,
        tenant_id UUID NOT NULL,
        shard INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        rejects INTEGER NOT NULL,
        CONSTRAINT reject_files_pkey PRIMARY KEY (job_id, first_row),
        CONSTRAINT reject_files_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE
    )
    """,
]


def upgrade() -> None:
    """Adds what ingest runs need."""
    for statement in STATEMENTS:
        op.execute(statement)
