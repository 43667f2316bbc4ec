"""The tables. Every table has `tenant_id`; CHECK constraints and keys refuse what must never be.

The statements of the store are written in SQL, because their locks and orders are the design; these definitions are
what migrations are compared with, and what documents each column.
"""

from collections.abc import Iterable
from enum import StrEnum

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from g3_orchestrator.states import JobKind, JobState, StageName, StageState

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
    }
)


def _one_of(column: str, members: Iterable[StrEnum]) -> str:
    return f"{column} IN ({', '.join(repr(member.value) for member in members)})"


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=None if nullable else func.now())


def _of_job() -> ForeignKeyConstraint:
    """A row of a job is a row of its tenant, and goes with it."""
    return ForeignKeyConstraint(["tenant_id", "job_id"], ["jobs.tenant_id", "jobs.job_id"], ondelete="CASCADE")


tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    _moment("created_at"),
    CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="named"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("prefix", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("label", Text, nullable=False, server_default=""),
    _moment("created_at"),
    _moment("revoked_at", nullable=True),
    CheckConstraint("octet_length(key_hash) = 32", name="hashed"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey("tenants.tenant_id"), nullable=False),
    Column("state", Text, nullable=False),
    _moment("created_at"),
    _moment("updated_at"),
    Column("label", Text, nullable=False, server_default=""),
    Column("kind", Text, nullable=False, server_default=JobKind.LOCATE.value),
    # {} for an ingest run, whose spec stands in `ingests`; it has no photo either.
    Column("parameters", JSONB, nullable=False),
    Column("photo_sha256", Text),
    Column("photo_width", Integer),
    Column("photo_height", Integer),
    Column("photo_bytes", Integer),
    Column("idempotency_key", Text),
    Column("request_hash", LargeBinary, nullable=False),
    Column("last_event", Integer, nullable=False),
    Column("degraded", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    # The release that the job is pinned to, known once retrieval is done.
    Column("release_model", Text),
    Column("release_gps", Text),
    Column("release_collection", Text),
    Column("failure_code", Text),
    Column("failure_message", Text),
    # Its own job_id once results has the row: so that a CHECK can demand the result of a job that has succeeded.
    Column("result_of", Uuid, ForeignKey("results.job_id", use_alter=True)),
    UniqueConstraint("tenant_id", "job_id"),
    CheckConstraint(_one_of("kind", JobKind), name="kind"),
    CheckConstraint(_one_of("state", JobState), name="state"),
    CheckConstraint(
        "CASE kind WHEN 'ingest' THEN state NOT IN ('retrieving', 'generating', 'verifying')"
        " ELSE state NOT IN ('planning', 'filling', 'publishing') END",
        name="state_of_kind",
    ),
    CheckConstraint(
        "num_nulls(photo_sha256, photo_width, photo_height, photo_bytes) = CASE kind WHEN 'ingest' THEN 4 ELSE 0 END",
        name="photo",
    ),
    CheckConstraint("(state = 'failed') = (failure_code IS NOT NULL)", name="failed"),
    CheckConstraint("(failure_code IS NULL) = (failure_message IS NULL)", name="failure"),
    CheckConstraint("(state = 'succeeded' AND kind = 'locate') = (result_of IS NOT NULL)", name="succeeded"),
    CheckConstraint("result_of = job_id", name="own_result"),
    CheckConstraint("num_nulls(release_model, release_gps, release_collection) IN (0, 3)", name="release"),
    CheckConstraint(
        "state NOT IN ('generating', 'verifying', 'succeeded') OR release_model IS NOT NULL OR kind = 'ingest'",
        name="pinned",
    ),
    CheckConstraint("char_length(label) <= 255 AND char_length(idempotency_key) <= 255", name="short"),
    CheckConstraint("last_event >= 1", name="events"),
    # Two updates of a job in three fit on its page, so that its indexes are left alone.
    postgresql_with={"fillfactor": "80"},
)
Index("jobs_newest", jobs.c.tenant_id, jobs.c.created_at.desc(), jobs.c.job_id.desc())
Index("jobs_newest_in_state", jobs.c.tenant_id, jobs.c.state, jobs.c.created_at.desc(), jobs.c.job_id.desc())
Index(
    "jobs_idempotency",
    jobs.c.tenant_id,
    jobs.c.idempotency_key,
    unique=True,
    postgresql_where=text("idempotency_key IS NOT NULL"),
)

_OPEN = "state NOT IN ('done', 'dead')"

stages = Table(
    "stages",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("name", Text, primary_key=True),
    # Of the stages fill of an ingest run; every other stage is shard 0.
    Column("shard", Integer, primary_key=True, server_default="0"),
    Column("tenant_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    # The fence.
    Column("attempt", Integer, nullable=False, server_default="1"),
    # The last attempt that got on: what is bounded is how many came after it.
    Column("progressed", Integer, nullable=False, server_default="0"),
    # Messages sent for this attempt: each makes the next wait longer.
    Column("rings", Integer, nullable=False, server_default="0"),
    _moment("first_due_at"),
    _moment("budget_until", nullable=True),
    # When the sweeper must look at it: due, unclaimed for too long, lease ended or budget spent.
    _moment("wake_at", nullable=True),
    # First claim of any attempt.
    _moment("claimed_at", nullable=True),
    Column("claim_id", Text),
    _moment("lease_until", nullable=True),
    _moment("ended_at", nullable=True),
    Column("reason", Text, nullable=False, server_default=""),
    _of_job(),
    CheckConstraint(_one_of("name", StageName), name="name"),
    CheckConstraint(_one_of("state", StageState), name="state"),
    CheckConstraint("attempt >= 1 AND rings >= 0 AND progressed BETWEEN 0 AND attempt", name="counts"),
    CheckConstraint("shard = 0 OR (shard > 0 AND name = 'fill')", name="shard"),
    CheckConstraint("(state = 'leased') = (lease_until IS NOT NULL)", name="leased"),
    CheckConstraint(
        "state NOT IN ('leased', 'done') OR (claim_id IS NOT NULL AND claimed_at IS NOT NULL)", name="held"
    ),
    CheckConstraint("(state IN ('done', 'dead')) = (ended_at IS NOT NULL)", name="ended"),
    CheckConstraint("(state IN ('done', 'dead')) = (wake_at IS NULL)", name="awake"),
    postgresql_with={"fillfactor": "80"},
)
Index("stages_wake", stages.c.wake_at, postgresql_where=text("wake_at IS NOT NULL"))
# One thing at a time: a job, or one shard of it, has at most one open stage.
Index("stages_open", stages.c.job_id, stages.c.shard, unique=True, postgresql_where=text(_OPEN))

outbox = Table(
    "outbox",
    metadata,
    Column("outbox_id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("job_id", Uuid, nullable=False),
    Column("stage", Text, nullable=False),
    Column("shard", Integer, nullable=False, server_default="0"),
    Column("attempt", Integer, nullable=False),
    _moment("created_at"),
    _moment("sent_at", nullable=True),
    _of_job(),
    CheckConstraint(_one_of("stage", StageName), name="stage"),
)
Index("outbox_unsent", outbox.c.outbox_id, postgresql_where=text("sent_at IS NULL"))
Index("outbox_sent", outbox.c.sent_at, postgresql_where=text("sent_at IS NOT NULL"))
# Deleting a job looks here for its rows.
Index("outbox_of_job", outbox.c.job_id)

answers = Table(
    "answers",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("prompt", SmallInteger, primary_key=True),
    Column("sample", SmallInteger, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("text", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("answer_tokens", Integer, nullable=False),
    _moment("created_at"),
    _of_job(),
    CheckConstraint("prompt >= 0 AND sample >= 0", name="indices"),
    CheckConstraint("octet_length(text) <= 16384", name="short"),
)

retrievals = Table(
    "retrievals",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("similar_matches", JSONB, nullable=False),
    Column("dissimilar_matches", JSONB, nullable=False),
    Column("gps_aligned", LargeBinary, nullable=False),
    # The points asked of the gallery; NULL when none were, or when there was none.
    Column("gallery", JSONB),
    _of_job(),
)

results = Table(
    "results",
    metadata,
    # One result a job, whatever happens.
    Column("job_id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("latitude", Double, nullable=False),
    Column("longitude", Double, nullable=False),
    # NULL: a strategy without verification.
    Column("similarity", Double),
    Column("place", JSONB, nullable=False),
    Column("candidates", JSONB, nullable=False),
    Column("dropped", JSONB, nullable=False),
    # Places, confidence, radius, and the fingerprints of what judged.
    Column("evidence", JSONB, nullable=False, server_default=text("'{}'")),
    _moment("created_at"),
    _of_job(),
    CheckConstraint("latitude BETWEEN -90 AND 90", name="latitude"),
    CheckConstraint("longitude >= -180 AND longitude < 180", name="longitude"),
    CheckConstraint("jsonb_array_length(candidates) >= 1", name="candidates"),
)

events = Table(
    "events",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("event_id", Integer, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    _moment("created_at"),
    _of_job(),
    CheckConstraint(_one_of("state", JobState), name="state"),
    CheckConstraint("event_id >= 1", name="counted"),
)

ingests = Table(
    "ingests",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("spec", JSONB, nullable=False),
    # The plan: all of it or nothing.
    Column("rows", BigInteger),
    Column("shards", Integer),
    Column("collection", Text),
    Column("model", Text),
    Column("dimension", Integer),
    # Fingerprint of the source: no shard may read another one.
    Column("source", Text),
    # References that the version held before.
    Column("standing", BigInteger),
    # What the stage publish found.
    Column("counted", BigInteger),
    Column("recall_similar", Double),
    Column("recall_dissimilar", Double),
    Column("published", Boolean, nullable=False, server_default=text("false")),
    Column("previous", Text, nullable=False, server_default=""),
    _of_job(),
    CheckConstraint("num_nulls(rows, shards, collection, model, dimension, source, standing) IN (0, 7)", name="plan"),
    CheckConstraint("shards BETWEEN 1 AND rows AND standing >= 0", name="divided"),
    CheckConstraint("NOT published OR counted IS NOT NULL", name="verified"),
)

shards = Table(
    "shards",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("shard", Integer, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    # Rows done from the first row of the shard on: where a takeover goes on.
    Column("read", BigInteger, nullable=False),
    Column("written", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("duplicates", BigInteger, nullable=False),
    Column("reasons", JSONB, nullable=False),
    _moment("updated_at"),
    _of_job(),
    CheckConstraint("shard >= 0 AND least(written, held, rejected, duplicates) >= 0", name="counts"),
    CheckConstraint("read = written + held + rejected + duplicates", name="sum"),
    # Its row is written anew with every batch.
    postgresql_with={"fillfactor": "70"},
)

rejects = Table(
    "rejects",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    # Its number in the source: a batch that is told twice is stored once.
    Column("row", BigInteger, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("reference_id", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _of_job(),
    CheckConstraint(
        "octet_length(reference_id) <= 400 AND octet_length(code) <= 100 AND octet_length(reason) <= 2000", name="short"
    ),
)

# Rejects beyond the first of a shard: CSV files in the blob store.
reject_files = Table(
    "reject_files",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("first_row", BigInteger, primary_key=True),
    Column("tenant_id", Uuid, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("rejects", Integer, nullable=False),
    _of_job(),
)
