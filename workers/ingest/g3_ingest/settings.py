"""What the room can be told by the environment; the command's options win."""

from pathlib import Path

from g3_kit.settings import RoomSettings
from pydantic import Field


class IngestSettings(RoomSettings):
    """Settings of the ingest command; field `x` is read from `G3_X`. Empty: the stack that `g3 up` runs here."""

    embedding_target: str = ""
    retrieval_target: str = ""


class WorkerSettings(RoomSettings):
    """Settings of the ingest worker."""

    broker_url: str = Field(min_length=1, description="amqp://… or pgmq://…, where the bell rings")
    stages_target: str = Field(default="127.0.0.1:7111", min_length=1, description="the orchestrator's StageService")
    embedding_target: str = Field(default="127.0.0.1:7101", min_length=1)
    retrieval_target: str = Field(default="127.0.0.1:7102", min_length=1)
    ingest_roots: str = Field(
        default="", description="folders that runs may read, separated by colons; none: world plans alone"
    )
    ingest_cache: str = Field(default="~/.cache/g3/ingest", min_length=1, description="where indexes are kept")
    ingest_concurrency: int = Field(default=2, ge=1, le=64, description="shards worked at once")
    ingest_cleaners: int = Field(default=2, ge=1, le=64, description="threads that read and clean photos of a shard")
    ingest_batch: int = Field(default=32, ge=1, le=1000, description="photos a call")
    ingest_calls: int = Field(default=2, ge=1, le=64, description="calls of one shard to the embedding service at once")
    ingest_turn_s: float = Field(default=900.0, gt=0, le=1500, description="how long a message is held at most")

    @property
    def roots(self) -> list[Path]:
        """The folders that runs may read."""
        return [Path(root) for root in self.ingest_roots.split(":") if root]
