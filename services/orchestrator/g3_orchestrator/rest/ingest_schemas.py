"""The documents of ingest runs. Field by field they are the messages of `ingests.proto`; enums are lower-case words."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from g3_orchestrator import runs, states
from g3_orchestrator.rest.schemas import MAX_LABEL, Answered, Failure, Given, Text

Path = Annotated[Text, Field(max_length=runs.MAX_PATH)]
Share = Annotated[float, Field(ge=0, le=1)]


class IngestSpec(Given):
    """What is to be ingested, and how. Paths are those of the ingest workers."""

    source: Path = Field(
        description="A folder of photos, a tar archive or a folder of them, a .npy file of ready-made vectors, or a "
        "world plan.",
        examples=["/data/mp16", "world:seed=1,count=1000,size=64"],
    )
    table: Path = Field(default="", description="CSV table with ids and coordinates.")
    authors: Path = Field(default="", description="CSV table of authors (img_id, author).")
    collection: Text = Field(default="", description="Name of the new version; empty: one is made.")
    alias: Text = Field(default="references", description="The alias that is pointed at it when it is complete.")
    unpublished: bool = Field(default=False, description="Fill and verify, and leave the alias alone.")
    shards: int = Field(default=0, ge=0, le=runs.MAX_SHARDS, description="0: one for every 10,000 rows.")
    at_once: int = Field(
        default=runs.DEFAULT_AT_ONCE, ge=1, le=runs.MAX_AT_ONCE, description="Shards worked on at a time."
    )
    near_duplicate: float = Field(default=0.0, description="Cosine from which on photos are the same; 0: do not look.")
    near_duplicate_in_collection: bool = Field(default=False, description="Look in the collection, too.")
    index: Text = Field(default="", description="Index type of the new version; empty: as retrieval is set up.")
    least_recall_similar: Share | None = Field(
        default=None, description="Least recall of similar references; null: the retrieval service's own."
    )
    least_recall_dissimilar: Share | None = Field(default=None, description="The same for dissimilar ones.")
    resume: bool = Field(default=False, description="The version may hold references already.")


class IngestSubmission(IngestSpec):
    """A run as it is submitted."""

    label: Annotated[Text, Field(max_length=MAX_LABEL)] | None = Field(
        default=None, description="The integration's own reference, returned unchanged."
    )


class IngestPlan(Answered):
    """What was found in the source."""

    rows: int = Field(description="Rows to read.")
    shards: int = Field(description="Number of shards.")
    collection: str = Field(description="Collection version that is filled.")
    model: str = Field(description="Model fingerprint of its vectors.")
    dimension: int = Field(description="Width of each of the three vectors.")
    source: str = Field(description="Fingerprint of the source.")
    standing: int = Field(description="References that the version held before.")


class Tally(Answered):
    """How far rows have come: read = written + held + rejected + duplicates."""

    read: int = Field(description="Rows done.")
    written: int = Field(description="References inserted.")
    held: int = Field(description="References that the version held before.")
    rejected: int = Field(description="Rows refused.")
    duplicates: int = Field(description="Photos left out because another is the same, or they are a placeholder.")
    reasons: dict[str, int] = Field(description="Refused and duplicate rows by reason.")


class Shard(Answered):
    """One shard of a run."""

    shard: int = Field(description="Its number, from 0.")
    state: Literal["waiting"] | states.StageState = Field(description="waiting: not opened yet.")
    rows: int = Field(description="Rows that it has.")
    tally: Tally = Field(description="How far it is.")
    attempts: int = Field(description="Attempts used.")
    reason: str = Field(description="Why the last attempt ended, if it did not end well.")


class Publication(Answered):
    """What the end of a run found."""

    counted: int = Field(description="References that the version holds.")
    recall_similar: float | None = Field(description="Share of the true similar neighbours found.")
    recall_dissimilar: float | None = Field(description="The same for dissimilar ones.")
    published: bool = Field(description="Whether the alias names the version now.")
    previous: str = Field(description="The version that the alias named before.")


class Ingest(Answered):
    """An ingest run as it stands."""

    ingest_id: str = Field(description="UUID, version 7.")
    state: states.JobState = Field(description="Where it is.")
    created_at: datetime = Field(description="When it was accepted.")
    updated_at: datetime = Field(description="When its state last changed.")
    label: str = Field(description="The integration's own reference.")
    spec: IngestSpec = Field(description="What was asked for.")
    plan: IngestPlan | None = Field(description="Set once planned.")
    total: Tally = Field(description="All shards together.")
    shards: list[Shard] = Field(description="Every shard; empty in listings.")
    publication: Publication | None = Field(description="Set once verified.")
    failure: Failure | None = Field(description="Set once failed.")


class IngestPage(Answered):
    """One page of a listing, newest first."""

    ingests: list[Ingest] = Field(description="Newest first.")
    next_cursor: str = Field(description="`cursor` of the next page; empty on the last one.")
