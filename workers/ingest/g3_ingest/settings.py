"""What the room can be told by the environment; the command's options win."""

from g3_client.config import target
from g3_kit.settings import RoomSettings
from pydantic import Field


class IngestSettings(RoomSettings):
    """Settings of the ingest command; field `x` is read from `G3_X`."""

    embedding_target: str = Field(default_factory=lambda: target("embedding") or "127.0.0.1:7101", min_length=1)
    """Without the variable: that of the stack that `g3 up` has started."""
    retrieval_target: str = Field(default_factory=lambda: target("retrieval") or "127.0.0.1:7102", min_length=1)
