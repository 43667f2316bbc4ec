"""Tenants, keys, jobs, stages, outbox, answers, retrievals, results, events.

Locks: none that anybody could wait for; every table is new.
"""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = [
    """
    CREATE TABLE tenants (
        tenant_id UUID NOT NULL,
        name TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT tenants_pkey PRIMARY KEY (tenant_id),
        CONSTRAINT tenants_named CHECK (char_length(name) BETWEEN 1 AND 100),
        CONSTRAINT tenants_name_key UNIQUE (name)
    )
    """,
    """
    CREATE TABLE api_keys (
        key_id UUID NOT NULL,
        tenant_id UUID NOT NULL,
        prefix TEXT NOT NULL,
        key_hash BYTEA NOT NULL,
        label TEXT DEFAULT '' NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        revoked_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT api_keys_pkey PRIMARY KEY (key_id),
        CONSTRAINT api_keys_hashed CHECK (octet_length(key_hash) = 32),
        CONSTRAINT api_keys_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (tenant_id),
        CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash)
    )
    """,
    """
    CREATE TABLE jobs (
        job_id UUID NOT NULL,
        tenant_id UUID NOT NULL,
        state TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        label TEXT DEFAULT '' NOT NULL,
        parameters JSONB NOT NULL,
        photo_sha256 TEXT NOT NULL,
        photo_width INTEGER NOT NULL,
        photo_height INTEGER NOT NULL,
        photo_bytes INTEGER NOT NULL,
        idempotency_key TEXT,
        request_hash BYTEA NOT NULL,
        last_event INTEGER NOT NULL,
        degraded TEXT[] DEFAULT '{}' NOT NULL,
        release_model TEXT,
        release_gps TEXT,
        release_collection TEXT,
        failure_code TEXT,
        failure_message TEXT,
        result_of UUID,
        CONSTRAINT jobs_pkey PRIMARY KEY (job_id),
        CONSTRAINT jobs_tenant_id_job_id_key UNIQUE (tenant_id, job_id),
        CONSTRAINT jobs_state CHECK (
            state IN ('queued', 'retrieving', 'generating', 'verifying', 'succeeded', 'failed', 'cancelled')
        ),
        CONSTRAINT jobs_failed CHECK ((state = 'failed') = (failure_code IS NOT NULL)),
        CONSTRAINT jobs_failure CHECK ((failure_code IS NULL) = (failure_message IS NULL)),
        CONSTRAINT jobs_succeeded CHECK ((state = 'succeeded') = (result_of IS NOT NULL)),
        CONSTRAINT jobs_own_result CHECK (result_of = job_id),
        CONSTRAINT jobs_release CHECK (num_nulls(release_model, release_gps, release_collection) IN (0, 3)),
        CONSTRAINT jobs_pinned CHECK (
            state NOT IN ('generating', 'verifying', 'succeeded') OR release_model IS NOT NULL),
        CONSTRAINT jobs_short CHECK (char_length(label) <= 255 AND char_length(idempotency_key) <= 255),
        CONSTRAINT jobs_events CHECK (last_event >= 1),
        CONSTRAINT jobs_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (tenant_id)
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE INDEX jobs_newest ON jobs (tenant_id, created_at DESC, job_id DESC)
    """,
    """
    CREATE UNIQUE INDEX jobs_idempotency ON jobs (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE INDEX jobs_newest_in_state ON jobs (tenant_id, state, created_at DESC, job_id DESC)
    """,
    """
    CREATE TABLE stages (
        job_id UUID NOT NULL,
        name TEXT NOT NULL,
        tenant_id UUID NOT NULL,
        state TEXT NOT NULL,
        attempt INTEGER DEFAULT '1' NOT NULL,
        rings INTEGER DEFAULT '0' NOT NULL,
        first_due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        budget_until TIMESTAMP WITH TIME ZONE,
        wake_at TIMESTAMP WITH TIME ZONE,
        claimed_at TIMESTAMP WITH TIME ZONE,
        claim_id TEXT,
        lease_until TIMESTAMP WITH TIME ZONE,
        ended_at TIMESTAMP WITH TIME ZONE,
        reason TEXT DEFAULT '' NOT NULL,
        CONSTRAINT stages_pkey PRIMARY KEY (job_id, name),
        CONSTRAINT stages_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE,
        CONSTRAINT stages_name CHECK (name IN ('retrieve', 'generate', 'verify')),
        CONSTRAINT stages_state CHECK (state IN ('pending', 'dispatched', 'leased', 'done', 'dead')),
        CONSTRAINT stages_counts CHECK (attempt >= 1 AND rings >= 0),
        CONSTRAINT stages_leased CHECK ((state = 'leased') = (lease_until IS NOT NULL)),
        CONSTRAINT stages_held CHECK (state NOT IN ('leased', 'done') OR num_nulls(claim_id, claimed_at) = 0),
        CONSTRAINT stages_ended CHECK ((state IN ('done', 'dead')) = (ended_at IS NOT NULL)),
        CONSTRAINT stages_awake CHECK ((state IN ('done', 'dead')) = (wake_at IS NULL))
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE INDEX stages_wake ON stages (wake_at) WHERE wake_at IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX stages_open ON stages (job_id) WHERE state NOT IN ('done', 'dead')
    """,
    """
    CREATE TABLE outbox (
        outbox_id BIGINT GENERATED ALWAYS AS IDENTITY,
        tenant_id UUID NOT NULL,
        job_id UUID NOT NULL,
        stage TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        sent_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT outbox_pkey PRIMARY KEY (outbox_id),
        CONSTRAINT outbox_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE,
        CONSTRAINT outbox_stage CHECK (stage IN ('retrieve', 'generate', 'verify'))
    )
    """,
    """
    CREATE INDEX outbox_unsent ON outbox (outbox_id) WHERE sent_at IS NULL
    """,
    """
    CREATE INDEX outbox_of_job ON outbox (job_id)
    """,
    """
    CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL
    """,
    """
    CREATE TABLE answers (
        job_id UUID NOT NULL,
        prompt SMALLINT NOT NULL,
        sample SMALLINT NOT NULL,
        tenant_id UUID NOT NULL,
        text TEXT NOT NULL,
        model TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        answer_tokens INTEGER NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT answers_pkey PRIMARY KEY (job_id, prompt, sample),
        CONSTRAINT answers_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE,
        CONSTRAINT answers_indices CHECK (prompt >= 0 AND sample >= 0),
        CONSTRAINT answers_short CHECK (octet_length(text) <= 16384)
    )
    """,
    """
    CREATE TABLE retrievals (
        job_id UUID NOT NULL,
        tenant_id UUID NOT NULL,
        similar_matches JSONB NOT NULL,
        dissimilar_matches JSONB NOT NULL,
        gps_aligned BYTEA NOT NULL,
        CONSTRAINT retrievals_pkey PRIMARY KEY (job_id),
        CONSTRAINT retrievals_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE results (
        job_id UUID NOT NULL,
        tenant_id UUID NOT NULL,
        latitude DOUBLE PRECISION NOT NULL,
        longitude DOUBLE PRECISION NOT NULL,
        similarity DOUBLE PRECISION NOT NULL,
        place JSONB NOT NULL,
        candidates JSONB NOT NULL,
        dropped JSONB NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT results_pkey PRIMARY KEY (job_id),
        CONSTRAINT results_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE,
        CONSTRAINT results_latitude CHECK (latitude BETWEEN -90 AND 90),
        CONSTRAINT results_longitude CHECK (longitude >= -180 AND longitude < 180),
        CONSTRAINT results_candidates CHECK (jsonb_array_length(candidates) >= 1)
    )
    """,
    """
    CREATE TABLE events (
        job_id UUID NOT NULL,
        event_id INTEGER NOT NULL,
        tenant_id UUID NOT NULL,
        state TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
        CONSTRAINT events_pkey PRIMARY KEY (job_id, event_id),
        CONSTRAINT events_tenant_id_fkey FOREIGN KEY(tenant_id, job_id)
            REFERENCES jobs (tenant_id, job_id) ON DELETE CASCADE,
        CONSTRAINT events_state CHECK (
            state IN ('queued', 'retrieving', 'generating', 'verifying', 'succeeded', 'failed', 'cancelled')
        ),
        CONSTRAINT events_counted CHECK (event_id >= 1)
    )
    """,
    """
    ALTER TABLE jobs ADD CONSTRAINT jobs_result_of_fkey FOREIGN KEY(result_of) REFERENCES results (job_id)
    """,
]


def upgrade() -> None:
    """Makes the tables of the first release."""
    for statement in STATEMENTS:
        op.execute(statement)
