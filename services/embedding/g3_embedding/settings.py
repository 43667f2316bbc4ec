"""What the room can be told."""

from g3_kit.settings import RoomSettings
from pydantic import Field, FilePath, ValidationInfo, field_validator


class EmbeddingSettings(RoomSettings):
    """Settings of the embedding room; field `x` is read from `G3_X`."""

    checkpoint: FilePath = Field(description="path of a checkpoint: `python -m g3_alignment init` makes one")
    checkpoint_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-fA-F]{64}$", description="the SHA-256 that the checkpoint file must have"
    )
    device: str = Field(default="auto", description="auto, cpu or cuda:0")
    torch_threads: int = Field(default=0, ge=0, description="threads of one forward pass on a CPU; 0: torch decides")
    embedding_port: int = Field(default=7101, ge=0, le=65535)
    embedding_max_items: int = Field(default=64, ge=1, description="most items of one call")
    embedding_photos_a_batch: int = Field(default=32, ge=1, description="most photos of one forward pass")
    embedding_queue_items: int = Field(default=512, ge=1, description="most items admitted and not yet answered")
    embedding_decoders: int = Field(default=0, ge=0, description="threads that decode photos; 0: one for each core")
    embedding_deadline_s: float = Field(default=30.0, gt=0, description="seconds a call without a deadline may take")
    embedding_stall_s: float = Field(default=120.0, gt=0, description="a longer forward pass means the device hangs")

    @field_validator("embedding_queue_items")
    @classmethod
    def _a_call_fits(cls, queue_items: int, info: ValidationInfo) -> int:
        max_items = info.data.get("embedding_max_items", 0)
        if queue_items < max_items:
            raise ValueError(f"must be at least G3_EMBEDDING_MAX_ITEMS ({max_items}), or a full call never fits")
        return queue_items
