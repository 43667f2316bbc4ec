"""What the room can be told."""

from typing import Literal, Self

from g3_kit.settings import RoomSettings
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator

from g3_retrieval.kinds import IndexKind


class RetrievalSettings(RoomSettings):
    """Settings of the retrieval service; field `x` is read from `G3_X`."""

    retrieval_port: int = Field(default=7102, ge=0, le=65535, description="port of the gRPC listener")
    retrieval_index: Literal["milvus", "faiss"] = Field(default="milvus", description="where references are kept")
    milvus_uri: str = Field(default="", validate_default=True, description="http://host:19530 of a Milvus server")
    milvus_token: SecretStr = SecretStr("")
    retrieval_kind: IndexKind = Field(
        default=IndexKind.FLAT, description="index of collections that are made without saying which"
    )
    milvus_consistency: Literal["Strong", "Session", "Bounded", "Eventually"] = "Session"
    milvus_deadline_s: PositiveFloat = 10.0
    faiss_path: str = Field(default="", description="folder of the FAISS index")
    device: str = Field(default="auto", description="where FAISS searches: auto, cpu or cuda:N")
    retrieval_threads: PositiveInt = Field(default=32, description="calls answered at once")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.retrieval_index == "milvus" and not self.milvus_uri:
            raise ValueError("G3_MILVUS_URI is required (http://host:19530 of a Milvus server)")
        if self.retrieval_index == "faiss" and not self.faiss_path:
            raise ValueError("G3_FAISS_PATH is required (a folder to keep the index in)")
        return self
