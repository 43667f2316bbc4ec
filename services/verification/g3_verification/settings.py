"""What the room can be told."""

from pathlib import Path

from g3_kit.settings import RoomSettings
from pydantic import Field, FilePath


class VerificationSettings(RoomSettings):
    """Settings of the verification room; field `x` is read from `G3_X`."""

    checkpoint: FilePath = Field(description="path of a g3_alignment checkpoint, of which the GPS part is loaded")
    checkpoint_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-fA-F]{64}$", description="the SHA-256 that the checkpoint file must have"
    )
    device: str = Field(default="auto", description="auto, cpu or cuda:0")
    verification_port: int = Field(default=7103, ge=0, le=65535)
    torch_threads: int = Field(default=0, ge=0, description="threads of one forward pass; 0: torch decides")
    gallery_path: Path | None = Field(
        default=None, description="folder of the galleries; without one they go with the process"
    )
    gallery_max_coordinates: int = Field(default=10_000_000, ge=1, description="coordinates a gallery may have")
    gallery_float32_bytes: int = Field(
        default=1 << 30, ge=0, description="a gallery whose vectors take more is kept as float16"
    )
