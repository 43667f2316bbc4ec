"""What the room can be told."""

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
